"""The run that a process works in: the one that ``mlflow run`` made for it, or one of its own.

``mlflow run`` makes a run for one command. Where that run is somebody's own program's, or another
training has taken it, what begins within it is a run of its own, nested under it.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.names import Tag
from looped.records.journal import TrackingError
from looped.tracking.dead_runs import is_of_another_program
from looped.tracking.presence import claim, launched_run, release
from looped.tracking.runs import end_run
from looped.tracking.stores.store import Store, reason_of
from looped.tracking.ui.discard import stay_behind
from looped.tracking.ui.introduction import source_tags

__all__ = [
    "begin_run", "command_run", "discard_launched", "fail_launched", "launched_run",
    "note_on_launched", "run_to_take",
]  # fmt: skip


def run_to_take(client: MlflowClient, marks: Mapping[str, str] | None = None) -> str | None:
    """Return the run that ``mlflow run`` made for this process, unless it is somebody else's.

    Args:
        client: of the store.
        marks: tags of what would take it, by which a run that has been taken is known again.
    """
    run_id = launched_run()
    if run_id is None:
        return None
    run = client.get_run(run_id)
    tags = run.data.tags
    is_known = bool(marks) and all(tags.get(tag) == value for tag, value in (marks or {}).items())
    is_taken = Tag.KIND in tags and not is_known
    return None if is_taken or is_of_another_program(run) else run_id


def begin_run(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    started: int | None = None,
    may_take_launched: bool = True,
    within: str | None = None,
) -> str:
    """Take the run that ``mlflow run`` made for this process, or make one; return its id.

    Args:
        client: of the store.
        experiment_id: where a new run goes.
        name: of a new run.
        started: when it began, in milliseconds since 1970; None means now.
        may_take_launched: whether this is what ``mlflow run`` made its run for.
        within: the run that a new one is nested under.
    """
    launched_run_id = launched_run() if may_take_launched else None
    if launched_run_id is not None:
        return launched_run_id
    tags = {Tag.PARENT: within} if within else None
    return str(client.create_run(experiment_id, started, tags, name).info.run_id)


@contextmanager
def command_run(store: Store, name: str) -> Iterator[str]:
    """Give a command that reads a store a run to log to, which ends as the command does.

    The run is this process's: if that dies, the next command ends it. Where the command reads
    another experiment than ``mlflow run`` made its run in, that run points to the one made here.

    Args:
        store: to log to.
        name: of the run.

    Yields:
        Its id. ``mlflow run`` ends the run that it made once more.

    Raises:
        TrackingError: a file could not be written; MLflow's own errors pass.
    """
    client, experiment_id = store
    to_take = run_to_take(client)
    is_here = to_take is not None and _experiment_of(client, to_take) == experiment_id
    outer = launched_run() if to_take is None else None
    run_id = begin_run(client, experiment_id, name, may_take_launched=is_here, within=outer)
    try:
        claim(client, run_id)
        if run_id != launched_run():
            tags = [RunTag(tag, value) for tag, value in source_tags(name).items()]
            client.log_batch(run_id, tags=tags)
        client.update_run(run_id, name=name)
        yield run_id
        client.set_terminated(run_id, "FINISHED")
        if to_take is not None and not is_here:
            _point(client, to_take, name, run_id, experiment_id)
    except BaseException as error:
        reason = reason_of(error) or repr(error)
        _end_if_there(client, run_id, reason)
        if isinstance(error, OSError):
            raise TrackingError(f"what is logged must be written, got {reason}") from error
        raise
    finally:
        release(run_id)


def fail_launched(client: MlflowClient, reason: str, status: str = "FAILED") -> None:
    """Leave the reason on the run that ``mlflow run`` made, which ends it once more.

    Args:
        client: of the store.
        reason: why the command ends as it does.
        status: KILLED where it was asked to stop; ``mlflow run`` may have been stopped with it.
    """
    launched_run_id = run_to_take(client)
    if launched_run_id:
        _end_if_there(client, launched_run_id, reason, status)


def _end_if_there(client: MlflowClient, run_id: str, reason: str, status: str = "FAILED") -> None:
    """End a run; what made it fail is said by whoever asks, and matters more."""
    try:
        end_run(client, run_id, status, reason)
    except MlflowException:
        logging.getLogger("looped").info("run %s cannot be told", run_id)


def note_on_launched(client: MlflowClient, name: str, note: str) -> None:
    """Name the run that ``mlflow run`` made for this process, if it did, and say what came.

    It is ended as well: ``mlflow run``, which ends it by the exit code, may have been stopped.
    """
    launched_run_id = run_to_take(client)
    if launched_run_id:
        client.update_run(launched_run_id, name=name)
        client.set_tag(launched_run_id, Tag.NOTE, note)
        client.set_terminated(launched_run_id, "FINISHED")


def discard_launched(client: MlflowClient, name: str, note: str, reason: str) -> None:
    """Put the run that ``mlflow run`` made for this process into the trash, once that ended it.

    It stands for nothing that was done; see ``discard``.
    """
    launched_run_id = run_to_take(client)
    if launched_run_id:
        client.update_run(launched_run_id, name=name)
        client.set_tag(launched_run_id, Tag.NOTE, note)
        stay_behind(launched_run_id, reason)


def _experiment_of(client: MlflowClient, run_id: str) -> str:
    return str(client.get_run(run_id).info.experiment_id)


def _point(client: MlflowClient, launched: str, name: str, run_id: str, experiment_id: str) -> None:
    """Let the run of ``mlflow run``, which cannot move, say where what it stands for is."""
    place = client.get_experiment(experiment_id).name
    page = f"#/experiments/{experiment_id}/runs/{run_id}"
    note = f"Logged in experiment {place}: [run {run_id}]({page})."
    note_on_launched(client, f"{name}, in {place}", note)
    client.log_batch(launched, tags=[RunTag(Tag.LOGGED_TO, run_id)])
