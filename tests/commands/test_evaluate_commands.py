"""The commands that evaluate trained models, from their arguments to what MLflow holds."""

import shutil
import signal
import sqlite3
import sys
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest
from mlflow.tracking import MlflowClient
from mlflow.tracking._tracking_service import utils

from analysis.runs import load
from entrypoints import evaluate_extrapolation, evaluate_tables, train
from looped.evaluation.behaviour import KINDS, MIXED
from looped.records.prompt_errors import FILE
from looped.tracking import metrics

SMALL = [
    "--b", "2", "--n_examples", "7", "--batch_size", "8", "--steps", "20", "--device", "cpu",
    "--evaluate", "false",
]  # fmt: skip


@contextmanager
def own_signals():
    """Put the handlers back that a command has replaced."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def run(call, store, tmp_path):
    """Run a command; those that keep something keep it in the test's own folder."""

    def run(command, *argv):
        keeps_nothing = command is evaluate_tables
        runs_dir = () if keeps_nothing else ("--runs_dir", str(tmp_path / "runs"))
        return call(command, *argv, *runs_dir)

    with own_signals():
        yield run


def run_id_in(lines):
    (line,) = (line for line in lines if line.startswith("  this run: "))
    return line.rsplit("/", 1)[-1].partition("?")[0]


