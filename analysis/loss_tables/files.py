"""Tables as they lie on disk: CSV, TSV, JSON lines and Parquet, each as rows of plain values."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.scaling.run_table import RunTableError
from looped.rules import one_line, require

Row = Mapping[str, Any]

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
SUFFIXES = (*DELIMITERS, *JSON_LINES, PARQUET)
COMMENT = "#"
"""Lines before the head of a CSV or TSV that begin with it say where a table is from."""


class LossTableError(RunTableError):
    """A table of losses breaks a rule; the message states it, then what came."""


def check(holds: bool, rule: str, came: object) -> None:
    """Raise LossTableError unless the rule holds: state it, then what came."""
    try:
        require(holds, rule, came)
    except ValueError as error:
        raise LossTableError(str(error)) from None


def read_rows(path: Path) -> list[Row]:
    """Read a file; an empty cell is None, and CSV and TSV give text.

    Args:
        path: ends in one of ``SUFFIXES``.

    Raises:
        LossTableError: there is no such file, or it is none of these.
    """
    suffix = path.suffix.lower()
    check(suffix in SUFFIXES, f"table must end in {', '.join(SUFFIXES)}", path)
    check(path.is_file(), "table must be a file", f"{path}, which is none")
    try:
        if suffix == PARQUET:
            rows = _read_parquet(path)
        else:
            lines = path.read_text("utf-8-sig").splitlines()
            is_json = suffix in JSON_LINES
            rows = _read_json(lines) if is_json else _read_text(lines, DELIMITERS[suffix])
    except UnicodeDecodeError as error:
        raise LossTableError(f"table must be text in UTF-8, got {path}: {error.reason}") from None
    except OSError as error:
        raise LossTableError(f"table must be readable, got {path}: {error.strerror}") from None
    check(bool(rows), "table must have rows", f"none in {path}")
    return rows


def _read_text(lines: Sequence[str], delimiter: str) -> list[Row]:
    start = 0
    while start < len(lines) and lines[start].startswith(COMMENT):
        start += 1
    try:
        cells = [row for row in csv.reader(lines[start:], delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise LossTableError(f"table must be as its name ends, got {error}") from None
    check(bool(cells), "table must have a head, a line with the names of its columns", "none")
    head = [name.strip() for name in cells[0]]
    doubled = sorted({name for name in head if head.count(name) > 1})
    check(not doubled, "columns must differ in their names", f"several called {doubled}")
    for number, row in enumerate(cells[1:], 1):
        rule = f"every row must have as many cells as the head, {len(head)}"
        check(len(row) == len(head), rule, f"{len(row)} in row {number}")
    return [
        {name: cell.strip() or None for name, cell in zip(head, row, strict=True)}
        for row in cells[1:]
    ]


def _read_json(lines: Sequence[str]) -> list[Row]:
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        rule = 'every line of JSON lines must be an object, as {"size": "S12"}'
        check(isinstance(row, dict), rule, f"line {number}: {one_line(line[:60])}")
        rows.append(row)
    return rows


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow  # MLflow brings it along
    from pyarrow import parquet

    try:
        return list(parquet.read_table(path).to_pylist())
    except pyarrow.ArrowException as error:
        raise LossTableError(f"table must be Parquet, got {path}: {one_line(error)}") from None
