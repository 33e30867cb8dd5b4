"""A run that is told by several processes in turn holds each sample once."""

import os
from contextlib import closing

import pytest
from small_trainings import TINY

from looped.records.folder import RunFolder
from looped.tracking.opening import open_run
from looped.training import resolve


@pytest.fixture
def folder(tmp_path):
    with closing(RunFolder(tmp_path / "runs", resolve.resolve(TINY))) as opened:
        yield opened


def test_steps_that_a_run_was_told_of_are_not_told_again(store, folder, monkeypatch):
    """The next process goes on from a checkpoint before the newest sample, in the same run."""
    run_id = None
    for begins, ends in [(0, 7), (4, 9), (2, 8), (8, 12)]:
        if run_id is not None:
            store.update_run(run_id, status="RUNNING")
            monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        tracker = open_run(resolve.resolve(TINY), folder)
        assert run_id in (None, tracker.run_id)
        run_id = tracker.run_id
        folder.journal.append("start", step=begins)
        for step in range(begins + 1, ends + 1):
            folder.journal.append("metrics", step=step, values={"train/loss": float(step)})
        tracker._tell()
        tracker.finish("KILLED", "test")
    history = store.get_metric_history(run_id, "train/loss")
    assert [(sample.step, sample.value) for sample in history] == [
        (step, float(step)) for step in range(1, 13)
    ]
    assert len(store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]])) == 1
