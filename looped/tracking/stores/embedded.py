"""An embedded MLflow database: made once and whole, however many begin at once or are killed.

MLflow makes its tables in place, one migration after another, which takes seconds: a process
killed then leaves a database on which every later command fails, and processes that do it at
once fail each other. Here they are made in a file of another name, which takes the database's
name when it is whole.
"""

import fcntl
import logging
import os
import re
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from glob import escape
from pathlib import Path
from urllib.parse import unquote

from looped.tracking.stores.address import address_of, database_of, remove_stray_folders

__all__ = ["StoreError", "database_of", "prepare", "spell_artifact_roots", "wait_for_writer"]

LOCKED_SECONDS = 120.0
"""For which another process may write to the database before a command gives up."""
SAID_AFTER_SECONDS = 5.0
UNTOUCHED_SECONDS = 15.0
"""A half-made database that has not changed for so long is nobody's, where nobody can be asked."""

_COMPANIONS = ("-journal", "-wal", "-shm")
_MAKE = """
import gc
import sys
gc.disable()  # the search for unused objects is a sixth of the work, and it ends at once
from mlflow.tracking import MlflowClient
MlflowClient(sys.argv[1]).search_experiments(max_results=1)
"""

logger = logging.getLogger("looped")


class StoreError(RuntimeError):
    """The embedded database cannot be used, or made."""


def prepare(database: Path) -> None:
    """See to it that a database is there and whole; wait while another process writes to it.

    A half-made one that holds nothing is put aside, with a line that says so.

    Raises:
        StoreError: it cannot be made, is no database, or another process keeps it locked.
    """
    if _look(database) == "whole":
        return
    with _one_at_a_time(database):
        while (state := _look(database)) != "whole":
            if state == "half-made":
                if _is_being_made(database):  # by ``mlflow run``, which takes no lock
                    time.sleep(0.2)
                    continue
                _put_aside(database)
            _make(database)


def _look(database: Path) -> str:
    """Tell whether a database is ``missing``, ``half-made`` or ``whole``.

    One that holds anything, or tables that are not MLflow's, is MLflow's to judge: ``whole``.
    """
    if not database.exists():
        return "missing"
    wait_for_writer(database)
    try:
        with closing(_connect(database, LOCKED_SECONDS)) as connection:
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
            tables = {str(name) for (name,) in connection.execute(query)}
            tables -= {name for name in tables if name.startswith("sqlite_")}
            if _is_complete(connection, tables):
                return "whole"
            return "whole" if _holds_anything(connection, tables) else "half-made"
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{database} must be a database that can be read: {error}") from error


def wait_for_writer(database: Path) -> None:
    """Wait until no other process writes to a database.

    Raises:
        StoreError: one does for ``LOCKED_SECONDS``.
    """
    began = time.monotonic()
    is_said = False
    while True:
        try:
            with closing(_connect(database)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                return  # read-only, say: whoever writes says so
        except sqlite3.DatabaseError:
            return  # no database: whoever reads says so
        waited = time.monotonic() - began
        if waited > LOCKED_SECONDS:
            raise StoreError(
                f"{database} must not be locked: another process has written to it for "
                f"{LOCKED_SECONDS:.0f} s"
            )
        if waited > SAID_AFTER_SECONDS and not is_said:
            logger.warning("another process writes to %s: waiting for it", database)
            is_said = True


def spell_artifact_roots(database: Path) -> None:
    """Write the artifact roots that hold a % as addresses of files.

    MLflow writes them as paths and reads them decoded: what belongs in ``a%20b`` would lie in
    ``a b``. A root that things already lie in stays.
    """
    with closing(_connect(database, LOCKED_SECONDS)) as connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            query = f"SELECT DISTINCT {column} FROM {table} WHERE {column} LIKE '/%[%%' ESCAPE '['"
            for (root,) in connection.execute(query).fetchall():
                if unquote(root) != root and not Path(unquote(root)).exists():
                    change = f"UPDATE {table} SET {column} = ? WHERE {column} = ?"
                    connection.execute(change, (Path(root).as_uri(), root))


def _connect(database: Path, patience: float = 1.0) -> sqlite3.Connection:
    uri = f"{database.absolute().as_uri()}?mode=rw"  # nothing is made
    return sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)


