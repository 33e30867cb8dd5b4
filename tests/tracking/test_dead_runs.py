"""Who may end a run, and as what: runs whose process is gone."""

import os
from contextlib import closing
from dataclasses import replace

import pytest

from looped import TrainConfig
from looped.grid.records.known_runs import standings_in_store
from looped.grid.records.standing import FAILED_BEFORE, TO_DO
from looped.records.folder import FolderLock, RunFolder
from looped.tracking import dead_runs
from looped.tracking import tracker as trackers
from looped.tracking.dead_runs import end_lost_runs, mark_dead_runs
from looped.tracking.opening import open_run
from looped.tracking.runs import end_run
from looped.tracking.stores.store import Store
from looped.training import resolve

CONFIG = resolve.resolve(
    TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, device="cpu")
)


@pytest.fixture
def experiment(store):
    return os.environ["MLFLOW_EXPERIMENT_ID"]


def die(folder, tracker):
    """Leave a folder and its run as a process does that is killed."""
    tracker._leaving.set()
    tracker._thread.join()
    folder.close()


@pytest.fixture
def dead(store, tmp_path):
    """The folder and the tracker of a training whose process was killed after one sample."""
    folder = RunFolder(tmp_path / "runs", CONFIG)
    tracker = open_run(CONFIG, folder)
    folder.journal.append("start", step=0)
    folder.journal.append("metrics", step=1, values={"train/loss": 1.0})
    die(folder, tracker)
    return folder, tracker


def status(store, run_id):
    return store.get_run(run_id).info.status


def test_a_run_that_ends_while_a_neighbour_looks_is_not_killed(store, tmp_path, monkeypatch):
    """The neighbour lists RUNNING runs; the run ends and leaves its folder; the neighbour acts."""
    folder = RunFolder(tmp_path / "runs", CONFIG)
    tracker = open_run(CONFIG, folder)
    listed = dead_runs.list_runs

    def list_then_end(*arguments):
        runs = list(listed(*arguments))
        if runs and status(store, tracker.run_id) == "RUNNING":
            tracker.finish("FINISHED", "trained")
            folder.close()
        return iter(runs)

    monkeypatch.setattr(dead_runs, "list_runs", list_then_end)
    assert mark_dead_runs(store, os.environ["MLFLOW_EXPERIMENT_ID"]) == []
    run = store.get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["looped.reason"]) == ("FINISHED", "trained")


def test_a_run_is_ended_by_the_holder_of_its_folder_alone(store, experiment, dead):
    folder, tracker = dead
    with closing(FolderLock(folder.path)):  # a later process works there, and has not said so
        assert mark_dead_runs(store, experiment) == []
        end_lost_runs(store, [tracker.run_id])
        assert status(store, tracker.run_id) == "RUNNING"
    assert mark_dead_runs(store, experiment) == [tracker.run_id]
    assert status(store, tracker.run_id) == "KILLED"


def test_the_lock_is_held_while_a_run_is_ended(store, experiment, dead, monkeypatch):
    folder, _ = dead
    holds = []
    end = dead_runs.end_run

    def is_free(*arguments):
        with dead_runs.hold_if_free(folder.path) as is_held:
            holds.append(is_held)
        end(*arguments)

    monkeypatch.setattr(dead_runs, "end_run", is_free)
    mark_dead_runs(store, experiment)
    assert holds == [False]


def test_what_its_journal_says_finished_is_never_killed(store, experiment, dead, caplog):
    folder, tracker = dead
    with closing(RunFolder(folder.path.parent, CONFIG)) as again:
        again.journal.append("end", status="FINISHED", reason="NMSE 0.1")
    assert mark_dead_runs(store, experiment) == []
    end_lost_runs(store, [tracker.run_id])
    assert status(store, tracker.run_id) == "RUNNING"
    assert f"mlflow run . -e import_runs -P path={folder.path.parent} tells it" in caplog.text


def finish_untold(folder):
    """Write what a process does that finishes, and is killed before it can tell MLflow."""
    with closing(RunFolder(folder.path.parent, CONFIG)) as again:
        again.journal.append("metrics", step=2, values={"train/loss": 0.5})
        again.journal.append("end", status="FINISHED", reason="NMSE 0.1")


def test_the_next_process_keeps_the_run_of_what_finished(store, experiment, dead):
    """Two finished runs of one training would count it twice."""
    folder, tracker = dead
    finish_untold(folder)
    with closing(RunFolder(folder.path.parent, CONFIG)) as again:
        later = open_run(CONFIG, again, parent="ab" * 16)
        again.journal.append("start", step=2)
        later.finish("FINISHED", "NMSE 0.1, said again")
    (run,) = store.search_runs([experiment])
    assert run.info.run_id == tracker.run_id
    assert (run.info.status, run.data.tags["mlflow.parentRunId"]) == ("FINISHED", "ab" * 16)
    samples = store.get_metric_history(tracker.run_id, "train/loss")
    assert [sample.step for sample in samples] == [1, 2]


def test_killed_once_more_the_kept_run_is_ended_by_its_newest_process(store, experiment, dead):
    folder, tracker = dead
    finish_untold(folder)
    again = RunFolder(folder.path.parent, CONFIG)
    later = open_run(CONFIG, again)
    again.journal.append("start", step=2)
    die(again, later)
    assert mark_dead_runs(store, experiment) == [tracker.run_id]


