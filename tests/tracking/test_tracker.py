import json
import os
import time
from contextlib import closing
from dataclasses import replace

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from small_trainings import Witness

from looped import TrainConfig
from looped.records.folder import RunFolder
from looped.records.journal import TrackingError, last_record
from looped.tracking import dead_runs
from looped.tracking import tracker as trackers
from looped.tracking.opening import open_run
from looped.training import loop, resolve

TINY = replace(
    TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, log_every=5),
    device="cpu",
)
STEPS = [1, 5, 10, 15, 20, 23]


@pytest.fixture
def folder(tmp_path):
    with closing(RunFolder(tmp_path / "runs", resolve.resolve(TINY))) as opened:
        yield opened


def runs(store):
    return store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], order_by=["start_time"])


def told(store, run_id, name="train/loss"):
    return [(m.step, m.value) for m in store.get_metric_history(run_id, name)]


def train_and_tell(folder, **options):
    config = resolve.resolve(TINY)
    tracker = open_run(config, folder)
    try:
        loop.train(TINY, folder, **options)
    except loop.Stopped:
        tracker.finish("KILLED", "stopped")
    else:
        tracker.finish("FINISHED", "trained", "**a note**")
    return tracker.run_id


def test_a_run_holds_all_that_its_journal_says(store, folder):
    run = store.get_run(train_and_tell(folder))
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "tiny-b2-s42"
    assert run.data.params["resolved.learning_rate"] == "0.001"
    assert run.data.params["model.n_params"] == str(TINY.model_config.n_params())
    expected = {"size": "tiny", "b": "2", "seed": "42", "task": "linear", "plateau": "true"}
    assert expected.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.note.content"] == "**a note**"
    for name in ("loss", "query_error", "grad_norm", "learning_rate"):
        assert [step for step, _ in told(store, run.info.run_id, f"train/{name}")] == STEPS
    assert {"speed/steps_per_s", "speed/tokens_per_s", "final/loss", "best/loss"} <= set(
        run.data.metrics
    )
    outcome = last_record(folder.journal_path, "outcome")["values"]
    assert outcome.items() <= run.data.metrics.items()
    names = {artifact.path for artifact in store.list_artifacts(run.info.run_id)}
    assert names == {"config.json", "journal.jsonl"}


def test_a_run_that_goes_on_tells_the_whole_history_once(store, folder):
    first = train_and_tell(folder, watcher=Witness(stop_at=12))
    second = train_and_tell(folder)
    assert [step for step, _ in told(store, first)] == [1, 5, 10]
    assert [step for step, _ in told(store, second)] == STEPS
    assert told(store, second)[:3] == told(store, first)
    assert store.get_run(first).info.status == "KILLED"
    assert store.get_run(first).data.tags["superseded_by"] == second
    assert "superseded_by" not in store.get_run(second).data.tags


def test_a_run_that_does_not_finish_supersedes_nothing(store, folder):
    first = train_and_tell(folder)
    tracker = open_run(resolve.resolve(TINY), folder)
    tracker.finish("KILLED", "interrupted while it told again")
    assert "superseded_by" not in store.get_run(first).data.tags
    third = train_and_tell(folder)
    tags = [store.get_run(run_id).data.tags for run_id in (first, tracker.run_id)]
    assert [of_run["superseded_by"] for of_run in tags] == [third, third]


def test_samples_that_are_computed_again_are_told_once(store, folder):
    """The tracker may have told samples that lie beyond the checkpoint of the next process."""
    for begins, ends in [(0, 7), (4, 9)]:
        tracker = open_run(resolve.resolve(TINY), folder)
        folder.journal.append("start", step=begins)
        for step in range(begins + 1, ends + 1):
            folder.journal.append("metrics", step=step, values={"train/loss": float(step)})
            tracker._tell()
        tracker.finish("KILLED", "test")
        assert told(store, tracker.run_id) == [(s, float(s)) for s in range(1, ends + 1)]


