"""A cell has one summary, of the trainings that it has now; nothing takes it for a training."""

import os
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import planted_study
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.runs.load import read_runs
from looped.config import TrainConfig
from looped.names import Kind
from looped.tracking.runs import list_trainings, of_kind
from looped.tracking.stores.store import Store
from looped.tracking.ui import cells
from looped.tracking.ui.cells import band_over_seeds, show_cells, summarise_cells

SEEDS = (42, 451, 1984)


@pytest.fixture
def small_store(store):
    """A store with two cells of three seeds, and who fills it."""
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    for b, bits in ((1, 1.0), (5, 2.0)):
        for number, seed in enumerate(SEEDS):
            config = TrainConfig(b=b, seed=seed)
            planted_study.log_training(store, experiment, config, bits + 0.1 * number, n_loops=12)
    return Store(store, experiment)


def key_of(**settings):
    return TrainConfig(**settings).resolved("cpu", "fp32").cell_identity


def summaries(store, status="FINISHED"):
    query = f"{of_kind(Kind.CELL)} and attributes.status = '{status}'"
    return store.client.search_runs([store.experiment_id], query, order_by=["tags.b"])


def curve(store, run, name):
    history = store.client.get_metric_history(run.info.run_id, name)
    return [metric.value for metric in sorted(history, key=lambda metric: metric.step)]


def test_a_summary_is_the_mean_and_its_band(small_store):
    assert summarise_cells(small_store) == 2
    one_loop, five_loops = summaries(small_store)
    assert [run.info.run_name for run in (one_loop, five_loops)] == ["tiny-b1", "tiny-b5"]
    assert (five_loops.data.params["b"], five_loops.data.metrics["b"]) == ("5", 5)
    assert five_loops.data.metrics["cell/seeds"] == 3
    for run in (one_loop, five_loops):
        trainings = [
            curve(small_store, training, "loops/nmse")
            for training in list_trainings(*small_store)
            if training.data.tags["b"] == run.data.tags["b"]
        ]
        logs = np.log(trainings)  # a plain twin, by another library
        ends = stats.t.interval(0.95, 2, logs.mean(0), stats.sem(logs, axis=0))
        for name, expected in (("", logs.mean(0)), ("_lower", ends[0]), ("_upper", ends[1])):
            np.testing.assert_allclose(
                np.log(curve(small_store, run, f"cell/nmse{name}")), expected, rtol=1e-9
            )


def test_nothing_is_made_twice_and_what_changes_is_made_anew(small_store):
    client, experiment = small_store
    summarise_cells(small_store)
    before = {run.info.run_id for run in summaries(small_store)}
    assert summarise_cells(small_store) == 0
    assert {run.info.run_id for run in summaries(small_store)} == before

    planted_study.log_training(client, experiment, TrainConfig(b=5, seed=7), 2.2, n_loops=12)
    assert summarise_cells(small_store, {key_of(b=1)}) == 0
    assert summarise_cells(small_store) == 1
    assert len({run.info.run_id for run in summaries(small_store)} & before) == 1
    assert [run.data.metrics["cell/seeds"] for run in summaries(small_store)] == [3, 4]


def test_what_did_not_learn_is_left_out_and_what_was_repeated_counts_once(small_store):
    client, experiment = small_store
    config = TrainConfig(b=5, seed=7)
    planted_study.log_training(client, experiment, config, 0.0, n_loops=12, plateau="true")
    planted_study.log_training(client, experiment, TrainConfig(b=5, seed=42), 2.0, n_loops=12)
    summarise_cells(small_store)
    _, five_loops = summaries(small_store)
    assert five_loops.data.metrics["cell/seeds"] == 3
    assert "Left out: 1 that stayed" in five_loops.data.tags["mlflow.note.content"]


def test_two_machines_at_once_leave_one_summary(small_store, monkeypatch):
    monkeypatch.setattr(cells, "one_at_a_time", lambda *_: nullcontext())
    write, is_first = cells._write, [True]

    def write_while_another_machine_does(store, cell):
        if is_first.pop() if is_first else False:
            assert summarise_cells(store) == 2
        return write(store, cell)

    monkeypatch.setattr(cells, "_write", write_while_another_machine_does)
    assert summarise_cells(small_store) == 2
    assert len(summaries(small_store)) == 2


def test_what_a_killed_process_left_is_removed(small_store):
    client, experiment = small_store
    summarise_cells(small_store)
    tags = {"looped.kind": "cell", "cell": key_of(b=5)}
    lost_id = client.create_run(experiment, tags=tags).info.run_id
    summarise_cells(small_store)
    assert client.get_run(lost_id).info.lifecycle_stage == "active"  # it may be at it
    client.set_terminated(lost_id, "KILLED")
    summarise_cells(small_store)
    assert client.get_run(lost_id).info.lifecycle_stage == "deleted"
    assert len(summaries(small_store)) == 2


