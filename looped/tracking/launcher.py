"""The run that a process works in: the one that ``mlflow run`` made for it, or one of its own."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.names import Tag, Variable
from looped.tracking.runs import end_run
from looped.tracking.store import Store


def launched_run() -> str | None:
    """Return the id of the run that ``mlflow run`` made for this process, if it did."""
    return os.environ.get(Variable.RUN_ID)


def begin_run(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    started: int | None = None,
    may_take_launched: bool = True,
) -> str:
    """Take the run that ``mlflow run`` made for this process, or make one; return its id.

    Args:
        client: of the store.
        experiment_id: where a new run goes.
        name: of a new run.
        started: when it began, in milliseconds since 1970; None means now.
        may_take_launched: whether this is what ``mlflow run`` made its run for.
    """
    launched_run_id = launched_run() if may_take_launched else None
    if launched_run_id is not None:
        return launched_run_id
    return str(client.create_run(experiment_id, started, run_name=name).info.run_id)


@contextmanager
def command_run(store: Store, name: str) -> Iterator[str]:
    """Give a command that reads a store a run to log to, which ends as the command does.

    Args:
        store: to log to.
        name: of the run.

    Yields:
        Its id. ``mlflow run`` ends the run that it made by itself.
    """
    client = store.client
    run_id = begin_run(client, store.experiment_id, name)
    client.update_run(run_id, name=name)
    try:
        yield run_id
    except BaseException as error:
        if run_id != launched_run():
            end_run(client, run_id, "FAILED", " ".join(str(error).split()) or repr(error))
        raise
    if run_id != launched_run():
        client.set_terminated(run_id, "FINISHED")


def fail_launched(client: MlflowClient, reason: str) -> None:
    """Leave the reason on the run that ``mlflow run`` made; MLflow ends it itself."""
    launched_run_id = launched_run()
    if launched_run_id:
        try:
            client.set_tag(launched_run_id, Tag.REASON, reason)
        except MlflowException:
            logging.getLogger("looped").info("run %s cannot be told", launched_run_id)


def note_on_launched(client: MlflowClient, name: str, note: str) -> None:
    """Name the run that ``mlflow run`` made for this process, if it did, and say what came."""
    launched_run_id = launched_run()
    if launched_run_id:
        client.update_run(launched_run_id, name=name)
        client.set_tag(launched_run_id, Tag.NOTE, note)