def test_the_run_of_mlflow_run_is_taken_beside_the_one_that_finished(
    store, experiment, dead, monkeypatch
):
    folder, tracker = dead
    finish_untold(folder)
    launched = store.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launched)
    with closing(RunFolder(folder.path.parent, CONFIG)) as again:
        later = open_run(CONFIG, again)
        later.finish("FINISHED", "NMSE 0.1")
    assert later.run_id == launched
    run = store.get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["superseded_by"]) == ("FINISHED", launched)
    samples = store.get_metric_history(tracker.run_id, "train/loss")
    assert [sample.step for sample in samples] == [1, 2]


def test_an_end_that_was_not_told_is_that_of_the_journal(store, experiment, dead):
    folder, tracker = dead
    with closing(RunFolder(folder.path.parent, CONFIG)) as again:
        again.journal.append("end", status="FAILED", reason="it diverged")
    assert mark_dead_runs(store, experiment) == []
    run = store.get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["looped.reason"]) == ("FAILED", "it diverged")


def test_what_mlflow_run_failed_is_what_its_journal_says(store, experiment, dead):
    """On Ctrl-C, and where a process is killed, it knows an exit code alone."""
    folder, tracker = dead
    root = folder.path.parent
    store.set_terminated(tracker.run_id, "FAILED")
    assert standings_in_store(Store(store, experiment), [CONFIG], root)[CONFIG.identity].state == (
        TO_DO  # before its first checkpoint
    )
    with closing(RunFolder(root, CONFIG)) as again:
        again.journal.append("end", status="KILLED", reason="stopped after 1 of 23 steps")
    standings = standings_in_store(Store(store, experiment), [CONFIG], root)
    assert standings[CONFIG.identity].state == TO_DO
    with closing(RunFolder(root, CONFIG)) as again:
        open_run(CONFIG, again).finish("KILLED", "enough")
    run = store.get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["looped.reason"]) == (
        "KILLED", "stopped after 1 of 23 steps",
    )  # fmt: skip


def test_a_training_that_failed_by_its_journal_stays_failed(store, experiment, dead):
    folder, tracker = dead
    root = folder.path.parent
    with closing(RunFolder(root, CONFIG)) as again:
        again.journal.append("end", status="FAILED", reason="it diverged")
    store.set_terminated(tracker.run_id, "FAILED")
    standings = standings_in_store(Store(store, experiment), [CONFIG], root)
    assert standings[CONFIG.identity].state == FAILED_BEFORE


def test_a_training_that_said_why_it_failed_before_its_journal_could_stays_failed(
    store, experiment, dead
):
    folder, tracker = dead
    end_run(store, tracker.run_id, "FAILED", "the disk is full")
    standings = standings_in_store(Store(store, experiment), [CONFIG], folder.path.parent)
    assert standings[CONFIG.identity].state == FAILED_BEFORE


def test_a_training_that_failed_on_another_machine_stays_failed(store, experiment, dead):
    folder, tracker = dead
    store.set_terminated(tracker.run_id, "FAILED")
    elsewhere = folder.path.parent / "elsewhere"
    standings = standings_in_store(Store(store, experiment), [CONFIG], elsewhere)
    assert standings[CONFIG.identity].state == FAILED_BEFORE


def test_mlflow_run_failed_what_finished_and_the_next_process_keeps_its_run(
    store, experiment, dead
):
    folder, tracker = dead
    finish_untold(folder)
    store.set_terminated(tracker.run_id, "FAILED")
    with closing(RunFolder(folder.path.parent, CONFIG)) as again:
        open_run(CONFIG, again).finish("FINISHED", "NMSE 0.1, said again")
    (run,) = store.search_runs([experiment])
    assert (run.info.run_id, run.info.status) == (tracker.run_id, "FINISHED")


def test_the_end_of_a_later_process_is_not_an_earlier_runs(store, experiment, dead):
    folder, tracker = dead
    with closing(RunFolder(folder.path.parent, CONFIG)) as offline:
        offline.journal.append("start", step=0)
        offline.journal.append("end", status="FINISHED", reason="NMSE 0.1")
    assert mark_dead_runs(store, experiment) == [tracker.run_id]


def test_a_run_whose_folder_is_not_here_is_left_alone(store, experiment, dead):
    folder, tracker = dead
    folder.path.rename(folder.path.with_name("elsewhere"))
    assert mark_dead_runs(store, experiment) == []
    assert status(store, tracker.run_id) == "RUNNING"


def test_a_run_whose_journal_cannot_be_read_is_left_alone_and_named(
    store, experiment, dead, caplog
):
    folder, tracker = dead
    folder.journal_path.write_bytes(b"\xff\xfe no journal\n")
    assert mark_dead_runs(store, experiment) == []
    assert status(store, tracker.run_id) == "RUNNING"
    assert str(folder.path) in caplog.text


def test_a_lost_told_json_does_not_make_a_finished_run_killed(store, experiment, dead):
    folder, tracker = dead
    with closing(RunFolder(folder.path.parent, CONFIG)) as again:
        again.journal.append("end", status="FINISHED", reason="NMSE 0.1")
    (folder.path / "told.json").write_bytes(b"")
    assert mark_dead_runs(store, experiment) == []
    assert status(store, tracker.run_id) == "RUNNING"


def test_a_run_that_cannot_begin_is_not_left_running(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "told.json")

    monkeypatch.setattr(trackers, "remember", full)
    with (
        closing(RunFolder(tmp_path / "runs", replace(CONFIG, seed=3))) as folder,
        pytest.raises(trackers.TrackingError, match=r"No space left on device: 'told\.json'"),
    ):
        open_run(CONFIG, folder)
    (run,) = store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]])
    assert run.info.status == "FAILED"
