"""The way to the MLflow store: asked quickly whether it is there, made ready for many at once."""

import fcntl
import os
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.fluent import set_experiment

from looped.names import Variable
from looped.records.journal import TrackingError

ANSWER_SECONDS = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


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
        further = f"; {consequence}" if consequence else ""
        rule = f"MLflow must be reachable{purpose}"
        raise TrackingError(f"{rule}, got: {error}{further}") from error


def open_store() -> Store:
    """Return the store that MLflow is set to, once that is there to be used.

    The tables of an embedded database are made by one process at a time: of several that
    begin to make them together, most fail.

    Raises:
        TrackingError: the server does not answer within ``ANSWER_SECONDS``, or MLflow refuses.
    """
    uri = str(mlflow.get_tracking_uri())
    try:
        _require_answer(uri)
        if uri.startswith("sqlite:///"):
            _make_tables_once(Path(uri.removeprefix("sqlite:///")))
        client = MlflowClient()
        return Store(client, current_experiment(client))
    except (OSError, sqlite3.Error, MlflowException) as error:
        reason = " ".join(str(error).split())
        raise TrackingError(f"MLflow must be reachable, got {_public(uri)}: {reason}") from error


def current_experiment(client: MlflowClient) -> str:
    """Find the experiment to work in: that of ``mlflow run``, the named one, or the default."""
    launched_run_id = os.environ.get(Variable.RUN_ID)
    if launched_run_id:
        return str(client.get_run(launched_run_id).info.experiment_id)
    name = os.environ.get(Variable.EXPERIMENT_NAME)
    if name:
        return str(set_experiment(name).experiment_id)
    return os.environ.get(Variable.EXPERIMENT_ID, "0")


def _require_answer(uri: str) -> None:
    """Ask whether anybody is there: MLflow itself would try for minutes."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        with suppress(HTTPError):  # an answer all the same
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_SECONDS).close()
    elif parts.hostname is not None:
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if port is not None:
            socket.create_connection((parts.hostname, port), ANSWER_SECONDS).close()


def _make_tables_once(database: Path) -> None:
    with open(f"{database}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _has_tables(database):
            MlflowClient().search_experiments(max_results=1)


def _has_tables(database: Path) -> bool:
    """Tell whether MLflow's first experiment is there, which it makes after its tables."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as connection:
        try:
            return bool(connection.execute("SELECT count(*) FROM experiments").fetchone()[0])
        except sqlite3.OperationalError:
            return False


def _public(uri: str) -> str:
    """Leave a password out."""
    parts = urlsplit(uri)
    return uri.replace(f":{parts.password}@", ":...@") if parts.password else uri