@pytest.fixture(scope="module")
def trained_once(empty_database, tmp_path_factory):
    """A folder with store, artifacts and runs of one training, and its id."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copy(empty_database, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as settings, own_signals():
        settings.delenv("MLFLOW_RUN_ID", raising=False)
        settings.setenv("MLFLOW_TRACKING_URI", uri)
        experiment_id = MlflowClient(uri).create_experiment("test", (folder / "artifacts").as_uri())
        settings.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
        settings.setattr(sys, "argv", ["command", *SMALL, "--runs_dir", str(folder / "runs")])
        assert train.main() == 0
    client = MlflowClient(uri)
    (trained_run,) = client.search_runs([experiment_id])
    return folder, trained_run.info.run_id


@pytest.fixture
def trained_id(store, tmp_path, trained_once, monkeypatch):
    """The id of a finished training run whose model is registered and not evaluated.

    It lies in the test's own store and folder: a copy, in which every path is the copy's.
    """
    folder, run_id = trained_once
    monkeypatch.setattr(utils, "_artifact_repos_cache", {})  # it knows artifacts by their run alone
    for name in ("artifacts", "runs"):
        shutil.copytree(folder / name, tmp_path / name, dirs_exist_ok=True)
    with (
        closing(sqlite3.connect(folder / "mlflow.db")) as source,
        closing(sqlite3.connect(tmp_path / "mlflow.db")) as copy,
    ):
        source.backup(copy)
        tables = copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        columns = [
            (table, name)
            for (table,) in tables
            for _, name, kind, *_ in copy.execute(f"PRAGMA table_info({table})")
            if "CHAR" in kind or "TEXT" in kind
        ]
        for table, name in columns:
            change = f"UPDATE {table} SET {name} = replace({name}, ?, ?) WHERE instr({name}, ?)"
            copy.execute(change, (str(folder), str(tmp_path), str(folder)))
        copy.commit()
    return run_id


FEW = ("--b_max", "4", "--n_prompts", "64")


def steps(store, run_id, name):
    return [metric.step for metric in store.get_metric_history(run_id, name)]


def test_a_run_is_evaluated_beyond_its_b(run, store, trained_id):
    code, (line,) = run(evaluate_extrapolation, "--run_id", trained_id, *FEW)
    assert code == 0
    assert line.startswith("tiny-b2-s42: NMSE ")
    assert " after 4 loops" in line
    assert steps(store, trained_id, "loops/nmse") == [1, 2, 3, 4]
    assert steps(store, trained_id, "loops/state_change") == [2, 3, 4]
    metrics = store.get_run(trained_id).data.metrics
    assert metrics["extrapolation/prompts"] == 64
    ratio = metrics["extrapolation/nmse_at_b_max"] / metrics["extrapolation/nmse_at_b"]
    assert metrics["extrapolation/ratio_b_max_to_b"] == pytest.approx(ratio)
    files = {file.path for file in store.list_artifacts(trained_id, "evaluation")}
    names = ("loops.csv", "baselines.csv", "extrapolation.svg", "extrapolation.png", FILE)
    assert files == {f"evaluation/{name}" for name in names}
    assert metrics["held_out/prompts_kept"] == 64


def test_an_evaluation_that_is_stopped_ends_the_run_of_mlflow_run(
    run, store, trained_id, monkeypatch
):
    """Stopped by a signal that ends ``mlflow run`` too, nobody else would end it."""
    experiment_id = store.get_run(trained_id).info.experiment_id
    launched_id = store.create_run(experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched_id)
    monkeypatch.setattr(evaluate_extrapolation, "StopRequest", StoppedAtOnce)
    code, _ = run(evaluate_extrapolation, *FEW)
    assert code == StoppedAtOnce.exit_code
    launched_run = store.get_run(launched_id)
    assert launched_run.info.status == "KILLED"
    assert launched_run.data.tags["looped.reason"] == "stopped after 0 of 1 model"


class StoppedAtOnce:
    exit_code = 143

    def __call__(self):
        return True


def test_errors_by_prompt_are_read_for_the_weights_that_are_compared(run, store, trained_id):
    run(evaluate_extrapolation, "--run_id", trained_id, *FEW)
    (read_run,) = load.read_runs(store, store.get_run(trained_id).info.experiment_id)
    for runs, ids in (([replace(read_run, metrics={})], {trained_id}), ([read_run], set())):
        assert load.with_prompt_errors(store, runs, ids)[0].prompt_errors is None
    for logged_run in (read_run, load.with_tails(store, [read_run])[0]):
        errors = load.with_prompt_errors(store, [logged_run], {trained_id})[0].errors_after(2)
        assert errors.mean() == pytest.approx(logged_run.loops["nmse"][1])
        assert len(errors) == 64


def test_a_registered_model_is_evaluated_to_the_run_that_trained_it(run, store, trained_id):
    code, lines = run(evaluate_extrapolation, "--model", "models:/looped-linear-tiny-n7@best", *FEW)
    assert code == 0, lines
    assert steps(store, trained_id, "loops/nmse") == [1, 2, 3, 4]


def test_the_run_that_launched_it_says_what_came(run, store, trained_id, monkeypatch):
    launcher_id = store.create_run(store.get_run(trained_id).info.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launcher_id)
    _, (line,) = run(evaluate_extrapolation, "--run_id", trained_id, *FEW)
    launcher = store.get_run(launcher_id)
    assert launcher.info.run_name == "evaluate_extrapolation"
    assert launcher.data.tags["mlflow.note.content"] == f"- {line}"
    assert not launcher.data.metrics


def test_without_a_choice_every_run_is_evaluated_once(run, store, trained_id):
    code, lines = run(evaluate_extrapolation, *FEW)
    assert (code, len(lines)) == (0, 1)
    assert steps(store, trained_id, "loops/nmse") == [1, 2, 3, 4]
    code, (line,) = run(evaluate_extrapolation, *FEW)
    assert code == 0
    assert line.startswith("every finished training of this experiment is evaluated")
    code, (line,) = run(evaluate_extrapolation, "--b_max", "5", "--n_prompts", "64")
    assert line.startswith("tiny-b2-s42: NMSE ")


def test_it_says_what_the_state_does_and_evaluates_older_runs_for_it(run, store, trained_id):
    run(evaluate_extrapolation, "--run_id", trained_id, "--b_max", "20", "--n_prompts", "64")
    data = store.get_run(trained_id).data
    assert data.tags["dynamics"] in (*KINDS, MIXED)
    assert data.metrics["dynamics/prompts"] == 16
    assert sum(data.metrics[f"dynamics/{kind}"] for kind in KINDS) == pytest.approx(1)
    assert 1 <= data.metrics["extrapolation/band_first"] <= data.metrics["extrapolation/best_loop"]
    assert steps(store, trained_id, "loops/prediction_change") == list(range(2, 21))
    (read_run,) = load.read_runs(store, store.get_run(trained_id).info.experiment_id)
    tail_run = load.with_tails(store, [read_run])[0]
    for logged_run, prefix in ((read_run, ""), (tail_run, "tail_")):
        expected = data.metrics[f"dynamics/{prefix}spectral_radius"]
        assert logged_run.dynamics["spectral_radius"] == expected
        assert len(logged_run.prediction_change) == 19
    _, lines = run(evaluate_extrapolation, "--b_max", "20", "--n_prompts", "64")
    assert lines[0].startswith("every finished training")
    store.delete_tag(trained_id, "dynamics")  # as runs were left that were evaluated before
    _, lines = run(evaluate_extrapolation, "--b_max", "20", "--n_prompts", "64")
    assert "; the state " in lines[0] and "spectral radius" in lines[0]


def test_baselines_are_logged_once_however_many_models(run, store, trained_id):
    experiment = store.get_run(trained_id).info.experiment_id
    for _ in range(2):
        run(evaluate_extrapolation, "--run_id", trained_id, *FEW)
    runs = store.search_runs([experiment], "tags.`looped.kind` = 'baseline'")
    names = [baseline.data.tags["baseline"] for baseline in runs]
    expected = ["averaging", "gradient_descent", "least_squares", "nearest_neighbours"]
    assert sorted(names) == expected
    assert all(
        steps(store, baseline.info.run_id, "loops/nmse") == [1, 2, 3, 4] for baseline in runs
    )


def test_it_takes_the_lock_under_which_trainings_score_the_baselines(
    run, store, trained_id, tmp_path, monkeypatch
):
    monkeypatch.setattr(metrics, "BASELINES_SECONDS", 0.0)
    with closing(metrics.baselines_lock(tmp_path / "runs")):
        code, lines = run(evaluate_extrapolation, "--run_id", trained_id, *FEW)
    assert code == 1
    assert "one process at a time may work in a folder" in lines[-1]
    experiment = store.get_run(trained_id).info.experiment_id
    assert not store.search_runs([experiment], "tags.`looped.kind` = 'baseline'")


def test_tables_are_predicted_beside_least_squares(run, store, trained_id):
    code, lines = run(evaluate_tables, "--run_id", trained_id, *FEW)
    assert code == 0, lines
    assert "iris is left out: " in "\n".join(lines)
    for table in ("diabetes", "wine", "breast_cancer"):
        assert steps(store, trained_id, f"tables/{table}") == [1, 2, 3, 4]
        assert any(line.startswith(table) and "least squares" in line for line in lines)
    files = {file.path for file in store.list_artifacts(trained_id, "tables")}
    assert files == {"tables/tables.csv", "tables/tables.svg", "tables/tables.png"}


@pytest.mark.parametrize(
    ("command", "argv", "expected_code", "rule"),
    [
        (evaluate_extrapolation, ["--run_id", "f" * 32], 1, "run must be one that"),
        (evaluate_extrapolation, ["--model", "models:/nobody@best"], 1, "model must be one that"),
        (evaluate_extrapolation, ["--model", "nonsense!"], 1, "a model must be given as a run"),
        (evaluate_extrapolation, ["--b_max", "0"], 2, "b_max must be a whole number of at least 1"),
        (evaluate_extrapolation, ["--n_prompts", "1"], 2, "n_prompts must be a whole number"),
        (evaluate_extrapolation, ["--run_id", "a", "--model", "b"], 2, "give run_id or model"),
        (evaluate_tables, [], 2, "give run_id or model, got run_id=None and model=None"),
        (evaluate_tables, ["--run_id", "f" * 32], 1, "run must be one that"),
    ],
)
def test_bad_input_is_refused_in_one_line(run, command, argv, expected_code, rule):
    code, (line,) = run(command, *argv)
    assert code == expected_code
    assert rule in line
    assert ", got " in line


def test_a_run_that_is_no_training_is_refused(run, store, trained_id):
    empty_id = store.create_run(store.get_run(trained_id).info.experiment_id).info.run_id
    code, (line,) = run(evaluate_extrapolation, "--run_id", empty_id)
    assert code == 1
    assert "must be a training" in line


@pytest.mark.parametrize(
    ("table", "rule"),
    [("iris", "n_dims must lie in [1, 3]"), ("titanic", "table must be one of diabetes")],
)
def test_a_table_that_does_not_fit_the_model_is_refused(run, trained_id, table, rule):
    code, (line,) = run(evaluate_tables, "--run_id", trained_id, "--table", table, *FEW)
    assert code == 1
    assert rule in line


def test_a_model_of_another_task_is_refused(run, store):
    code, lines = run(train, *SMALL, "--task", "decision_tree")
    assert code == 0, lines
    run_id = run_id_in(lines)
    code, (line,) = run(evaluate_tables, "--run_id", run_id, "--table", "diabetes")
    assert code == 1
    assert line.endswith("got decision_tree")
