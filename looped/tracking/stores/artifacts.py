"""Where the artifacts of a store lie: whether that can be written, and whether it has moved.

An embedded database names the folder of each experiment's artifacts by its whole path. A project
that is moved or copied takes the database along, which goes on to name the old place.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path

from looped.counting import counted
from looped.names import Tag
from looped.records.journal import TrackingError
from looped.tracking.stores.remedy import relocate_command

MLRUNS = "mlruns"
"""The folder in which MLflow keeps artifacts unless it is told another."""
COLUMNS = (
    *(("experiments", "artifact_location"), ("runs", "artifact_uri")),
    *(("model_versions", "source"), ("model_versions", "storage_location")),
    *(("logged_models", "artifact_location"), ("trace_tags", "value")),
)
"""Of MLflow's tables: those that name artifacts by their whole path."""


class Root(NamedTuple):
    """The artifacts of an experiment whose place is not what the database says.

    Attributes:
        uri: what the database says.
        old: the same, as a path.
        new: where they are, or are to be.
        base: the part of ``old`` that the database's own folder has taken the place of.
        is_gone: whether nothing is left of ``old``, and nothing of it was found.
    """

    uri: str
    old: Path
    new: Path
    base: Path
    is_gone: bool = False


def require_writable(client: MlflowClient, experiment_id: str) -> None:
    """Require that files of new runs can be written, where that is a folder.

    Raises:
        TrackingError: this process cannot write there.
    """
    experiment = client.get_experiment(experiment_id)
    path = _path_of(str(experiment.artifact_location))
    if path is None:
        return
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if os.path.isdir(nearest) and os.access(nearest, os.W_OK | os.X_OK):
        return
    reason = "cannot be written" if os.path.isdir(nearest) else "is no folder that can be used"
    raise TrackingError(
        f"artifacts must be kept where this process can write, got {path} of experiment "
        f"{experiment.name}: {nearest} {reason} (mlflow experiments create --artifact-location "
        "makes one that keeps them elsewhere; a server keeps them itself with "
        "--artifacts-destination)"
    )


def require_in_place(database: Path, experiment_id: str) -> None:
    """Require of an embedded database that its project was neither moved nor copied since.

    Raises:
        TrackingError: it was; nothing has been written to the old place.
    """
    with closing(_connect(database)) as connection:
        roots = list(misplaced_roots(connection, database, experiment_id))
    if roots:
        root = roots[0]
        came = f"{database}, which was moved or copied and says {root.old}"
        if root.is_gone:
            came = f"{database}, which says {root.old}, where nothing is left; bring that back, or"
        raise TrackingError(
            f"a store's artifacts must lie where it says, got {came}: {relocate_command(database)} "
            f"lets it say {root.new}"
        )


def misplaced_roots(
    connection: sqlite3.Connection, database: Path, experiment_id: str | None = None
) -> Iterator[Root]:
    """Find the experiments whose artifacts are not where the database says.

    They are if folders of their runs lie beside the database, under the same names, and not
    there; if they lie beside a database that this one is a copy of; or if nothing is left of the
    place. The last is asked of one experiment, since another's may be on a disk that is away.

    Args:
        connection: to the database.
        database: its file.
        experiment_id: of which nothing may be left; None: of all.
    """
    home = database.absolute().parent
    query = "SELECT experiment_id, artifact_location FROM experiments"
    for number, uri in connection.execute(query).fetchall():
        old = _path_of(uri or "")
        if old is None:
            continue
        base = _base(old)
        place = _beside(connection, home, old, number)
        if place is not None:
            if not _is_same(place, old):
                n_parts = len(place.relative_to(home).parts)
                yield Root(uri, old, place, old.parents[n_parts - 1])
        elif base is not None and _is_copy(connection, database, base / database.name):
            yield Root(uri, old, home / old.relative_to(base), base)
        elif experiment_id in (None, str(number)) and _is_gone(connection, old, number):
            yield Root(uri, old, home / MLRUNS / str(number), base or old, is_gone=True)


