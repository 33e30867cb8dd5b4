"""A table of losses, checked: which column is what, and rows that a law may be fitted to."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from analysis.loss_tables.files import LossTableError, Row, check
from analysis.loss_tables.units import UNITS, Conversion
from analysis.scaling.run_table import ONE_OF
from looped.names import Metric
from looped.rules import one_line

ROLES: Mapping[str, str] = MappingProxyType(
    {
        "size": "name of the model's size",
        "b": "loops that it was trained at",
        "seed": "which of the trainings of a size and b it is",
        "value": "the loss, in the unit",
        "value_se": "its standard error over held-out prompts, in the unit",
        "loop": "loops run when it was measured, where that is not b",
        Metric.N_PARAMS: "weights of the model",
        "n_once": "those of them that are used once, however many loops are run",
        "n_rec": "those that are looped; else n_params less n_once",
        "length": "how long it was trained: steps or tokens",
    }
)
"""What a column may be. A column that is not named goes by the role's own name."""

MOST_LOOPS = 100_000
"""A curve is looked at after each of its loops."""

_WHOLE = ("b", "loop")
_POSITIVE = (Metric.N_PARAMS, "n_rec", "length")
_NOT_NEGATIVE = ("n_once", "value_se")
_OPTIONAL = ("seed", "value_se", "loop", Metric.N_PARAMS, "n_once", "n_rec", "length")
_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class LossTable:
    """Rows of losses that were checked.

    Attributes:
        rows: ``size``, ``b`` (NaN if the table has none), ``seed`` and ``value``, and those of
            the other roles that there are; ``task`` and ``recipe`` where the table has them.
        columns: what each role is called in the table.
        unused: the other columns of the table.
        n_rows: that the table has.
        notices: what was left out or assumed, in sentences.
    """

    rows: pd.DataFrame
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    n_rows: int
    notices: tuple[str, ...]

    @property
    def has_seeds(self) -> bool:
        """Whether a column tells trainings of one size and b apart."""
        return "seed" in self.columns

    @property
    def at_b(self) -> pd.DataFrame:
        """The rows that were measured_rows after b loops."""
        rows = self.rows[self.rows["b"].notna()]
        return rows[rows["loop"] == rows["b"]] if "loop" in rows else rows


def read_table(
    rows: Sequence[Row],
    conversion: Conversion,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    with_plateaued: bool = False,
) -> LossTable:
    """Check a table and put its columns under the names of their roles.

    Args:
        rows: a mapping from column to value each; None is no value.
        conversion: what the values are.
        columns: by role, what the table calls it.
        where: by column, the value that rows must have to be taken.
        with_plateaued: keep rows whose column ``plateau`` is true.

    Raises:
        LossTableError: the table breaks a rule; the message states it, then what came.

    Example:
        >>> rows = [{"model": "S", "r": r, "nmse": 0.5 / r} for r in (1, 2, 4)]
        >>> table = read_table(rows, Conversion(unit="nmse"), {"size": "model", "b": "r"})
        >>> table.rows["value"].tolist(), table.columns["value"], table.has_seeds
        ([0.5, 0.25, 0.125], 'nmse', False)
    """
    notices: list[str] = []
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns_by_role = _find_columns(names, columns or {}, conversion.unit)
    numbered_rows = [(number, row) for number, row in enumerate(rows, 1)]
    numbered_rows = _chosen(numbered_rows, names, where or {})
    for flag in ("diverged", *(() if with_plateaued else ("plateau",))):
        kept_rows = [pair for pair in numbered_rows if str(pair[1].get(flag)).lower() != "true"]
        if len(kept_rows) < len(numbered_rows):
            count = counted(len(numbered_rows) - len(kept_rows))
            notices.append(f"left out, as their {flag} is true: {count}")
        numbered_rows = kept_rows
    value = columns_by_role["value"]
    measured_rows = [pair for pair in numbered_rows if pair[1].get(value) is not None]
    if len(measured_rows) < len(numbered_rows):
        count = counted(len(numbered_rows) - len(measured_rows))
        notices.append(
            f"left out, as their {value} is empty: {count}; were that trainings that diverged, "
            "what is left would flatter"
        )
    check(bool(measured_rows), f"the column {value} must hold values", "none")
    content: dict[str, list[Any]] = {}
    for role, column in columns_by_role.items():
        content[role] = [_read_cell(role, column, number, row) for number, row in measured_rows]
    _check_values(content["value"], conversion, [number for number, _ in measured_rows])
    table = pd.DataFrame(content)
    for name in ONE_OF:
        if name in names:
            table[name] = [row.get(name) for _, row in measured_rows]
    if "size" not in table:
        table["size"] = "model"
        notices.append("the table has no size: all rows are taken to be of one model")
    if "b" not in table:
        table["b"] = math.nan
    table = _without_doubles(table, "seed" in columns_by_role, notices)
    if "seed" not in columns_by_role:
        table["seed"] = "0"
        notices.append(
            "the table has no seed: one training for each size and b, so nothing shows how "
            "trainings scatter"
        )
    return LossTable(
        rows=table.reset_index(drop=True),
        columns=columns_by_role,
        unused=tuple(name for name in names if name not in columns_by_role.values()),
        n_rows=len(rows),
        notices=tuple(notices),
    )


