"""The runs of commands that have no folder of their own, once their process is gone."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from looped.records.journal import TrackingError
from looped.tracking.dead_runs import mark_dead_runs
from looped.tracking.launcher import command_run
from looped.tracking.presence import claim, release
from looped.tracking.stores.store import Store, open_store


@pytest.fixture
def experiment(store):
    return os.environ["MLFLOW_EXPERIMENT_ID"]


def status(store, run_id):
    return store.get_run(run_id).info.status


def in_process_that_dies(script):
    """Run a script that says the id of a run it works in, and is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    run_id = process.stdout.readline().strip()
    return process, run_id


COMMAND = """
import time
from looped.tracking.launcher import command_run
from looped.tracking.stores.store import open_store
with command_run(open_store(), "fit_scaling") as run_id:
    print(run_id, flush=True)
    time.sleep(600)
"""


def test_the_next_command_ends_a_fit_that_was_killed(store, tmp_path):
    process, run_id = in_process_that_dies(COMMAND)
    tags = store.get_run(run_id).data.tags
    assert tags["looped.host"] == socket.gethostname()
    open_store()
    assert status(store, run_id) == "RUNNING"  # it lives
    process.kill()
    process.communicate()
    open_store()
    run = store.get_run(run_id)
    assert (run.info.status, run.data.tags["looped.reason"]) == ("KILLED", "its process died")
    assert not Path(tags["looped.folder"]).exists()


def test_what_a_command_left_to_mlflow_run_is_ended_an_hour_later(store, experiment, caplog):
    """The signal that stopped it may have killed ``mlflow run``, which would end their run."""
    old_id, new_id = (
        store.create_run(experiment, start_time=start).info.run_id for start in (1, None)
    )
    for run_id in (old_id, new_id):
        claim(store, run_id)
    assert mark_dead_runs(store, experiment) == []
    for run_id in (old_id, new_id):
        release(run_id)
    assert mark_dead_runs(store, experiment) == [old_id]
    assert (status(store, old_id), status(store, new_id)) == ("KILLED", "RUNNING")
    assert not caplog.text


LAUNCHED = """
import os, time
from looped.tracking.stores.store import open_store
open_store()
print(os.environ["MLFLOW_RUN_ID"], flush=True)
time.sleep(600)
"""


def test_a_run_that_mlflow_made_is_its_commands_from_the_start(store, experiment, monkeypatch):
    run_id = store.create_run(experiment).info.run_id
    with monkeypatch.context() as launched:
        launched.setenv("MLFLOW_RUN_ID", run_id)
        process, _ = in_process_that_dies(LAUNCHED)
    assert mark_dead_runs(store, experiment) == []
    process.kill()
    process.communicate()
    assert mark_dead_runs(store, experiment) == [run_id]


@pytest.mark.parametrize(
    ("error", "complaint", "reason"),
    [
        (ValueError("too few runs"), ValueError, "too few runs"),
        (OSError(28, "No space left on device", "/x"), TrackingError, "No space left"),
    ],
)
def test_a_command_that_fails_leaves_a_failed_run(store, experiment, error, complaint, reason):
    with pytest.raises(complaint, match=reason), command_run(Store(store, experiment), "fit"):
        raise error
    (run,) = store.search_runs([experiment])
    assert run.info.status == "FAILED"
    assert reason in run.data.tags["looped.reason"]
    assert not Path(run.data.tags["looped.folder"]).exists()
