"""Rows, numbers and intervals as the pages of findings write them."""

import math
from collections.abc import Iterable, Sequence

Lines = list[str]


def row(cells: Iterable[object]) -> str:
    """Write a row of a table.

    Example:
        >>> row(["phi", 0.46])
        '| phi | 0.46 |'
    """
    return f"| {' | '.join(map(str, cells))} |"


def header(cells: Sequence[object]) -> Lines:
    """Write the first row of a table and the rule under it."""
    return [row(cells), "|" + "---|" * len(cells)]


def heading(title: str) -> Lines:
    """Write what a table is of, above it."""
    return ["", f"*{title}*", ""]


def listed(values: Iterable[object]) -> str:
    """Write values with commas between them."""
    return ", ".join(map(str, values))


def number(value: float) -> str:
    """Write a number with three digits, a dash where there is none."""
    return "-" if math.isnan(value) else f"{value:.3g}"


def interval(low: float, high: float) -> str:
    """Write an interval with two decimals, a dash where there is none.

    Example:
        >>> interval(-0.001, 0.5), interval(math.nan, 0.5)
        ('[0.00, 0.50]', '-')
    """
    ends = ", ".join(f"{round(end, 2) + 0.0:.2f}" for end in (low, high))  # no -0.00
    return "-" if math.isnan(low) else f"[{ends}]"