def test_nothing_is_told_twice_by_a_tracker_that_is_opened_again(store, folder, monkeypatch):
    first = train_and_tell(folder)
    monkeypatch.setenv("MLFLOW_RUN_ID", first)
    store.update_run(first, status="RUNNING")
    assert train_and_tell(folder) == first
    assert [step for step, _ in told(store, first)] == STEPS


def test_a_server_that_is_away_holds_nothing_up_and_misses_nothing(
    store, folder, monkeypatch, caplog
):
    monkeypatch.setattr(trackers, "SECONDS_BETWEEN", 0.01)
    tracker = open_run(resolve.resolve(TINY), folder)
    there = trackers.log_in_batches
    calls = []

    def away(*arguments, **options):
        calls.append(arguments)
        raise MlflowException("connection refused")

    monkeypatch.setattr(trackers, "log_in_batches", away)
    loop.train(TINY, folder)
    while len(calls) < 3:  # it keeps trying
        pass
    monkeypatch.setattr(trackers, "log_in_batches", there)
    tracker.finish("FINISHED", "trained")
    assert [step for step, _ in told(store, tracker.run_id)] == STEPS
    assert caplog.text.count("MLflow is away") == 1


def test_a_server_that_stays_away_is_said_in_one_line(store, folder, monkeypatch):
    tracker = open_run(resolve.resolve(TINY), folder)

    def away(*arguments, **options):
        raise MlflowException("connection refused")

    monkeypatch.setattr(trackers, "log_in_batches", away)
    loop.train(replace(TINY, steps=23), folder)
    with pytest.raises(TrackingError, match="the same command tells it again"):
        tracker.finish("FINISHED", "trained")


def test_runs_without_a_living_process_are_marked_killed(store, folder, tmp_path):
    config = resolve.resolve(TINY)
    alive = open_run(config, folder)
    config_of_dead = resolve.resolve(replace(TINY, seed=7))
    with closing(RunFolder(tmp_path / "runs", config_of_dead)) as second:
        dead = open_run(config_of_dead, second)
        dead._leaving.set()
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    foreign = store.create_run(experiment, tags={"looped.host": "elsewhere"}).info.run_id
    assert dead_runs.mark_dead_runs(store, experiment) == [dead.run_id]
    assert store.get_run(dead.run_id).info.status == "KILLED"
    assert store.get_run(alive.run_id).info.status == "RUNNING"
    assert store.get_run(foreign).info.status == "RUNNING"
    alive.finish("KILLED", "test")


def test_a_training_that_mlflow_made_and_that_never_began_is_marked_killed(store):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    now = round(time.time() * 1000)
    tags = {"mlflow.project.entryPoint": "train"}
    old, young, unlike = (
        store.create_run(experiment, start_time=start, tags=tags_of_run).info.run_id
        for start, tags_of_run in [(now - 4_000_000, tags), (now, tags), (now - 4_000_000, {})]
    )
    assert dead_runs.mark_dead_runs(store, experiment) == [old]
    statuses = [store.get_run(run_id).info.status for run_id in (old, young, unlike)]
    assert statuses == ["KILLED", "RUNNING", "RUNNING"]


def test_the_way_to_the_ui_names_the_run_and_the_table_of_all(store, folder):
    tracker = open_run(resolve.resolve(TINY), folder)
    tracker.finish("KILLED", "test")
    head, this_run, table = tracker.where_to_look.splitlines()
    command = f"`mlflow ui --backend-store-uri {mlflow.get_tracking_uri()}`"
    assert head == f"look at it, once {command} runs:"
    assert this_run.endswith(f"/runs/{tracker.run_id}?workflowType=machine_learning")
    assert table.endswith("?workflowType=machine_learning&viewStateShareKey=looped-trainings")


def test_progress_beside_the_journal_survives(folder, store):
    run_id = train_and_tell(folder)
    progress = json.loads((folder.path / "told.json").read_text())[run_id]
    assert progress == {"offset": folder.journal_path.stat().st_size, "step": 23, "opened": 0}
