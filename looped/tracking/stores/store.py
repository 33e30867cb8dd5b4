"""The way to the MLflow store: asked quickly whether it is there, made ready for many at once."""

import atexit
import http.client
import logging
import os
import queue
import re
import socket
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shlex import quote
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.fluent import set_experiment
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

from looped.names import Variable
from looped.records.journal import TrackingError
from looped.rules import without_passwords
from looped.tracking import presence
from looped.tracking.dead_runs import mark_dead_runs
from looped.tracking.stores import artifacts, embedded, refusals
from looped.tracking.stores.address import database_of, peer_of, remove_stray_folders

ANSWER_SECONDS = 4.0
_PATIENCE = {Variable.RETRIES: "2", Variable.TIMEOUT: "20", Variable.NO_LINKS: "true"}
"""With a server, unless the user has set them: MLflow itself would try each call for minutes, and
print links at the end of every run, where commands print their own."""
_DATABRICKS = ("databricks", "databricks-uc", "uc")
"""Words that MLflow takes for addresses."""

FindExperiment = Callable[[MlflowClient], str]

logger = logging.getLogger("looped")


class Store(NamedTuple):
    """An MLflow store, and the experiment to work in."""

    client: MlflowClient
    experiment_id: str


@contextmanager
def reachable(purpose: str = "", consequence: str = "") -> Iterator[None]:
    """Say in one way that MLflow did not answer, or refused: the rule, then what came.

    Args:
        purpose: what it must be reachable for, as `` to be told the end of the run``.
        consequence: what follows, and what can be done.

    Raises:
        TrackingError: what is done within raised an error of MLflow's.
    """
    try:
        yield
    except MlflowException as error:
        raise _absence(mlflow.get_tracking_uri(), reason_of(error), purpose, consequence) from error


def open_store(find_experiment: FindExperiment | None = None) -> Store:
    """Return the store that MLflow is set to, once that is there to be used.

    An embedded database is made whole by one process at a time, see ``embedded``. A run that
    ``mlflow run`` made for this process is marked as this process's, and runs whose process died
    are ended.

    Args:
        find_experiment: finds the id of the experiment to work in; None: ``current_experiment``.

    Raises:
        TrackingError: the server does not answer within ``ANSWER_SECONDS``, MLflow refuses, or
            the database was moved away from its artifacts.
    """
    uri = str(mlflow.get_tracking_uri())
    _keep_quiet()
    _require_no_files(uri)
    require_answer(uri)
    try:
        database = database_of(uri)
        if database is not None:
            embedded.prepare(database)
        client = MlflowClient()
        experiment_id = (find_experiment or current_experiment)(client)
        if database is not None:
            if "%" in uri:
                atexit.register(remove_stray_folders, uri)
                embedded.spell_artifact_roots(database)
            artifacts.require_in_place(database, experiment_id)
    except ImportError as error:  # SQLAlchemy loads it when it is first needed
        raise _absence(uri, f"the database's driver must be installed, got {error}") from error
    except (
        OSError, MlflowException, SQLAlchemyError, sqlite3.Error, embedded.StoreError,
    ) as error:  # fmt: skip
        raise _absence(uri, reason_of(error)) from error
    try:
        presence.claim_launched_run(client)
        mark_dead_runs(client, experiment_id)
    except MlflowException as error:  # a store that can only be read, say
        logger.debug("runs whose process died are left as they are (%s)", error)
    return Store(client, experiment_id)


def current_experiment(client: MlflowClient) -> str:
    """Find the experiment to work in: that of ``mlflow run``, the named one, or the default."""
    launched_run_id = os.environ.get(Variable.RUN_ID)
    if launched_run_id:
        return str(client.get_run(launched_run_id).info.experiment_id)
    name = os.environ.get(Variable.EXPERIMENT_NAME)
    if name:
        return str(set_experiment(name).experiment_id)
    return os.environ.get(Variable.EXPERIMENT_ID, "0")


