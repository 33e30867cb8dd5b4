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

ROLES: Mapping[str, str] = MappingProxyType(
    {
        "size": "name of the model's size",
        "b": "loops that it was trained at",
        "seed": "which of the trainings of a size and b it is",
        "value": "the loss, in the unit",
        "value_se": "its standard error over held-out prompts, in the unit",
        "loop": "loops run when it was measured, where that is not b",
        "n_params": "weights of the model",
        "n_once": "those of them that are used once, however many loops are run",
        "n_rec": "those that are looped; else n_params less n_once",
        "length": "how long it was trained: steps or tokens",
    }
)
"""What a column may be. A column that is not named goes by the role's own name."""

_WHOLE = ("b", "loop")
_POSITIVE = ("n_params", "n_rec", "length")
_NOT_NEGATIVE = ("n_once", "value_se")
_OPTIONAL = ("seed", "value_se", "loop", "n_params", "n_once", "n_rec", "length")
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
        """The rows that were measured after b loops."""
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
    numbered = [(number, row) for number, row in enumerate(rows, 1)]
    numbered = _chosen(numbered, names, where or {})
    for flag in ("diverged", *(() if with_plateaued else ("plateau",))):
        kept = [(number, row) for number, row in numbered if str(row.get(flag)).lower() != "true"]
        if len(kept) < len(numbered):
            count = counted(len(numbered) - len(kept))
            notices.append(f"left out, as their {flag} is true: {count}")
        numbered = kept
    value = columns_by_role["value"]
    measured = [(number, row) for number, row in numbered if row.get(value) is not None]
    if len(measured) < len(numbered):
        count = counted(len(numbered) - len(measured))
        notices.append(
            f"left out, as their {value} is empty: {count}; were that trainings that diverged, "
            "what is left would flatter"
        )
    check(bool(measured), f"the column {value} must hold values", "none")
    content: dict[str, list[Any]] = {}
    for role, column in columns_by_role.items():
        content[role] = [_read_cell(role, column, number, row) for number, row in measured]
    _check_values(content["value"], conversion, [number for number, _ in measured])
    table = pd.DataFrame(content)
    for name in ONE_OF:
        if name in names:
            table[name] = [row.get(name) for _, row in measured]
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
    found = dict(columns)
    for role in ROLES:
        if role not in found and role in names:
            found[role] = role
    if "value" not in found:
        candidates = [name for name in (unit, "loss") if name in names]
        found |= {"value": candidates[0]} if candidates else {}
    if "value" in found and "value_se" not in found and f"{found['value']}_se" in names:
        found["value_se"] = f"{found['value']}_se"
    needed = ("value",) if "loop" in found else ("size", "b", "value")
    missing = [role for role in needed if role not in found]
    hints = [f"{role} ({ROLES[role]}{_close(role, names)})" for role in missing]
    rule = "columns must say what holds " + " and ".join(hints)
    check(not missing, f"{rule}, as columns={missing[0]}=NAME" if missing else "", ", ".join(names))
    return {role: found[role] for role in ROLES if role in found}


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
    for column, wanted in where.items():
        rule = f"where must name columns among {', '.join(map(str, names))}"
        check(column in names, rule, f"{column}{_hint(column, names)}")
        kept = [(number, row) for number, row in rows if _is_same(row.get(column), wanted)]
        there = ", ".join(dict.fromkeys(str(row.get(column)) for _, row in rows))
        check(bool(kept), f"where must leave rows, with {column} one of {there}", wanted)
        rows = kept
    return rows


def _is_same(cell: object, wanted: str) -> bool:
    if str(cell) == wanted:
        return True
    try:
        return float(str(cell)) == float(wanted)
    except ValueError:
        return str(cell).lower() == wanted.lower() and isinstance(cell, bool)


def _read_cell(role: str, column: str, number: int, row: Row) -> object:
    cell = row.get(column)
    if role in ("size", "seed"):
        check(cell is not None, f"every row must have a {role}", f"none in row {number}")
        return str(cell)
    if cell is None and role in _OPTIONAL and role != "loop":
        return math.nan
    rule = f"{column} must hold {'whole numbers of at least 1' if role in _WHOLE else 'numbers'}"
    place = f"{cell} in row {number}"
    check(cell is not None and not isinstance(cell, bool), rule, place)
    try:
        value = float(str(cell))
    except ValueError:
        raise LossTableError(f"{rule}, got {place}") from None
    check(math.isfinite(value), f"{column} must hold finite numbers", place)
    if role in _WHOLE:
        check(value.is_integer() and value >= 1, rule, place)
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
