"""The append-only record of a run: the truth that MLflow is told.

A journal is a file of JSON lines. Each record has a ``kind`` and a ``time`` (milliseconds
since 1970); what else it holds depends on its kind:

- ``start``: a process began at ``step`` (0, or that of the checkpoint it loaded), as one of so many
  ``replicas`` of a ``program``, an id that all runs which train in it share and no other has,
  with so many ``threads``, on the ``device``, in the ``precision``, with the ``kernels`` and the
  ``checkpoint_loops`` that its machine decided on; where a shorter ``training`` is named, it was
  that one's process, and this training went on from where that one ended (see ``first_steps``);
- ``metrics``: one sample of every curve, ``values`` at ``step``;
- ``evaluation``: the error after every loop, as ``Evaluation.record`` gives it, and as
  ``kept_prompts`` of how many prompts the own errors lie in ``prompt_errors.FILE``;
- ``outcome``: what the training came to at its last ``step``, ``values`` and ``tags``, and
  ``advice`` where it diverged;
- ``diverged``: at that ``step`` the training was given up, for a ``reason``;
- ``end``: the process left, ``status`` in MLflow's words and the ``reason``.

A killed process may leave samples beyond the checkpoint that its successor starts from. The
successor computes them again; ``history`` drops the first version.

A line that is no such record (see ``record_rules``) is damage, which is named with the file and
the line, never passed over: whoever reads a journal tells all of it or nothing.
"""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from looped.records.damage import DamagedFileError, one_line, open_own, parse, writing
from looped.records.files import write_atomically
from looped.records.record_rules import check_record

REMEDY = "-P resume=never puts its folder aside and trains anew"

Record = dict[str, Any]


class TrackingError(RuntimeError):
    """MLflow could not be told; the journal holds what it missed."""


class Journal:
    """Appends records to a file, or to a list in memory when there is no path.

    Args:
        path: of the file, made if missing; what a killed process left half written is cut off.

    Raises:
        DamagedFileError: what is there is no journal of ours.
        UnwritableError: the file cannot be opened for writing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[Record] = []
        self.path = path
        self._file: int | None = None
        if path is not None:
            end = check_journal(path) if os.path.lexists(path) else 0
            with writing(path):
                self._file = open_own(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                os.ftruncate(self._file, end)

    def append(self, kind: str, **content: Any) -> None:
        """Add one record; it outlives the process from here on.

        Raises:
            UnwritableError: the disk takes no more; nothing of the record is left in the file.
        """
        record = {"kind": kind, "time": round(time.time() * 1000), **content}
        if self._file is None or self.path is None:
            self.records.append(record)
            return
        line = (json.dumps(record, allow_nan=False) + "\n").encode()
        with writing(self.path):
            size = os.fstat(self._file).st_size
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
            except OSError:
                os.ftruncate(self._file, size)  # or the next record would stand on half a line
                raise

    def history(self) -> list[Record]:
        """Return what was appended so far, without what was computed again; see ``history``."""
        return history(self.records if self.path is None else read(self.path)[0])

    def sync(self) -> None:
        """Make what was appended outlive the machine too."""
        if self._file is not None and self.path is not None:
            with writing(self.path):
                os.fsync(self._file)

    def close(self) -> None:
        """Sync and close the file."""
        if self._file is not None:
            try:
                self.sync()
            finally:
                os.close(self._file)
                self._file = None


def write_anew(path: Path, records: Iterable[Record]) -> None:
    """Write a journal of these records in place of whatever is there, all of them or none.

    Raises:
        UnwritableError: the disk takes no more; what was there stands.
    """
    lines = [json.dumps(record, allow_nan=False) + "\n" for record in records]
    with writing(path):
        write_atomically(path, "".join(lines).encode())


def read(path: Path, offset: int = 0) -> tuple[list[Record], int]:
    """Read the complete records from a byte offset on.

    Returns:
        The records, and the offset behind the last of them.

    Raises:
        DamagedFileError: a line is no record.
    """
    with path.open("rb") as file:
        file.seek(offset)
        complete, newline, _ = file.read().rpartition(b"\n")
    records, position = [], offset
    for line in complete.split(b"\n") if newline else []:
        records.append(_record(path, line, position))
        position += len(line) + 1
    return records, position


def last_record(path: Path, *kinds: str) -> Record | None:
    """Read the last record of some kinds from the end of a journal, without the rest of it.

    Raises:
        DamagedFileError: a line that it looked at is no record.
    """
    size = path.stat().st_size
    tail = 8192
    while True:
        start = max(0, size - tail)
        with path.open("rb") as file:
            file.seek(start)
            lines = file.read().split(b"\n")
        position = size - len(lines[-1])  # that line is torn, or empty
        for line in reversed(lines[1:-1] if start else lines[:-1]):
            position -= len(line) + 1
            record = _record(path, line, position)
            if record["kind"] in kinds:
                return record
        if start == 0:
            return None
        tail *= 8


def newest_start(path: Path) -> int:
    """Return the byte at which the records of the newest process begin."""
    return max((position for position, _ in starts(path)), default=0)


def starts(path: Path) -> list[tuple[int, int]]:
    """Return the byte and the time at which each process began, the first one first."""
    places, position = [], 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                record = _record(path, line, position)
                if record["kind"] == "start":
                    places.append((position, record["time"]))
            position += len(line)
    return places


def check_journal(path: Path, longest_line: int = 2**30) -> int:
    """Read a journal through, line by line, whatever is in it.

    Args:
        path: of the journal.
        longest_line: the most bytes that a record may take.

    Returns:
        The offset behind its last complete record.

    Raises:
        DamagedFileError: a line is no record that we would have written, or it is no file of
            its own.
    """
    position = 0
    try:
        file = os.fdopen(open_own(path, os.O_RDONLY), "rb")
    except OSError as error:
        raise DamagedFileError(path, error, REMEDY) from error
    with file:
        while line := file.readline(longest_line):
            if not line.endswith(b"\n"):
                if len(line) >= longest_line:
                    reason = f"a line is longer than {longest_line:,} bytes"
                    raise DamagedFileError(path, reason, REMEDY)
                break
            _record(path, line, position)
            position += len(line)
    return position


def _record(path: Path, line: bytes, position: int) -> Record:
    """Read one line, which begins at a byte of the file."""
    try:
        record: Record = parse(line)
        check_record(record)
    except ValueError as error:
        reason = f"the line at byte {position:,} is no record ({one_line(error)})"
        raise DamagedFileError(path, reason, REMEDY) from error
    return record


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