def require_answer(uri: str, purpose: str = "", consequence: str = "") -> None:
    """Ask whether a server is there and well; an embedded database is not asked.

    Args:
        uri: of the store.
        purpose: as for ``reachable``.
        consequence: as for ``reachable``.

    Raises:
        TrackingError: it is not, or does not say so within ``ANSWER_SECONDS``.
    """
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask() -> None:
        try:
            _ask(uri)
        except (OSError, ValueError, MlflowException) as error:
            cause = _first_cause(error)
            answers.put(reason_of(cause) or repr(cause))
        else:
            answers.put("")

    # in a thread: a server may send a byte now and then, a name may take minutes to be looked up
    threading.Thread(target=ask, name="answer", daemon=True).start()
    try:
        reason = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        reason = f"no answer within {ANSWER_SECONDS:.0f} s"
    if reason:
        raise _absence(uri, reason, purpose, consequence)


def _require_no_files(uri: str) -> None:
    """Refuse the folder of files that older MLflow kept runs in, unless MLflow is told to use it.

    Raises:
        TrackingError: how it becomes a database.
    """
    is_allowed = os.environ.get(Variable.FILES, "").lower() in ("true", "1")
    if is_allowed or urlsplit(uri).scheme not in ("", "file") or uri in _DATABRICKS:
        return
    folder = quote(url2pathname(urlsplit(uri).path))
    raise TrackingError(
        f"runs must lie in a database or on a server, got the folder of files {folder}: "
        f"`mlflow migrate-filestore --source {folder} --target sqlite:///mlflow.db` makes a "
        "database of it, and MLFLOW_TRACKING_URI=sqlite:///mlflow.db names that"
    )


def _first_cause(error: BaseException) -> BaseException:
    """Find what was raised first: MLflow and its libraries each wrap it in a longer sentence."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def reason_of(error: BaseException) -> str:
    """Say what came in a line, without the statement that a database was given."""
    text = re.split(r"\[SQL: |\(Background on this error|\[parameters: ", str(error))[0]
    return without_passwords(refusals.shortened(" ".join(text.split())))


def _absence(uri: str, reason: str, purpose: str = "", consequence: str = "") -> TrackingError:
    further = f"; {consequence}" if consequence else ""
    has_answered = reason.startswith("HTTP 4")
    rule = f"MLflow must {'allow what is asked' if has_answered else 'be reachable'}{purpose}"
    return TrackingError(f"{rule}, got {without_passwords(uri)}: {reason}{further}")


def _ask(uri: str) -> None:
    peer = peer_of(uri)
    if urlsplit(uri).scheme in ("http", "https"):
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        # as MLflow will ask: with its certificates, tokens and proxies
        credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call]
        answer = http_request(  # type: ignore[no-untyped-call]
            credentials, "/health", "GET",
            max_retries=0, timeout=ANSWER_SECONDS, raise_on_status=False,
        )  # fmt: skip
        # what is wrong with the question, a missing password say, is MLflow's to handle
        if answer.status_code >= http.client.INTERNAL_SERVER_ERROR:
            raise OSError(f"HTTP Error {answer.status_code}: {answer.reason}")
    elif peer is not None:
        socket.create_connection(peer, ANSWER_SECONDS).close()


def _keep_quiet() -> None:
    """Keep MLflow's tracebacks off the terminal: each error is raised as well, and said once."""
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if os.environ.get(Variable.INSECURE, "").lower() in ("true", "1"):  # else at every request
        warnings.filterwarnings("ignore", "Unverified HTTPS request")


def main() -> int:
    """Make the embedded database, before ``mlflow run`` or the UI would; return the exit code."""
    logging.basicConfig(format="%(message)s")
    uri = sys.argv[1] if len(sys.argv) > 1 else str(mlflow.get_tracking_uri())
    database = database_of(uri)
    try:
        if database is not None:
            embedded.prepare(database)
    except embedded.StoreError as error:
        print(f"store: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