def test_what_happened_after_a_command_had_read_the_runs_counts(small_store):
    client, experiment = small_store
    known_configs = {run.run_id: run.config for run in read_runs(*small_store)}
    ids = {(config.b, config.seed): run_id for run_id, config in known_configs.items()}
    # one more ended, one is a plateau, one superseded, one deleted, one evaluated
    planted_study.log_training(client, experiment, TrainConfig(b=5, seed=7), 2.2, n_loops=12)
    client.set_tag(ids[5, 42], "plateau", "true")
    client.set_tag(ids[1, 42], "superseded_by", "another")
    client.delete_run(ids[1, 451])
    client.set_tag(ids[1, 1984], "evaluation.b_max", "12")
    assert summarise_cells(small_store, known_configs=known_configs) == 2
    one_loop, five_loops = summaries(small_store)
    assert one_loop.data.metrics["cell/seeds"] == 1
    assert five_loops.data.metrics["cell/seeds"] == 3
    assert "Left out: 1 that stayed" in five_loops.data.tags["mlflow.note.content"]
    assert summarise_cells(small_store) == 0, "as one that reads everything itself would"


def test_a_run_without_parameters_is_of_no_cell(small_store):
    client, experiment = small_store
    run_id = client.create_run(experiment, tags={"looped.kind": "training"}).info.run_id
    client.set_terminated(run_id)
    assert summarise_cells(small_store) == 2


def test_cells_of_one_size_and_b_have_names_of_their_own(store):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    place = Store(store, experiment)

    def names_after(**settings):
        config = TrainConfig(b=5, **settings)
        planted_study.log_training(store, experiment, config, 2.0, n_loops=12)
        summarise_cells(place, {config.resolved("cpu", "fp32").cell_identity})
        runs = summaries(place)
        assert len(runs) == len({run.data.tags["cell"] for run in runs}), "one summary of each"
        for run in runs:
            assert run.data.tags["mlflow.note.content"].startswith(f"**{run.info.run_name}: NMSE")
        return {run.info.run_name for run in runs}

    assert names_after() == {"tiny-b5"}
    assert names_after(seed=7, log_every=50) == {"tiny-b5"}
    assert names_after(loss_window=2.0) == {"tiny-b5", "tiny-b5 loss_window=2"}
    longer = {"tiny-b5 steps=7500", "tiny-b5 steps=9000", "tiny-b5 loss_window=2"}
    assert names_after(steps=9000) == longer, "the older one is named anew"


def test_nobody_takes_a_summary_for_a_training(small_store):
    before = [run.run_id for run in read_runs(*small_store)]
    summarise_cells(small_store)
    assert [run.run_id for run in read_runs(*small_store)] == before
    assert not {run.info.run_id for run in summaries(small_store)} & set(before)


def test_a_store_that_refuses_ends_no_command(small_store, monkeypatch, caplog):
    def refuse(*_):
        raise OSError("no room")

    monkeypatch.setattr(cells, "summarise_cells", refuse)
    show_cells(small_store)
    assert "the cells were not summarised (no room)" in caplog.text


@given(st.lists(st.floats(1e-6, 10.0), min_size=2, max_size=6), st.floats(0.01, 100.0))
def test_the_band_holds_the_mean_and_knows_no_unit(errors, unit):
    mean, lower, upper = band_over_seeds([[error] for error in errors])
    assert lower <= mean * (1 + 1e-12)
    assert mean <= upper * (1 + 1e-12)
    assert min(errors) * (1 - 1e-9) <= mean <= max(errors) * (1 + 1e-9)
    scaled_mean, scaled_lower, _ = band_over_seeds([[unit * error] for error in errors])
    np.testing.assert_allclose([scaled_mean, scaled_lower], [unit * mean, unit * lower], rtol=1e-6)


def test_the_band_covers_the_truth_as_often_as_it_says():
    seeds_by_trial = np.exp(np.random.default_rng(0).normal(size=(3, 20_000)))
    _, lower, upper = band_over_seeds(seeds_by_trial)
    assert np.mean((lower <= 1) & (upper >= 1)) == pytest.approx(0.95, abs=0.006)


def test_a_cell_is_all_but_the_seed():
    config = TrainConfig(b=5)
    assert config.cell_identity == replace(config, seed=3, log_every=7).cell_identity
    assert config.cell_identity == replace(config, seed=0).identity
    other_configs = [replace(config, b=4), replace(config, steps=10), replace(config, n_dims=3)]
    assert config.cell_identity not in {each.cell_identity for each in other_configs}
