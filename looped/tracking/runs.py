"""What an MLflow store holds of ours: records as metrics, trainings, evaluations, baselines."""

import socket
import time
from collections.abc import Iterable
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.records.folder import is_held_by

IMPORTED = "looped.imported"
"""Tag of an experiment: when it was last told of a run that had ended before."""


def mark_dead_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Mark KILLED every run of this machine that is RUNNING without a living process.

    A training that ``mlflow run`` made and that never began, for want of conda say, has no
    machine; it is marked when it is an hour old.

    Returns:
        Their ids.
    """
    query = f"attributes.status = 'RUNNING' and tags.`looped.host` = '{socket.gethostname()}'"
    dead = []
    for run in client.search_runs([experiment_id], query):
        if not is_held_by(Path(run.data.tags["looped.folder"]), run.info.run_id):
            dead.append(run.info.run_id)
    an_hour_ago = round(time.time() * 1000) - 3_600_000
    for entry_point in ("train", "grid"):
        query = (
            f"attributes.status = 'RUNNING' and attributes.start_time < {an_hour_ago} "
            f"and tags.`mlflow.project.entryPoint` = '{entry_point}'"
        )
        unbegun = client.search_runs([experiment_id], query)
        dead += [run.info.run_id for run in unbegun if "looped.host" not in run.data.tags]
    for run_id in dead:
        end_run(client, run_id, "KILLED", "its process died")
    return dead


def end_run(
    client: MlflowClient, run_id: str, status: str, reason: str, ended: int | None = None
) -> None:
    """Give a run its final status, and the reason as a tag."""
    client.set_tag(run_id, "looped.reason", reason)
    client.set_terminated(run_id, status, ended)


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run that is there and not deleted."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def end_lost_runs(client: MlflowClient, run_ids: Iterable[str]) -> None:
    """Mark KILLED what another machine left RUNNING: whoever asks holds its lock now."""
    for run_id in run_ids:
        run = find_run(client, run_id)
        if run is not None and run.info.status == "RUNNING":
            end_run(client, run_id, "KILLED", "its process died")


def trained_runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    """Return the finished training runs of an experiment that no later run supersedes."""
    query = "attributes.status = 'FINISHED' and tags.`looped.kind` = 'training'"
    runs = client.search_runs([experiment_id], query, max_results=50_000)
    return [run for run in runs if "superseded_by" not in run.data.tags]
