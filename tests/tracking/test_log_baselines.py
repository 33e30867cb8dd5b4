"""Baselines are logged once, whoever is killed or comes at the same time."""

import os
from contextlib import closing

import pytest

from looped.evaluation import baseline_scores
from looped.records.folder import FolderInUseError
from looped.tasks.task_config import TaskConfig
from looped.tracking import metrics
from looped.tracking.dead_runs import mark_dead_runs

TASK = TaskConfig(name="linear", n_dims=2)
RECORD = {"loops": {"nmse": [0.5, 0.4]}, "n_prompts": 16}
SCORES = {
    name: {"nmse": [error], "nmse_se": [0.01]}
    for name, error in (("averaging", 0.7), ("least_squares", 0.2))
}


@pytest.fixture
def log(store, tmp_path):
    def log(root="runs"):
        folder = tmp_path / root
        with closing(metrics.baselines_lock(folder)):
            experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
            metrics.log_baselines(store, experiment, TASK, 5, RECORD, SCORES, folder)

    return log


def statuses(store):
    runs = store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]])
    return sorted((run.data.tags["baseline"], run.info.status) for run in runs)


FINISHED = [("averaging", "FINISHED"), ("least_squares", "FINISHED")]


class Killed(BaseException):
    """Ends a test's process where it stands."""


@pytest.fixture
def dead_run_id(store, log, monkeypatch):
    """The id of a baseline's run whose process was killed before it logged a value."""

    def die(*_):
        raise Killed

    with monkeypatch.context() as process:
        process.setattr(metrics, "log_series", die)
        with pytest.raises(Killed):
            log()
    (run,) = store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]])
    assert run.info.status == "RUNNING"
    return run.info.run_id


def test_a_baseline_whose_process_was_killed_is_ended_and_logged_anew(store, log, dead_run_id):
    log()
    assert statuses(store) == sorted([("averaging", "KILLED"), *FINISHED])
    assert store.get_run(dead_run_id).info.status == "KILLED"


def test_any_command_ends_it_but_not_while_another_is_at_it(store, log, dead_run_id, tmp_path):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    with closing(metrics.baselines_lock(tmp_path / "runs")):
        assert mark_dead_runs(store, experiment) == []
    assert mark_dead_runs(store, experiment) == [dead_run_id]


def test_of_two_machines_that_log_at_once_the_first_runs_stay(store, log, monkeypatch):
    """Another machine logs the same, under a lock of its own, while this one does."""
    log_series = metrics.log_series

    def late(*arguments):
        monkeypatch.setattr(metrics, "log_series", log_series)
        log("elsewhere")
        log_series(*arguments)

    monkeypatch.setattr(metrics, "log_series", late)
    log()
    assert statuses(store) == FINISHED


def test_one_process_at_a_time_scores_and_logs(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "BASELINES_SECONDS", 0.0)
    with closing(metrics.baselines_lock(tmp_path)), pytest.raises(FolderInUseError):
        metrics.baselines_lock(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"digest": "x"}', b"[" * 9999])
def test_a_damaged_cache_is_made_again(tmp_path, content, caplog):
    scores = baseline_scores.score_baselines(TASK, 5, 2, 16, tmp_path)
    (path,) = tmp_path.glob("baselines-*.json")
    path.write_bytes(content)
    assert baseline_scores.score_baselines(TASK, 5, 2, 16, tmp_path) == scores
    assert f"{path} is damaged" in caplog.text
    caplog.clear()
    assert baseline_scores.score_baselines(TASK, 5, 2, 16, tmp_path) == scores
    assert not caplog.text
