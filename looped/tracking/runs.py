"""Runs in an MLflow store: listed, found, written to, ended."""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow.entities import Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.names import Kind, Tag
from looped.tracking.told import recorded_end

PAGE = 1000
"""Runs that one call returns."""

HOUR_MS = 3_600_000
DIED = "its process died"
ENTRY_POINTS = (
    *("train", "grid", "import_runs", "evaluate-extrapolation", "evaluate_extrapolation"),
    *("evaluate_tables", "fit_scaling", "predict_scaling", "report", "benchmark"),
)
"""Of this project, as ``mlflow run`` tags its runs."""

logger = logging.getLogger("looped")


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

    Only who holds the lock of a run's folder may end it, and asks for its status again first: the
    run may have ended since it was listed. A run whose folder is not here, or cannot be read, is
    left alone; so is one that finished by its journal, which remains to be told.

    A run that ``mlflow run`` made and whose command never began, for want of conda say, has no
    machine; it is marked when it is an hour old.

    Returns:
        Their ids.
    """
    running = "attributes.status = 'RUNNING'"
    query = f"{running} and tags.`{Tag.HOST}` = '{socket.gethostname()}'"
    dead_ids = []
    for run in list_runs(client, experiment_id, query):
        folder = folder_of(run)
        with hold_if_free(folder) as is_held:
            if is_held and _end_dead_run(client, run.info.run_id, folder):
                dead_ids.append(run.info.run_id)
                _remove_lock_of_command(folder, run.info.run_id)
    an_hour_ago = round(time.time() * 1000) - HOUR_MS
    query = f"{running} and attributes.start_time < {an_hour_ago}"
    for run in list_runs(client, experiment_id, query):
        if _never_began(run):
            run_now = find_run(client, run.info.run_id)
            if run_now is not None and run_now.info.status == "RUNNING" and _never_began(run_now):
                end_run(client, run.info.run_id, "KILLED", DIED)
                dead_ids.append(run.info.run_id)
    return dead_ids


def end_lost_runs(client: MlflowClient, run_ids: Iterable[str], folder: Path | None = None) -> None:
    """End what was left RUNNING by a process that is known to be gone.

    Args:
        client: of the store.
        run_ids: of the runs.
        folder: of these runs, whose lock the caller holds. None: the lock of each run's folder is
            taken, where the folder is on this machine.
    """
    for run_id in run_ids:
        run = find_run(client, run_id)
        if run is None or run.info.status != "RUNNING":
            continue
        place = folder or folder_of(run)
        if folder is not None or not (place / "lock").is_file():
            _end_dead_run(client, run_id, place)
            continue
        with hold_if_free(place) as is_held:
            if is_held:
                _end_dead_run(client, run_id, place)


def is_of_another_program(run: Run) -> bool:
    """Tell whether a run was made by somebody's own program, not for a command of ours."""
    tags = run.data.tags
    is_ours = Tag.KIND in tags or tags.get(Tag.ENTRY_POINT) in ENTRY_POINTS
    return Tag.SOURCE_TYPE in tags and not is_ours


def folder_of(run: Run) -> Path:
    """Return the folder whose lock the run's process holds; one that is nowhere if it has none."""
    return Path(run.data.tags.get(Tag.FOLDER) or "/nowhere")


@contextmanager
def hold_if_free(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock if it is there and nobody else holds it; yield whether it is held.

    Nothing is made: a folder that is not here says nothing about a process.
    """
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _end_dead_run(client: MlflowClient, run_id: str, folder: Path) -> bool:
    """End a run as its process did; tell whether it was killed. The folder's lock is held."""
    run = find_run(client, run_id)
    if run is None or run.info.status != "RUNNING":
        return False  # it ended since somebody looked
    try:
        end = recorded_end(folder, run_id)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("run %s stays RUNNING: %s cannot be read (%s)", run_id, folder, error)
        return False
    if end is None:
        end_run(client, run_id, "KILLED", DIED)
        return True
    if end["status"] in ("FAILED", "KILLED"):
        end_run(client, run_id, end["status"], end["reason"], end["time"])
        return False
    command = f"mlflow run . -e import_runs -P path={folder.parent}"
    logger.warning("run %s has finished, and MLflow was not told: %s tells it", run_id, command)
    return False


def _never_began(run: Run) -> bool:
    """Tell whether ``mlflow run`` made a run for a command of ours that never came to it."""
    tags = run.data.tags
    return tags.get(Tag.ENTRY_POINT) in ENTRY_POINTS and Tag.HOST not in tags


def _remove_lock_of_command(folder: Path, run_id: str) -> None:
    """Remove what a command that was killed left, see ``presence``; folders of runs stay."""
    if folder.name == run_id:
        with suppress(OSError):
            (folder / "lock").unlink()
            folder.rmdir()


BATCH = 1000  # the most metrics that one call may carry


def log_in_batches(
    client: MlflowClient, run_id: str, metrics: Sequence[Metric], tags: Sequence[RunTag]
) -> None:
    """Log any number of metrics, then tags."""
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    if tags:
        client.log_batch(run_id, tags=tags)
