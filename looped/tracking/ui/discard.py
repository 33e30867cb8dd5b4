"""Puts a run that ``mlflow run`` made, and that stands for nothing, into the trash.

``mlflow run`` ends its run by itself, as FINISHED, after the command has left, and breaks off with
an error where it is deleted by then. So a process of its own stays behind for it, for seconds.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from mlflow.entities import RunStatus
from mlflow.tracking import MlflowClient

from looped.tracking.runs import end_run, find_run

PATIENCE_SECONDS = 120.0
"""After which a run that nobody ended is put away all the same."""

_PAUSE = 0.3


def stay_behind(run_id: str, reason: str) -> None:
    """Start the process that puts a run away; it is not waited for."""
    paths = [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")]
    subprocess.Popen(
        [sys.executable, "-m", "looped.tracking.ui.discard", run_id, reason],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def discard(client: MlflowClient, run_id: str, reason: str) -> None:
    """Wait until a run has ended, then mark it KILLED and delete it.

    Args:
        client: of the store.
        run_id: the run.
        reason: why it stands for nothing, kept as a tag.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        run = find_run(client, run_id)
        if run is None:
            return
        if run.info.status != RunStatus.to_string(RunStatus.RUNNING):
            break
        time.sleep(_PAUSE)
    end_run(client, run_id, "KILLED", reason)
    client.delete_run(run_id)


if __name__ == "__main__":
    discard(MlflowClient(), *sys.argv[1:])
