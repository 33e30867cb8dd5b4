"""A grid's place on disk, owned by one process at a time: what it is, where it stands.

``runs/grid-1f0c.../`` holds ``grid.json`` (what was asked for, when it ran, how it ended),
``note.md``, ``trainings.csv``, ``told.json`` and ``lock``. The name ends with the identity of
the grid, the set of its trainings.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from looped.records.files import write_atomically
from looped.records.folder import FolderLock

PREFIX = "grid-"
TABLE, OLD_TABLE = "trainings.csv", "cells.csv"  # the latter in grids kept from before


class GridFolder:
    """The files of one grid; holds the lock until closed, or until the process dies.

    Args:
        root: folder of all runs.
        identity: of the grid.
        patience: seconds to wait for another process that runs it to leave.

    Raises:
        FolderInUseError: another living process runs this grid.
    """

    def __init__(self, root: Path, identity: str, patience: float = 1.0) -> None:
        self.identity = identity
        self.path = root / f"{PREFIX}{identity}"
        self._lock = FolderLock(self.path, patience)

    def begin(self, name: str, lists: Mapping[str, str], origin: Mapping[str, str]) -> None:
        """Say that a process begins to run the grid.

        Args:
            name: readable.
            lists: what was asked for, by name.
            origin: tags of the process.
        """
        now = round(time.time() * 1000)
        facts = {"name": name, "lists": dict(lists), "origin": dict(origin), "begun": now}
        self._write_facts({**facts, "ended": None, "status": "KILLED", "reason": "it was killed"})

    def end(self, status: str, reason: str) -> None:
        """Say how it ended, in MLflow's words."""
        now = round(time.time() * 1000)
        self._write_facts({**self.facts, "ended": now, "status": status, "reason": reason})

    def show(self, note: str, table: str) -> None:
        """Write where the trainings stand: Markdown and CSV."""
        write_atomically(self.path / "note.md", note.encode())
        write_atomically(self.path / TABLE, table.encode())

    @property
    def facts(self) -> dict[str, Any]:
        """What ``begin`` and ``end`` wrote last; empty before."""
        path = self.path / "grid.json"
        facts: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return facts

    @property
    def note(self) -> str:
        """The note shown last."""
        return (self.path / "note.md").read_text()

    @property
    def table(self) -> str:
        """The table shown last."""
        path = self.path / TABLE
        return (path if path.exists() else self.path / OLD_TABLE).read_text()

    @property
    def told(self) -> dict[str, int]:
        """The MLflow runs that this grid was told as, with the beginning of each."""
        path = self.path / "told.json"
        if not path.exists():
            return {}
        beginnings: dict[str, int] = json.loads(path.read_bytes())
        return beginnings

    def remember(self, run_id: str) -> None:
        """Keep that this beginning of the grid is told as an MLflow run; sign the lock with it."""
        beginnings = self.told | {run_id: self.facts["begun"]}
        write_atomically(self.path / "told.json", json.dumps(beginnings).encode())
        self._lock.sign(run_id)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.close()

    def _write_facts(self, facts: Mapping[str, Any]) -> None:
        write_atomically(self.path / "grid.json", json.dumps(facts, indent=2).encode())
