"""Runs in an MLflow store: listed, found, written to, ended."""

import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mlflow.entities import Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.names import Kind, Tag
from looped.records.folder import is_held_by

PAGE = 1000
"""Runs that one call returns."""

HOUR_MS = 3_600_000


def of_kind(kind: str) -> str:
    """Write the part of a query that asks for runs of a kind; see ``names.Kind``."""
    return f"tags.`{Tag.KIND}` = '{kind}'"


def list_runs(
    client: MlflowClient, experiment_id: str, query: str, view: int = ViewType.ACTIVE_ONLY
) -> Iterator[Run]:
    """Yield every run that a query finds, the first begun first, page by page."""
    order = ["attributes.start_time ASC"]
    page = client.search_runs([experiment_id], query, view, PAGE, order)
    yield from page
    while page.token:
        page = client.search_runs([experiment_id], query, view, PAGE, order, page.token)
        yield from page


def list_trainings(
    client: MlflowClient,
    experiment_id: str,
    status: str = "FINISHED",
    further: str = "",
    view: int = ViewType.ACTIVE_ONLY,
) -> Iterator[Run]:
    """Yield the training runs of a status that no later run supersedes, the first begun first.

    Args:
        client: of the store.
        experiment_id: where to look.
        status: FINISHED, FAILED, KILLED or RUNNING.
        further: another condition, as MLflow writes it.
        view: active runs, deleted ones or both.
    """
    conditions = [f"attributes.status = '{status}'", of_kind(Kind.TRAINING), further]
    query = " and ".join(filter(None, conditions))
    for run in list_runs(client, experiment_id, query, view):
        if Tag.SUPERSEDED_BY not in run.data.tags:
            yield run


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run that is there and not deleted."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def end_run(
    client: MlflowClient, run_id: str, status: str, reason: str, end_time: int | None = None
) -> None:
    """Give a run its final status, and the reason as a tag."""
    client.set_tag(run_id, Tag.REASON, reason)
    client.set_terminated(run_id, status, end_time)


def mark_dead_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Mark KILLED every run of this machine that is RUNNING without a living process.

    A training that ``mlflow run`` made and that never began, for want of conda say, has no
    machine; it is marked when it is an hour old.

    Returns:
        Their ids.
    """
    running = "attributes.status = 'RUNNING'"
    query = f"{running} and tags.`{Tag.HOST}` = '{socket.gethostname()}'"
    dead_ids = [
        run.info.run_id
        for run in list_runs(client, experiment_id, query)
        if not is_held_by(Path(run.data.tags[Tag.FOLDER]), run.info.run_id)
    ]
    an_hour_ago = round(time.time() * 1000) - HOUR_MS
    for entry_point in ("train", "grid"):
        query = (
            f"{running} and attributes.start_time < {an_hour_ago} "
            f"and tags.`{Tag.ENTRY_POINT}` = '{entry_point}'"
        )
        launched_runs = list_runs(client, experiment_id, query)
        dead_ids += [run.info.run_id for run in launched_runs if Tag.HOST not in run.data.tags]
    for run_id in dead_ids:
        end_run(client, run_id, "KILLED", "its process died")
    return dead_ids


def end_lost_runs(client: MlflowClient, run_ids: Iterable[str]) -> None:
    """Mark KILLED what another machine left RUNNING: whoever asks holds its lock now."""
    for run_id in run_ids:
        run = find_run(client, run_id)
        if run is not None and run.info.status == "RUNNING":
            end_run(client, run_id, "KILLED", "its process died")


BATCH = 1000  # the most metrics that one call may carry


def log_in_batches(
    client: MlflowClient, run_id: str, metrics: Sequence[Metric], tags: Sequence[RunTag]
) -> None:
    """Log any number of metrics, then tags."""
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    if tags:
        client.log_batch(run_id, tags=tags)
