"""Where runs are kept: where the user says, else beside the store that is told of them."""

import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

from looped.names import Variable
from looped.records.damage import DamagedFileError, read_object
from looped.tracking.stores.embedded import database_of

RUNS = "runs"
MOST_ASKED = 200
"""Folders of runs that are asked which store was told of them."""


def runs_folder(setting: str | None) -> Path:
    """Return the folder of runs.

    With a store in a file it lies beside that, where ``mlflow run`` was given, wherever the code
    lies: a checkout of a git URL is temporary. A folder ``runs`` here that was told to that store
    stays in use. Without one it is here, or in the home where here is temporary.

    Args:
        setting: of the user; None chooses.
    """
    if setting is not None:
        return expanded(setting)
    here = Path(RUNS)
    database = database_of(os.environ.get(Variable.TRACKING_URI, ""))
    if database is None:
        return _lasting(here)
    beside = database.absolute().parent / RUNS
    if beside == here.absolute():
        return here
    return here if not beside.exists() and _is_told_to(database, here) else beside


def where_kept(setting: str | None) -> str:
    """Say in a line where runs are kept, unless the user said or would look there."""
    folder = runs_folder(setting)
    return "" if setting is not None or folder == Path(RUNS) else f"runs are kept in {folder}"


def expanded(path: str) -> Path:
    """Return a path of the user's, in which a ``~`` at the beginning is a home.

    Raises:
        ValueError: whose home that is is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"~ at the beginning of a path must be a known home, got {path}") from None


def is_temporary_checkout() -> bool:
    """Tell whether this process runs in what ``mlflow run`` checked out of a URL for it."""
    temporary = Path(tempfile.gettempdir()).resolve()
    return Variable.RUN_ID in os.environ and Path.cwd().is_relative_to(temporary)


def _lasting(here: Path) -> Path:
    """Return a folder that outlives what ``mlflow run`` checked out for this process."""
    if not is_temporary_checkout() or here.exists():
        return here
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    with suppress(ValueError):
        return expanded(home) / "looped" / RUNS
    return here


def _is_told_to(database: Path, root: Path) -> bool:
    """Tell whether a store holds runs of a folder."""
    ids: list[str] = []
    for path in islice(root.glob("*/told.json"), MOST_ASKED):
        with suppress(DamagedFileError):
            ids += read_object(path)
    if not ids or not database.is_file():
        return False
    marks = ", ".join("?" * len(ids[:MOST_ASKED]))
    query = f"SELECT 1 FROM runs WHERE run_uuid IN ({marks}) LIMIT 1"
    try:
        uri = f"{database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return connection.execute(query, ids[:MOST_ASKED]).fetchone() is not None
    except sqlite3.Error:
        return False
