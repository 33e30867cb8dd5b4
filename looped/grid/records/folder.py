"""A grid's place on disk, owned by one process at a time: what it is, where it stands.

``runs/grid-1f0c.../`` holds ``grid.json`` (what was asked for, when it ran, how it ended),
``note.md``, ``trainings.csv``, ``told.json`` and ``lock``, and in ``inputs`` the files that say
what it trains, if any do. The name ends with the identity of the grid, the set of its trainings.

Folders come from elsewhere too, and from processes that died: each file is read as data, a
link is none of ours, and what is damaged is said with the file's name.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from looped.records.files import write_atomically
from looped.records.folder import FolderLock

PREFIX = "grid-"
TABLE, OLD_TABLE = "trainings.csv", "cells.csv"  # the latter in grids kept from before
INPUTS, MOST_INPUTS = "inputs", 20
LARGEST = 256 * 2**20  # bytes of a file; a table of a million trainings has fewer
LATEST = 2**53  # milliseconds since 1970
MOST_THREADS = 1024

STATUSES = ("FINISHED", "FAILED", "KILLED")
"""How a grid may end, in MLflow's words."""

_KEYS = {"begun_at": "begun", "ended_at": "ended"}
"""Facts whose key in ``grid.json`` is another."""

logger = logging.getLogger("looped")


class DamagedGridError(ValueError):
    """A file of a grid's folder is not as it was written; the message names it."""


@dataclass(frozen=True, kw_only=True)
class GridFacts:
    """What a grid is and how its newest process went.

    Attributes:
        name: readable.
        lists: what was asked for, by name.
        origin: tags of the process.
        begun_at: when the process began, in milliseconds since 1970.
        ended_at: when it ended; None while it runs, or where it was killed.
        status: one of ``STATUSES``.
        reason: why it ended, in a line.
        threads: of each training; None in grids kept from before.
    """

    name: str
    lists: Mapping[str, str]
    origin: Mapping[str, str]
    begun_at: int
    ended_at: int | None = None
    status: str = "KILLED"
    reason: str = "it was killed"
    threads: int | None = None

    @property
    def seconds(self) -> float | None:
        """For which its newest process ran; None where that is not known."""
        return None if self.ended_at is None else (self.ended_at - self.begun_at) / 1000

    def __post_init__(self) -> None:
        texts = (self.name, self.reason, *_words(self.lists), *_words(self.origin))
        whole = [number for number in (self.ended_at, self.threads) if number is not None]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its name, reason, lists and origin must be text")
        if not all(
            _is_whole(number) and 0 <= number < LATEST for number in (self.begun_at, *whole)
        ):
            raise ValueError("its times and threads must be whole numbers of at least 0")
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise ValueError(f"its threads must lie in [1, {MOST_THREADS:,}]")
        if self.status not in STATUSES:
            raise ValueError(f"its status must be one of {', '.join(STATUSES)}")