def _is_complete(connection: sqlite3.Connection, tables: set[str]) -> bool:
    """Tell whether MLflow's tables and its first experiment are there, in the newest version."""
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.db.utils import _get_latest_schema_revision

    if not {"alembic_version", "experiments"} <= tables or not set(Base.metadata.tables) <= tables:
        return False
    (version,) = connection.execute("SELECT max(version_num) FROM alembic_version").fetchone()
    (n_experiments,) = connection.execute("SELECT count(*) FROM experiments").fetchone()
    newest_version = _get_latest_schema_revision()  # type: ignore[no-untyped-call]
    return bool(version == newest_version and n_experiments)


def _holds_anything(connection: sqlite3.Connection, tables: set[str]) -> bool:
    """Tell whether a database holds more than MLflow makes by itself, or is not MLflow's."""
    if tables and not tables & {"alembic_version", "experiments"}:
        return True
    default_rows = {"runs": 0, "registered_models": 0, "trace_info": 0, "experiments": 1}
    for name in default_rows.keys() & tables:
        (n_rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        if n_rows > default_rows[name]:
            return True
    return False


def _make(database: Path) -> None:
    """Make a database under another name, and give it its name unless one has come meanwhile."""
    for leftover in database.parent.glob(f"{escape(database.name)}.*.tmp*"):
        with suppress(OSError):  # of processes that were killed: the lock is ours
            leftover.unlink()
    temporary = database.with_name(f"{database.name}.{secrets.token_hex(8)}.tmp")
    uri = address_of(temporary)
    maker = subprocess.run(
        [sys.executable, "-c", _MAKE, uri], capture_output=True, text=True, check=False,
        cwd=database.absolute().parent,  # beside which MLflow lets artifacts lie
    )  # fmt: skip
    remove_stray_folders(uri)
    try:
        if maker.returncode != 0:
            raise StoreError(f"{database} must be made: {_reason(maker.stderr)}")
        _sync(temporary)
        with suppress(FileExistsError):
            os.link(temporary, database)
        _sync(database.parent)
    except OSError as error:
        raise StoreError(f"{database} must be made: {error}") from error
    finally:
        for name in ("", *_COMPANIONS):
            with suppress(OSError):
                os.unlink(f"{temporary}{name}")


def _put_aside(database: Path) -> None:
    number = 1
    while (aside := database.with_name(f"{database.name}.half-made.{number}")).exists():
        number += 1
    for name in _COMPANIONS:  # first: a journal of the old one would undo the new one
        with suppress(FileNotFoundError):
            os.rename(f"{database}{name}", f"{aside}{name}")
    database.rename(aside)
    logger.warning(
        "%s was half made by a process that was killed, and held no runs: it is made again "
        "(the old one is %s)", database, aside.name,
    )  # fmt: skip


@contextmanager
def _one_at_a_time(database: Path) -> Iterator[None]:
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = open(f"{database}.lock", "a")  # noqa: SIM115
    except OSError as error:
        raise StoreError(f"{database} must be made: {error}") from error
    with lock:
        with suppress(OSError):  # the file system locks no files: who begins alone needs none
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_being_made(database: Path) -> bool:
    """Tell whether another process has the database open: ``mlflow run``, which takes no lock."""
    processes = Path("/proc")
    if not (processes / "self" / "fd").exists():
        return time.time() - database.stat().st_mtime < UNTOUCHED_SECONDS
    path = str(database.resolve())
    for folder in processes.glob("[0-9]*/fd"):
        if folder.parent.name == str(os.getpid()):
            continue
        with suppress(OSError):  # of another user, or it has ended
            for descriptor in folder.iterdir():
                with suppress(OSError):
                    if os.readlink(descriptor) == path:
                        return True
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(output: str) -> str:
    """Find in what MLflow printed why it failed."""
    reasons = re.findall(r"\(sqlite3\.\w+\) .*|^\w*(?:Error|Exception): .*", output, re.MULTILINE)
    lines = output.strip().splitlines()
    return str(reasons[-1]) if reasons else lines[-1] if lines else "MLflow made nothing"
