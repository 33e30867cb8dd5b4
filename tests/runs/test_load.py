"""Logged runs as tables: what is read, what is left out, what is refused."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import planted_study
import pytest
from mlflow.entities import Metric
from planted_study import log_training

from analysis.runs import load
from analysis.runs.expressivity import cells, expressivity, standard_error
from analysis.runs.journals import read_folder
from analysis.runs.load import baseline_nmse, bayes_nmse, kept_rules, read_runs
from analysis.runs.pilots import find_pilot
from analysis.runs.selection import SelectionError, n_once, select
from analysis.runs.weights import of_weights
from entrypoints import train
from looped import LoopedTransformer
from looped.config import TrainConfig
from looped.sizes import SIZES
from looped.training import resolve

CONFIG = TrainConfig(size="small", b=5, seed=7)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def experiment(store):
    return os.environ["MLFLOW_EXPERIMENT_ID"]


def test_a_planted_study_is_read_as_it_was_planted(planted_store):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    selection = select(read_runs(planted_store, experiment))
    table = selection.table.merge(planted_study.table_of_runs(noise=0.05), on=["size", "b", "seed"])
    assert len(table) == 36
    assert table["expressivity_x"].to_numpy() == pytest.approx(table["expressivity_y"].to_numpy())
    row = table.iloc[0]
    assert row["nmse"] == pytest.approx(2 ** (-2 * row["expressivity_x"]))
    # the planted error over prompts is 2 % of the NMSE, its median 0.4 of it
    assert row["standard_error"] == pytest.approx(0.02 / (2 * 0.6931), rel=1e-3)
    assert row["expressivity_median"] - row["expressivity_x"] == pytest.approx(0.661, abs=1e-3)
    assert "36 runs of linear" in selection.account


def test_a_run_keeps_its_whole_configuration(store, experiment):
    config = TrainConfig(
        size="medium", b=7, seed=3, task="noisy_linear", noise_std=0.5, learning_rate=2e-4,
        loop_window=4, n_dims=3, prompt="interleaved", warmup=9,
    )  # fmt: skip
    log_training(store, experiment, config, 2.0)
    (run,) = read_runs(store, experiment)
    assert run.config == config.resolved("cpu", "fp32")
    assert run.task == "noisy_linear n_dims=3 noise_std=0.5"
    assert run.loops["nmse"][6] == pytest.approx(2**-4)


def test_only_finished_trainings_that_none_supersedes_are_read(store, experiment):
    run_id = log_training(store, experiment, CONFIG, 2.0)
    log_training(store, experiment, CONFIG, 2.0, status="FAILED")
    log_training(store, experiment, CONFIG, 2.0, superseded_by=run_id)
    log_training(store, experiment, CONFIG, 2.0, **{"looped.kind": "baseline"})
    store.set_terminated(store.create_run(experiment).info.run_id)
    assert [run.run_id for run in read_runs(store, experiment)] == [run_id]


def test_runs_that_nobody_evaluated_are_left_out_and_counted(store, experiment):
    unevaluated_id = log_training(
        store, experiment, planted_study.replace(CONFIG, b=15), 2.0, n_loops=9
    )
    with pytest.raises(SelectionError, match="got 1 finished, none evaluated"):
        select(read_runs(store, experiment))
    run_id = log_training(store, experiment, CONFIG, 2.0)
    selection = select(read_runs(store, experiment))
    assert [run.run_id for run in selection.runs] == [run_id] != [unevaluated_id]
    assert "1 not evaluated" in selection.account


def test_the_newest_evaluation_stands(store, experiment):
    run_id = log_training(store, experiment, CONFIG, 2.0)
    store.log_batch(run_id, metrics=[Metric("loops/nmse", 0.5, 2000, CONFIG.b)])
    (run,) = read_runs(store, experiment)
    assert run.loops["nmse"][CONFIG.b - 1] == 0.5


def test_plateaued_and_repeated_runs_are_left_out_and_counted(store, experiment):
    first = log_training(store, experiment, CONFIG, 2.0)
    second = log_training(store, experiment, CONFIG, 2.1, convergence="learning")
    log_training(store, experiment, planted_study.replace(CONFIG, seed=8), 0.01, plateau="true")
    runs = read_runs(store, experiment)
    selection = select(runs)
    assert [run.run_id for run in selection.runs] == [second] != [first]
    assert (selection.n_plateaued, selection.n_repeated, selection.n_unconverged) == (1, 1, 1)
    exclusions = "1 plateaued left out, 1 repeated left out"
    assert f"{exclusions}; when they ended: 1 learning" in selection.account
    assert len(select(runs, with_plateaued=True).runs) == 2


def test_a_mixture_is_refused_with_what_differs(store, experiment):
    for changes in ({}, {"steps": 300}, {"steps": 300, "prompt": "interleaved"}):
        log_training(store, experiment, planted_study.replace(CONFIG, **changes), 2.0)
    runs = read_runs(store, experiment)
    with pytest.raises(SelectionError, match="must share their recipe") as refused:
        select(runs)
    assert "steps=300" in str(refused.value) and "prompt=interleaved" in str(refused.value)
    recipe = runs[0].config.recipe_identity
    assert len(select(runs, recipe=recipe[:6]).runs) == 1
    log_training(store, experiment, planted_study.replace(CONFIG, n_dims=10), 2.0)
    runs = read_runs(store, experiment)
    with pytest.raises(SelectionError, match=r"must share their task .*linear n_dims=10 \(1 run\)"):
        select(runs, recipe=recipe)
    assert select(runs, task="linear n_dims=10").runs[0].config.n_dims == 10
    assert {run.task for run in select(runs, task="linear", recipe=recipe).runs} == {"linear"}


@pytest.mark.parametrize(
    ("choice", "rule"),
    [
        ({"task": "relu_network"}, r"task must be one of linear \(1 run\), got relu_network"),
        ({"recipe": "nope"}, "recipe must be one of"),
        ({"sizes": ["huge"]}, r"sizes must be among small \(1 run\), got \['huge'\]"),
        ({"bs": [9]}, r"bs must be among 5 \(1 run\), got \[9\]"),
    ],
)
def test_a_choice_of_nothing_is_refused(store, experiment, choice, rule):
    with pytest.raises(
        SelectionError, match="must hold finished and evaluated trainings, got none"
    ):
        select(read_runs(store, experiment))
    log_training(store, experiment, CONFIG, 2.0)
    with pytest.raises(SelectionError, match=rule):
        select(read_runs(store, experiment), **choice)


def test_the_bayes_predictor_on_the_same_prompts_is_found(store, experiment):
    noisy = planted_study.replace(CONFIG, task="noisy_linear")
    for config, baseline, error in ((noisy, "ridge", 0.07), (CONFIG, "least_squares", 1e-13)):
        log_training(store, experiment, config, 1.5)
        identity = config.task_config.baselines_identity(config.n_examples, 50, 12_800)
        tags = {"looped.kind": "baseline", "baseline": baseline, "baselines": identity}
        run = store.create_run(experiment, tags=tags)
        store.log_metric(run.info.run_id, "held_out/nmse", error)
    runs = read_runs(store, experiment)
    nmse_by_run = bayes_nmse(store, experiment, runs)
    by_task = {run.task: baseline_nmse(store, experiment, runs)[run.run_id] for run in runs}
    assert by_task == {"noisy_linear": {"ridge": 0.07}, "linear": {"least_squares": 1e-13}}
    # noiseless least squares is exact: no ceiling to speak of
    assert nmse_by_run == {run.run_id: 0.07 for run in runs if run.task == "noisy_linear"}
    (row,) = select(runs, task="noisy_linear", bayes=nmse_by_run).table.to_dict("records")
    assert row["below_bayes"] == pytest.approx(expressivity(0.07) - 1.5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("prompt", ["joint", "interleaved"])
def test_weights_used_once_are_those_of_read_in_and_read_out(size, prompt):
    config = TrainConfig(size=size, prompt=prompt)
    model = LoopedTransformer.from_config(config.model_config)
    parts = (model.read_in, model.read_out)
    assert n_once(config) == sum(p.numel() for part in parts for p in part.parameters())


def test_errors_over_prompts_and_over_seeds_are_kept_apart(planted_store):
    table = select(read_runs(planted_store, os.environ["MLFLOW_EXPERIMENT_ID"])).table
    rows_of_cell = table[(table["size"] == "tiny") & (table["b"] == 5)]
    row = cells(table).set_index(["size", "b"]).loc[("tiny", 5)]
    assert row["seeds"] == 3
    assert row["expressivity"] == pytest.approx(rows_of_cell["expressivity"].mean())
    assert row["se_seeds"] == pytest.approx(rows_of_cell["expressivity"].std() / 3**0.5)
    # all seeds see the same prompts, so more of them do not help
    assert row["se_prompts"] == pytest.approx(rows_of_cell["standard_error"].mean())


def test_a_bit_is_a_quarter_of_the_error():
    assert expressivity([1.0, 0.25, 1 / 16]) == pytest.approx([0, 1, 2])
    high, low = expressivity(0.1 * (1 - 1e-6)), expressivity(0.1 * (1 + 1e-6))
    assert standard_error(0.1, 1e-7) == pytest.approx((high - low) / 2, rel=1e-4)


def test_reading_needs_no_torch():
    code = f"import sys, {load.__name__}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_train_logs_is_read(store, experiment, monkeypatch, tmp_path):
    small = {"size": "tiny", "b": 3, "seed": 5, "n_examples": 7, "batch_size": 8, "steps": 20}
    argv = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    options = ["--device", "cpu", "--b_max", "4", "--register", "false"]
    monkeypatch.setattr(sys, "argv", ["train", *argv, *options, "--runs_dir", str(tmp_path)])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    assert train.main() == 0
    for number, handler in handlers.items():
        signal.signal(number, handler)
    (run,) = read_runs(store, experiment)
    assert run.config == resolve.resolve(TrainConfig(**small, device="cpu"))
    data = store.get_run(run.run_id).data
    assert run.config.identity == data.tags["identity"]
    assert run.prompts == data.metrics["held_out/prompts"]
    (row,) = select([run], with_plateaued=True).table.to_dict("records")
    assert row["expressivity"] == pytest.approx(data.metrics["held_out/bits"])
    assert (row["convergence"], data.tags["unconverged"]) == ("cannot tell", "false")
    (tail_run,) = of_weights(store, "auto", [run], [run])
    (tail_row,) = select([tail_run], with_plateaued=True).table.to_dict("records")
    assert tail_row["expressivity"] == pytest.approx(data.metrics["held_out/tail_bits"])
    assert len(tail_run.loops["nmse"]) == 4 and len(tail_run.state_change) == 3
    assert row["train_flops"] == 20 * float(data.params["model.flops_per_step"])
    once_and_looped = row["n_once"] + row["n_rec"]
    assert once_and_looped == int(data.params["model.n_params_without_positions"])
    # its journal says the same without MLflow
    (from_store,) = read_runs(store, experiment, with_training=True)
    (from_journal,) = read_folder(tmp_path)
    for name in ("name", "config", "loops", "prompts", "state_change", "training", "speed"):
        assert getattr(from_journal, name) == getattr(from_store, name), name
    assert from_journal.metrics.items() <= from_store.metrics.items()
    assert from_journal.tags.items() <= from_store.tags.items()


def test_only_the_runs_wanted_are_read(store, experiment):
    for size in ("tiny", "small"):
        log_training(store, experiment, TrainConfig(size=size), 2.0)
    runs = read_runs(store, experiment, is_wanted=lambda tags: tags["size"] == "small")
    assert [run.config.size for run in runs] == ["small"]


def test_the_rules_kept_before_a_training_are_those_of_its_grids_run(store, experiment):
    grids = [store.create_run(experiment, tags=tags).info.run_id
             for tags in ({"looped.claim_rules": "a b"}, {})]  # fmt: skip
    for parent in (*grids, "f" * 32):
        log_training(store, experiment, CONFIG, 2.0, **{"mlflow.parentRunId": parent})
    log_training(store, experiment, CONFIG, 2.0)
    assert kept_rules(store, read_runs(store, experiment)) == ["a b", None, None, None]


def test_the_pilot_of_a_grid_is_in_the_store_or_else_among_what_is_kept(
    store, experiment, tmp_path, as_users_run_it
):
    def pilot(*sizes, **settings):
        configs = [TrainConfig(size=size, **settings).resolved("cpu", "fp32") for size in sizes]
        runs, source = find_pilot(configs, (store, experiment), tmp_path, tmp_path / "results")
        return {run.config.size for run in runs}, source

    assert pilot("tiny") == (set(), "the store")
    for size, seed in (("small", 1), ("small", 2), ("tiny", 1)):
        log_training(store, experiment, TrainConfig(size=size, seed=seed), 2.0)
    assert pilot("small") == ({"small"}, "the store")
    assert pilot("small", task="decision_tree") == (set(), "the store")
    kept_dir = tmp_path / "results" / "old"
    for study, folder in (("h100", kept_dir), ("quick", kept_dir.with_name("other"))):
        for name in ("tiny-b1-s42-", "tiny-b1-s451-"):
            for path in (ROOT / "results" / study).glob(f"{name}*"):
                shutil.copytree(path, folder / path.name)
    # two seeds of tiny, where the store has one; of another task too
    assert pilot("tiny") == pilot("tiny", task="decision_tree") == ({"tiny"}, "results/old")
    assert pilot("tiny", n_dims=2) == ({"tiny"}, "results/other")
    assert pilot("small") == ({"small"}, "the store")


def test_training_curves_and_state_changes_are_read_when_asked_for(store, experiment):
    run_id = log_training(store, experiment, CONFIG, 2.0)
    for step, loss in ((25, 0.5), (1, 1.5)):
        store.log_metric(run_id, "train/loss", loss, step=step)
        store.log_metric(run_id, "train/query_error", loss / 2, step=step)
    for step, speed in ((25, 4.0), (1, 2.0)):
        store.log_metric(run_id, "speed/steps_per_s", speed, step=step)
    for loop in (2, 3):
        store.log_metric(run_id, "loops/state_change", 1 / loop, step=loop)
    (run,) = read_runs(store, experiment, with_training=True)
    assert run.training == {"step": [1, 25], "loss": [1.5, 0.5], "query_error": [0.75, 0.25]}
    assert run.state_change == [1 / 2, 1 / 3]
    assert run.metrics["train/loss"] == 0.5
    assert run.speed == [2.0, 4.0]
    (brief,) = read_runs(store, experiment)
    assert not brief.training and not brief.speed