class GridFolder:
    """The files of one grid; holds the lock until closed, or until the process dies.

    Args:
        root: folder of all runs.
        identity: of the grid.
        patience: seconds to wait for another process that runs it to leave.

    Raises:
        DamagedGridError: the folder, or its lock, is a link.
        FolderInUseError: another living process runs this grid.
    """

    def __init__(self, root: Path, identity: str, patience: float = 1.0) -> None:
        self.identity = identity
        self.path = root / f"{PREFIX}{identity}"
        for path in (self.path, self.path / "lock"):
            if os.path.islink(path):
                raise DamagedGridError(f"{path} must be a grid's own, got a link")
        self._lock = FolderLock(self.path, patience)

    def begin(
        self,
        name: str,
        lists: Mapping[str, str],
        origin: Mapping[str, str],
        threads: int | None = None,
    ) -> None:
        """Say that a process begins to run the grid.

        Args:
            name: readable.
            lists: what was asked for, by name.
            origin: tags of the process.
            threads: of each training.
        """
        now = round(time.time() * 1000)
        self._write(GridFacts(name=name, lists=lists, origin=origin, begun_at=now, threads=threads))

    def end(self, status: str, reason: str) -> None:
        """Say how it ended, in MLflow's words."""
        facts = self.facts
        if facts is not None:
            now = round(time.time() * 1000)
            ending = {"ended_at": now, "status": status, "reason": reason}
            self._write(GridFacts(**{**vars(facts), **ending}))

    def show(self, note: str, table: str) -> None:
        """Write where the trainings stand: Markdown and CSV."""
        write_atomically(self.path / "note.md", note.encode())
        write_atomically(self.path / TABLE, table.encode())

    @property
    def has_begun(self) -> bool:
        """Whether a process has said that it begins to run the grid, readable or not."""
        return os.path.lexists(self.path / "grid.json")

    @property
    def facts(self) -> GridFacts | None:
        """What ``begin`` and ``end`` wrote last; None before.

        Raises:
            DamagedGridError: it is not as it was written.
        """
        return read_facts(self.path)

    @property
    def facts_if_whole(self) -> GridFacts | None:
        """The same, or None where it is damaged, which is said: a grid begins without it."""
        try:
            return self.facts
        except DamagedGridError as error:
            logger.warning("%s; it is written anew", error)
            return None

    @property
    def note(self) -> str:
        """The note shown last; empty where a process died before it showed one."""
        return (self._read("note.md") or b"").decode(errors="replace")

    @property
    def table(self) -> str:
        """The table shown last; empty where there is none."""
        blob = self._read(TABLE)
        return ((self._read(OLD_TABLE) if blob is None else blob) or b"").decode(errors="replace")

    @property
    def inputs(self) -> dict[str, str]:
        """The files that say what it trains, by name: texts, and none that is a link."""
        place = self.path / INPUTS
        if os.path.islink(place) or not place.is_dir():
            return {}
        names = sorted(path.name for path in place.iterdir())[:MOST_INPUTS]
        blobs = {name: _read(place / name) for name in names}
        return {name: blob.decode(errors="replace") for name, blob in blobs.items() if blob}

    def keep_input(self, name: str, text: str) -> None:
        """Keep such a file, under its own name."""
        place = self.path / INPUTS
        if os.path.islink(place):
            raise DamagedGridError(f"{place} must be a grid's own, got a link")
        place.mkdir(exist_ok=True)
        write_atomically(place / name, text.encode())

    @property
    def told(self) -> dict[str, int]:
        """The MLflow runs that this grid was told as, with the beginning of each.

        Where the file is damaged there are none: the store is asked for them.
        """
        try:
            blob = self._read("told.json")
            content = {} if blob is None else json.loads(blob)
            if all(_is_whole(beginning) for beginning in content.values()):
                return dict(content)
            raise ValueError("it must hold whole numbers")
        except (ValueError, AttributeError, RecursionError) as error:
            logger.warning("%s; it is made anew", _damaged(self.path / "told.json", error))
            return {}

    def remember(self, run_id: str) -> None:
        """Keep that this beginning of the grid is told as an MLflow run; sign the lock with it."""
        facts = self.facts
        if facts is not None:
            beginnings = self.told | {run_id: facts.begun_at}
            write_atomically(self.path / "told.json", json.dumps(beginnings).encode())
        self._lock.sign(run_id)

    def sign(self, run_id: str) -> None:
        """Say in the lock which MLflow run this process tells."""
        self._lock.sign(run_id)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()

    def _read(self, name: str) -> bytes | None:
        return _read(self.path / name)

    def _write(self, facts: GridFacts) -> None:
        content = {_KEYS.get(name, name): value for name, value in vars(facts).items()}
        write_atomically(self.path / "grid.json", json.dumps(content, indent=2).encode())


def read_facts(folder: Path) -> GridFacts | None:
    """Read what the newest process of a grid wrote; None where none has.

    Raises:
        DamagedGridError: it is not as it was written.
    """
    path = folder / "grid.json"
    blob = _read(path)
    if blob is None:
        return None
    keys = {field.name: _KEYS.get(field.name, field.name) for field in fields(GridFacts)}
    try:
        content = json.loads(blob)
        return GridFacts(**{name: content[key] for name, key in keys.items() if key in content})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from None


def _read(path: Path) -> bytes | None:
    """Read a file; None where there is none.

    Raises:
        DamagedGridError: it is a link, no file, or larger than any of ours.
    """
    # one that waits for a writer, a pipe say, is not waited for
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _damaged(path, error) from None
    try:
        with open(number, "rb") as file:
            if os.fstat(number).st_size > LARGEST:
                raise _damaged(path, f"it has more than {LARGEST:,} bytes")
            return file.read()
    except OSError as error:  # a folder, say
        raise _damaged(path, error) from None


def _damaged(path: Path, error: object) -> DamagedGridError:
    reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
    return DamagedGridError(f"{path} must hold what a grid wrote there, got: {reason}")


def _words(mapping: Mapping[str, str]) -> list[str]:
    return [*mapping.keys(), *mapping.values()]


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