def counted(count: int) -> str:
    """Write a number of rows."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def _find_columns(names: Sequence[str], columns: Mapping[str, str], unit: str) -> dict[str, str]:
    for role, column in columns.items():
        rule = f"roles of columns must be among {', '.join(ROLES)}"
        check(role in ROLES, rule, f"{role}{_hint(role, ROLES)}")
        rule = f"the column for {role} must be one of {', '.join(map(str, names))}"
        check(column in names, rule, f"{column}{_hint(column, names)}")
    columns_by_role = dict(columns)
    for role in ROLES:
        if role not in columns_by_role and role in names:
            columns_by_role[role] = role
    if "value" not in columns_by_role:
        candidates = [name for name in (unit, "loss") if name in names]
        columns_by_role |= {"value": candidates[0]} if candidates else {}
    name_of_error = f"{columns_by_role.get('value')}_se"
    if "value_se" not in columns_by_role and name_of_error in names:
        columns_by_role["value_se"] = name_of_error
    needed = ("value",) if "loop" in columns_by_role else ("size", "b", "value")
    missing_roles = [role for role in needed if role not in columns_by_role]
    hints = [f"{role} ({ROLES[role]}{_close(role, names)})" for role in missing_roles]
    rule = f"columns must say what holds {' and '.join(hints)}"
    example = f", as columns={missing_roles[0]}=NAME" if missing_roles else ""
    check(not missing_roles, rule + example, ", ".join(names))
    return {role: columns_by_role[role] for role in ROLES if role in columns_by_role}


def _hint(word: str, names: Iterable[str]) -> str:
    close_names = difflib.get_close_matches(word, list(names), n=1)
    lower = [name for name in names if name.lower() == word.lower()]
    match = (lower or close_names)[:1]
    return f" (did you mean {match[0]}?)" if match else ""


def _close(role: str, names: Sequence[str]) -> str:
    words = {"size": ("model", "name"), "b": ("r", "loops", "T", "trained_r", "train_loops"),
             "value": ("val_loss", "val_bpb", "nll", "error", "ppl")}  # fmt: skip
    matches = [name for name in names if name in words[role]]
    matches += difflib.get_close_matches(role, names, n=1)
    return f"; {matches[0]}, perhaps" if matches else ""


def _chosen(
    rows: list[tuple[int, Row]], names: Sequence[str], where: Mapping[str, str]
) -> list[tuple[int, Row]]:
    for column, wanted_value in where.items():
        rule = f"where must name columns among {', '.join(map(str, names))}"
        check(column in names, rule, f"{column}{_hint(column, names)}")
        kept_rows = [pair for pair in rows if _is_same(pair[1].get(column), wanted_value)]
        there = ", ".join(dict.fromkeys(str(row.get(column)) for _, row in rows))
        check(bool(kept_rows), f"where must leave rows, with {column} one of {there}", wanted_value)
        rows = kept_rows
    return rows


def _is_same(cell: object, wanted_value: str) -> bool:
    if str(cell) == wanted_value:
        return True
    try:
        return float(str(cell)) == float(wanted_value)
    except ValueError:
        return str(cell).lower() == wanted_value.lower() and isinstance(cell, bool)


def _read_cell(role: str, column: str, number: int, row: Row) -> object:
    cell = row.get(column)
    if role in ("size", "seed"):
        check(cell is not None, f"every row must have a {role}", f"none in row {number}")
        return str(cell)
    if cell is None and role in _OPTIONAL and role != "loop":
        return math.nan
    whole_numbers = f"whole numbers from 1 to {MOST_LOOPS:,}"
    rule = f"{column} must hold {whole_numbers if role in _WHOLE else 'numbers'}"
    place = f"{one_line(cell)} in row {number}"
    check(cell is not None and not isinstance(cell, bool), rule, place)
    try:
        value = float(str(cell))
    except ValueError:
        raise LossTableError(f"{rule}, got {place}") from None
    check(math.isfinite(value), f"{column} must hold finite numbers", place)
    if role in _WHOLE:
        check(value.is_integer() and 1 <= value <= MOST_LOOPS, rule, place)
    elif role in _POSITIVE:
        check(value > 0, f"{column} must be above 0", place)
    elif role in _NOT_NEGATIVE:
        check(value >= 0, f"{column} must be 0 or more", place)
    return value


def _check_values(values: Sequence[float], conversion: Conversion, numbers: Sequence[int]) -> None:
    least, name = UNITS[conversion.unit].above, conversion.unit
    if conversion.floor is not None:
        least, name = conversion.floor, "loss, with that floor,"
    for value, number in zip(values, numbers, strict=True):
        check(value > least, f"{name} must be above {least:g}", f"{value:g} in row {number}")


def _without_doubles(table: pd.DataFrame, has_seeds: bool, notices: list[str]) -> pd.DataFrame:
    keys = [name for name in ("size", "b", "seed", "loop", "length") if name in table]
    unique = table.drop_duplicates([*keys, "value"])
    if len(unique) < len(table):
        notices.append(
            f"counted once, as another says the same: {counted(len(table) - len(unique))}"
        )
    groups = unique.groupby(keys, sort=False, dropna=False)["value"]
    doubles = groups.agg(list)[groups.size() > 1]
    for place, values in zip(doubles.index, doubles, strict=True):
        cells = zip(keys, place if isinstance(place, tuple) else (place,), strict=True)
        words = [f"{key} {cell:g}" if isinstance(cell, float) else f"{key} {cell}"
                 for key, cell in cells if pd.notna(cell)]  # fmt: skip
        remedy = "choose with where" + ("" if has_seeds else ", or name the column of the seed")
        came = " and ".join(f"{value:g}" for value in values[:_MOST_NAMED])
        rule = f"each {', '.join(keys)} may have one value ({remedy})"
        check(False, rule, f"{came} for {', '.join(words)}")
    return unique
