"""A table of cells: each column a setting of trainings, each row a cell."""

import csv
import io
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from looped.grid.inputs.input_file import InputFile
from looped.grid.lists import Cell, singular
from looped.grid.options import MOST_TRAININGS
from looped.rules import require, shortened

Readers = Mapping[str, Callable[[str], Any]]
"""By the name of a setting of trainings: what reads its value from a text."""


def read_cells(file: InputFile, readers: Readers) -> list[Cell]:
    r"""Read a table of cells in CSV, whose first row names the columns.

    Args:
        file: the table.
        readers: of all settings that a column may be.

    Raises:
        ValueError: something is unknown, missing, given twice or no value; the message names
            the row, of which the header is the first.

    Example:
        >>> file = InputFile("cells.csv", "size,b\\ntiny,1\\nsmall,4\\n")
        >>> [cell.settings for cell in read_cells(file, {"size": str, "b": int})]
        [{'size': 'tiny', 'b': 1}, {'size': 'small', 'b': 4}]
        >>> read_cells(InputFile("cells.csv", "size,depth\\ntiny,1\\n"), {"size": str, "b": int})
        Traceback (most recent call last):
        ValueError: cells.csv, row 1: a column must be one of size, b, got depth
    """
    rows = _rows(file)
    require(bool(rows), f"{file.name} must have a row that names its columns", "no row")
    names = _names(file, rows[0][1], readers)
    cells: list[Cell] = []
    row_of: dict[tuple[Any, ...], int] = {}
    for number, words in rows[1:]:
        where = f"{file.name}, row {number}"
        rule = f"{where}: a row must have a value in each of the {len(names)} columns"
        require(len(words) == len(names), rule, f"{len(words)} of them")
        settings = {}
        for name, word in zip(names, words, strict=True):
            require(bool(word.strip()), rule, f"nothing for {name}")
            settings[name] = _value(where, name, word.strip(), readers[name])
        twin = row_of.setdefault(tuple(settings.values()), number)
        rule = f"{where}: a row must differ from all others"
        require(twin == number, rule, f"the cell of row {twin} again")
        cells.append(Cell(number, settings))
    require(
        bool(cells), f"{file.name} must have a row for each cell", "only the names of its columns"
    )
    rule = f"{file.name} must have at most {MOST_TRAININGS:,} rows"
    require(len(cells) <= MOST_TRAININGS, rule, f"{len(cells):,}")
    return cells


def _rows(file: InputFile) -> list[tuple[int, list[str]]]:
    """List the rows that are not empty, each with the number of its last line."""
    reader = csv.reader(io.StringIO(file.text), strict=True)
    try:
        return [(reader.line_num, words) for words in reader if any(map(str.strip, words))]
    except csv.Error as error:
        rule = f"{file.name}, row {reader.line_num}: a table must be CSV"
        raise ValueError(f"{rule}, got {shortened(str(error))}") from None


def _names(file: InputFile, words: Sequence[str], readers: Readers) -> list[str]:
    names = [singular(word.strip()) for word in words]
    for name, word in zip(names, words, strict=True):
        rule = f"{file.name}, row 1: a column must be one of {', '.join(readers)}"
        require(name in readers, rule, shortened(word.strip()) or "a column without a name")
        require(names.count(name) == 1, f"{file.name}, row 1: a column must stand once", name)
    return names


def _value(where: str, name: str, word: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(word)
    except (ArgumentTypeError, ValueError) as error:
        raise ValueError(f"{where}: {name} {shortened(str(error))}") from None