def relocate(database: Path) -> list[str]:
    """Let an embedded database say where the artifacts are now; nothing else changes.

    Returns:
        What was done, a line for each experiment, and how many files are not there.
    """
    lines = []
    with closing(_connect(database)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for root in list(misplaced_roots(connection, database)):
            n_runs = _rewrite(connection, root)
            lines.append(f"{root.old} is {root.new} now ({counted(n_runs, 'run')})")
            _rewrite_folders(connection, root, database.absolute().parent)
        sources = connection.execute("SELECT source FROM model_versions").fetchall()
        connection.execute("COMMIT")
    paths = [_path_of(source or "") for (source,) in sources]
    n_lost = sum(path is not None and not path.exists() for path in paths)
    if n_lost:
        lines.append(f"the files of {counted(n_lost, 'registered model')} are not there")
    return lines


def _rewrite(connection: sqlite3.Connection, root: Root) -> int:
    """Give every name of an artifact its new beginning; return how many runs have one."""
    new_uri = root.new.as_uri() if urlsplit(root.uri).scheme == "file" else str(root.new)
    n_runs = 0
    for table, column in COLUMNS:
        columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if column not in columns:
            continue
        cursor = connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
            (new_uri, len(root.uri) + 1, root.uri, len(root.uri) + 1, f"{root.uri}/"),
        )
        n_runs += cursor.rowcount if table == "runs" else 0
    return n_runs


def _rewrite_folders(connection: sqlite3.Connection, root: Root, home: Path) -> None:
    """Let runs name the folders of their journals that have come along."""
    query = "SELECT run_uuid, value FROM tags WHERE key = ?"
    for run_id, value in connection.execute(query, (Tag.FOLDER,)).fetchall():
        if Path(value).is_relative_to(root.base):
            folder = home / Path(value).relative_to(root.base)
            if os.path.exists(folder):
                connection.execute(
                    "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = ?",
                    (str(folder), run_id, Tag.FOLDER),
                )


def _beside(
    connection: sqlite3.Connection, home: Path, old: Path, experiment_id: int
) -> Path | None:
    """Find a folder of these runs beside the database whose path ends as the old one does."""
    for n_left_out in range(1, len(old.parts)):
        place = home.joinpath(*old.parts[n_left_out:])
        if not os.path.isdir(place):
            continue
        if place == old:
            return place
        query = "SELECT run_uuid FROM runs WHERE experiment_id = ?"
        ids = {run_id for (run_id,) in connection.execute(query, (experiment_id,))}
        with os.scandir(place) as entries:
            if any(entry.name in ids for entry in entries):
                return place
    return None


def _is_gone(connection: sqlite3.Connection, old: Path, experiment_id: int) -> bool:
    """Tell whether nothing is left of a place that was there; a new one is made when it is used."""
    base = _base(old)
    if base is not None:
        return not os.path.lexists(base)
    query = (
        "SELECT 1 FROM runs JOIN tags USING (run_uuid) "
        "WHERE experiment_id = ? AND status = 'FINISHED' AND key = ? LIMIT 1"
    )
    has_finished = connection.execute(query, (experiment_id, Tag.KIND)).fetchone() is not None
    return has_finished and not os.path.lexists(old.parent)


def _is_copy(connection: sqlite3.Connection, database: Path, other_database: Path) -> bool:
    """Tell whether another database is there that was made at the same moment as this one."""
    if not other_database.is_file() or _is_same(other_database, database):
        return False
    query = "SELECT experiment_id, creation_time FROM experiments ORDER BY experiment_id LIMIT 1"
    with suppress(sqlite3.Error), closing(_connect(other_database, "ro")) as connection_to_other:
        first = connection_to_other.execute(query).fetchone()
        return bool(first == connection.execute(query).fetchone())
    return False


def _is_same(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def _base(path: Path) -> Path | None:
    """Return the folder in which MLflow made its ``mlruns``; None where it was told another."""
    if MLRUNS not in path.parts:
        return None
    position = len(path.parts) - 1 - path.parts[::-1].index(MLRUNS)
    return Path(*path.parts[:position])


def _path_of(uri: str) -> Path | None:
    """Return the whole path of artifacts in a folder; None where they are kept otherwise."""
    if urlsplit(uri).scheme not in ("", "file"):
        return None
    path = Path(local_file_uri_to_path(uri))  # type: ignore[no-untyped-call]
    return path if path.is_absolute() else None


def _connect(database: Path, mode: str = "rw") -> sqlite3.Connection:
    uri = f"{database.absolute().as_uri()}?mode={mode}"  # nothing is made
    return sqlite3.connect(uri, uri=True, timeout=60, isolation_level=None)
