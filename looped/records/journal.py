"""The append-only record of a run: the truth that MLflow is told.

A journal is a file of JSON lines. Each record has a ``kind`` and a ``time`` (milliseconds
since 1970); what else it holds depends on its kind:

- ``start``: a process began at ``step`` (0, or that of the checkpoint it loaded), as one of so many
  ``replicas`` of a ``program``, an id that all runs which train in it share and no other has;
- ``metrics``: one sample of every curve, ``values`` at ``step``;
- ``evaluation``: the error after every loop, as ``Evaluation.record`` gives it;
- ``outcome``: what the training came to at its last ``step``, ``values`` and ``tags``, and
  ``advice`` where it diverged;
- ``diverged``: at that ``step`` the training was given up, for a ``reason``;
- ``end``: the process left, ``status`` in MLflow's words and the ``reason``.

A killed process may leave samples beyond the checkpoint that its successor starts from. The
successor computes them again; ``history`` drops the first version.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class TrackingError(RuntimeError):
    """MLflow could not be told; the journal holds what it missed."""


class Journal:
    """Appends records to a file, or to a list in memory when there is no path."""

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[Record] = []
        self._file = None
        if path is not None:
            _cut_torn_line(path)
            self._file = path.open("a", encoding="utf-8")

    def append(self, kind: str, **content: Any) -> None:
        """Add one record; it outlives the process from here on."""
        record = {"kind": kind, "time": round(time.time() * 1000), **content}
        if self._file is None:
            self.records.append(record)
        else:
            self._file.write(json.dumps(record, allow_nan=False) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Make what was appended outlive the machine too."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Sync and close the file."""
        if self._file is not None:
            self.sync()
            self._file.close()
            self._file = None


def read(path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """Read the complete records from a byte offset on.

    Returns:
        The records, and the offset behind the last of them.
    """
    with path.open("rb") as file:
        file.seek(offset)
        complete, newline, _ = file.read().rpartition(b"\n")
    return [json.loads(line) for line in complete.splitlines()], offset + len(complete + newline)


def last_record(path: Path, *kinds: str) -> Record | None:
    """Read the last record of some kinds from the end of a journal, without the rest of it."""
    size = path.stat().st_size
    tail = 8192
    while True:
        with path.open("rb") as file:
            file.seek(max(0, size - tail))
            lines = file.read().splitlines(keepends=True)
        whole_lines = lines[1:] if tail < size else lines
        for line in reversed(whole_lines):
            if line.endswith(b"\n"):
                record: Record = json.loads(line)
                if record["kind"] in kinds:
                    return record
        if tail >= size:
            return None
        tail *= 8


def newest_start(path: Path) -> int:
    """Return the byte at which the records of the newest process begin."""
    start = position = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and json.loads(line)["kind"] == "start":
                start = position
            position += len(line)
    return start


def history(records: Iterable[Record]) -> list[Record]:
    """Drop what a later process computed again: samples beyond its start, and the outcome."""
    newest: list[Record] = []
    for record in records:
        if record["kind"] == "start":
            newest = [
                earlier
                for earlier in newest
                if earlier["kind"] in ("start", "end")
                or (earlier["kind"] == "metrics" and earlier["step"] <= record["step"])
            ]
        newest.append(record)
    return newest


def _cut_torn_line(path: Path) -> None:
    """Remove the half-written line that a killed process may have left at the end."""
    if path.exists():
        _, end = read(path)
        os.truncate(path, end)
