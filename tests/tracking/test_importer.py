"""Told later equals told at once."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from small_trainings import Witness

from entrypoints import import_runs
from looped import TrainConfig
from looped.grid.options import RunOptions
from looped.grid.records.folder import GridFolder
from looped.grid.run_trainings import Nest, run_trainings
from looped.records.folder import RunFolder, run_path
from looped.tracking import importer
from looped.tracking.stores.store import open_store
from looped.training import resolve
from looped.training.watcher import Watcher

TINY = resolve.resolve(
    TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, log_every=5,
                device="cpu")
)  # fmt: skip


def train(root, config=TINY, watcher=None, nest=None, **options):
    run_options = RunOptions(runs_dir=str(root), b_max=4, **options)
    (ending,) = run_trainings([config], run_options, watcher or Watcher(), nest or Nest())
    return ending


def runs(store, kind="training"):
    query = f"tags.`looped.kind` = '{kind}'"
    of_kind = store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)
    return sorted(of_kind, key=lambda run: run.info.start_time)


def everything(store, run):
    """All that a run holds, but for ids, times, paths, programs and speeds."""
    names = [name for name in run.data.metrics if not name.startswith(("speed/", "memory/"))]
    history = {
        name: sorted((m.step, m.value) for m in store.get_metric_history(run.info.run_id, name))
        for name in names
    }
    note = run.data.tags["mlflow.note.content"].splitlines()[:-1]
    tags = {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")}
    del tags["looped.folder"], tags["looped.program"]
    files = {
        (folder, file.path, None if file.path.endswith(("jsonl", "MLmodel")) else file.file_size)
        for folder in ("", "evaluation", "model", "model/artifacts")
        for file in store.list_artifacts(run.info.run_id, folder)
    }
    return run.info.status, run.info.run_name, history, run.data.params, tags, note, files


def told(store, run_id):
    return [m.step for m in store.get_metric_history(run_id, "train/loss")]


def test_offline_equals_online(store, tmp_path, capsys, monkeypatch):
    train(tmp_path / "online")
    assert train(tmp_path / "offline", tracking="offline").run_id == ""
    assert len(runs(store)) == 1
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(tmp_path / "offline")])
    assert import_runs.main() == 0
    assert import_runs.main() == 0
    assert "1 of 1 run told; 0 were told before" in capsys.readouterr().out
    online, offline = runs(store)
    assert everything(store, online) == everything(store, offline)
    versions = store.search_model_versions("name='looped-linear-tiny-d2-n5'")
    assert {v.run_id for v in versions} == {online.info.run_id, offline.info.run_id}
    baselines = [run.data.tags["baseline"] for run in runs(store, "baseline")]
    assert len(baselines) == len(set(baselines)) > 2


def test_journals_kept_without_their_weights_are_told_and_register_nothing(
    store, tmp_path, capsys, monkeypatch
):
    train(tmp_path / "offline", tracking="offline")
    (weights,) = (tmp_path / "offline").glob("*/model")
    shutil.rmtree(weights)
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(tmp_path / "offline")])
    assert import_runs.main() == 0
    assert "registered" not in capsys.readouterr().out
    (run,) = runs(store)
    assert run.info.status == "FINISHED"
    assert not store.search_registered_models()


def test_a_copy_of_a_folder_is_not_told_again(store, tmp_path):
    train(tmp_path / "one", tracking="offline")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    path = run_path(tmp_path / "one", TINY)
    first = importer.import_run(open_store(), path, {}, register=False)
    copy = run_path(tmp_path / "other", TINY)
    second = importer.import_run(open_store(), copy, {}, register=False)
    assert (first.is_new, second.is_new) == (True, False)
    assert second.run_id == first.run_id
    assert len(runs(store)) == 1


def test_a_run_that_was_stopped_and_went_on_is_told_once_as_a_whole(store, tmp_path):
    train(tmp_path, watcher=Witness(stop_at=12), tracking="offline")
    path = run_path(tmp_path, TINY)
    first = importer.import_run(open_store(), path, {}, register=False)
    train(tmp_path, tracking="offline")
    second = importer.import_run(open_store(), path, {}, register=False)
    assert [run.info.status for run in runs(store)] == ["KILLED", "FINISHED"]
    assert told(store, first.run_id) == [1, 5, 10]
    assert told(store, second.run_id) == [1, 5, 10, 15, 20, 23]
    assert store.get_run(first.run_id).data.tags["superseded_by"] == second.run_id


def test_a_run_that_died_is_told_as_killed(store, tmp_path):
    folder = RunFolder(tmp_path, TINY)
    folder.journal.append("start", step=0)
    folder.journal.append("metrics", step=1, values={"train/loss": 1.0})
    folder.close()
    imported = importer.import_run(open_store(), folder.path, {}, register=False)
    run = store.get_run(imported.run_id)
    assert (run.info.status, run.data.tags["looped.reason"]) == ("KILLED", "its process died")
    assert told(store, run.info.run_id) == [1]


def test_what_a_lost_server_missed_is_told_to_the_same_run(store, tmp_path, monkeypatch):
    from mlflow.exceptions import MlflowException

    from looped.tracking.tracker import Tracker

    def away(*_):
        raise MlflowException("connection refused")

    with monkeypatch.context() as lost:
        lost.setattr(Tracker, "_tell", away)
        ending = train(tmp_path, register=False)
    assert (ending.status, ending.is_told) == ("FINISHED", False)
    assert "holds it all" in ending.problems[0]
    (run,) = runs(store)
    assert run.info.status == "RUNNING"
    imported = importer.import_run(open_store(), run_path(tmp_path, TINY), {}, register=True)
    assert (imported.run_id, imported.is_new) == (run.info.run_id, True)
    assert told(store, run.info.run_id) == [1, 5, 10, 15, 20, 23]
    assert store.get_run(run.info.run_id).info.status == "FINISHED"
    assert store.search_model_versions("name='looped-linear-tiny-d2-n5'")


def test_a_training_of_a_grid_goes_on_when_the_server_is_lost(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    ending = train(tmp_path, nest=Nest("grid-1", "parent-1"))
    assert (ending.status, ending.run_id, ending.is_told) == ("FINISHED", "", False)
    assert "MLflow must be reachable, got http://127.0.0.1:1" in ending.problems[0]
    alone = train(tmp_path, replace(TINY, seed=7))
    assert alone.status == "REFUSED"
    assert alone.reason.startswith("MLflow must be reachable, got http://127.0.0.1:1")


def test_trainings_of_a_grid_are_nested_under_it(store, tmp_path, monkeypatch):
    with_grid = GridFolder(tmp_path, "abc")
    with_grid.begin("grid of 1 training", {"bs": "2"}, {"looped.host": "there"})
    with_grid.show("**1 training**", "training,state\n")
    with_grid.end("FINISHED", "1 training: 1 finished now")
    with_grid.close()
    train(tmp_path, tracking="offline", nest=Nest("abc"), register=False)
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(tmp_path)])
    assert import_runs.main() == 0
    (parent,), (child,) = runs(store, "grid"), runs(store)
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "grid of 1 training")
    assert parent.data.tags["mlflow.note.content"] == "**1 training**"
    assert [file.path for file in store.list_artifacts(parent.info.run_id)] == ["trainings.csv"]
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("told.json", "copy"))
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(tmp_path / "copy")])
    assert import_runs.main() == 0
    assert len(runs(store, "grid")) == len(runs(store)) == 1


def test_what_cannot_be_imported_is_said_in_a_line(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(tmp_path)])
    assert import_runs.main() == 1
    assert capsys.readouterr().err == f"import_runs: path must hold runs, got {tmp_path}\n"
    train(tmp_path, tracking="offline", evaluate=False)
    path = run_path(tmp_path, TINY)
    aside = path.rename(path.with_name(path.name + ".1"))
    assert import_runs.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"import_runs: {aside} is left out: its folder must be named {path.name}"
    )
    assert runs(store) == []
    assert json.loads((aside / "origin.json").read_text())["grid"] is None


@pytest.fixture(autouse=True)
def _few_retries(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
