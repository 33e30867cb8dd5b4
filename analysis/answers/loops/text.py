"""The law of all curves as text: its parameters, and how far it is off beside simpler guesses."""

import math
import textwrap
from collections.abc import Mapping

from analysis.answers.loops.held_out import BETWEEN, FLAT, LAW, NEAREST, NOISE, OWN_FIT
from analysis.answers.loops.law_form import FORMULA, WORDS
from analysis.answers.loops.loop_law import ALIKE, BETTER, WORSE, LoopLawFit
from analysis.scaling.words.text import WIDTH
from looped.counting import counted

PUBLISHED = (
    "published of language models (arXiv:2604.12946, section 5.3): 0.85 to 1.31 % at sizes left "
    "out, 0.1 to 0.17 % once the loss at the trained loops is known; per cents of a cross-entropy "
    "and of an NMSE that spans decades are not alike"
)
_NAMES = {
    LAW: "law",
    NEAREST: "nearest",
    BETWEEN: "between",
    OWN_FIT: "own fits",
    FLAT: "last loop",
    NOISE: "seeds",
}
_UNBROKEN = "\N{NO-BREAK SPACE}"
_MARKS = {BETTER: "+", WORSE: "-", ALIKE: "=", "": ""}


def describe(fit: LoopLawFit | str) -> list[str]:
    """Say the law of all curves, or why there is none.

    Args:
        fit: as ``fit_loop_law`` returns it.

    Example:
        >>> describe("needs the curves of 3 trained b or more, got 2")
        ['needs the curves of 3 trained b or more, got 2']
    """
    if isinstance(fit, str):
        return [fit]
    n_cells, n_loops = fit.table.shape
    return [
        *FORMULA,
        f"{counted(fit.table.n_runs, 'run')}, {counted(n_cells, 'cell')}, {n_loops} loops, "
        f"{fit.n_free} parameters, "
        f"whose x is ln(N / {fit.law.n_reference:,.0f})",
        "[95 % by seed]; docs/extrapolation.md says how each word is made of its parameters:",
        *_parameter_lines(fit),
        "off by, in per cent of the NMSE (by seed the law is + better, - worse, = not told apart):",
        *_error_lines(fit),
        "nearest: the curve of the nearest b (or size); between: the line between its neighbours;",
        "own fits: each curve by itself; last loop: flat from there; seeds: the means' own error",
        *textwrap.wrap(_shown_worse(fit), WIDTH),
        *textwrap.wrap(PUBLISHED, WIDTH),
    ]


def _parameter_lines(fit: LoopLawFit) -> list[str]:
    rows = {row["parameter"]: row for row in fit.parameters.to_dict("records")}
    at_bound = fit.law.at_bound
    lines = []
    for word, names in WORDS.items():
        parts = []
        for name in names:
            if name in rows:
                value, lower, upper = (rows[name][end] for end in ("value", "lower", "upper"))
                span = "" if math.isnan(lower) else f" [{lower:.3g}, {upper:.3g}]"
                parts.append(f"{name} {value:.3g}{span}{' at its bound' * (name in at_bound)}")
        line = f"{word:<8} {'  '.join(part.replace(' ', _UNBROKEN) for part in parts)}"
        indent = " " * 9
        lines += textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(_UNBROKEN, " ") for line in lines]


def _error_lines(fit: LoopLawFit) -> list[str]:
    errors, names = fit.errors, _size_names(fit)
    ways = [way for way in _NAMES if way in set(errors["way"])]
    cells = []
    for (left_out, value, _), group in errors.groupby(
        ["left_out", "value", "knows_a_loop"], sort=False, dropna=False
    ):
        knows = bool(group["knows_a_loop"].iloc[0])
        # beside a law that knows no loop stands what it is compared with, whatever that knows
        rows_shown = errors[
            (errors["left_out"] == left_out)
            & ((errors["value"] == value) | errors["value"].isna())
            & ((errors["knows_a_loop"] == knows) | errors["way"].isin([OWN_FIT, FLAT]))
        ]
        if LAW not in set(rows_shown["way"]):
            continue
        by_way = {row["way"]: row for row in rows_shown.to_dict("records")}
        standing = "moved_law_is" if knows else "law_is"
        cells.append(
            [_title(by_way[LAW], knows, names)]
            + [_cell(by_way[way], standing) if way in by_way else "" for way in ways]
        )
    header = ["left out", *(_NAMES[way] for way in ways)]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *cells)
    ]


def _size_names(fit: LoopLawFit) -> dict[float, str]:
    return dict(zip(map(float, fit.table.n_params), fit.table.sizes, strict=True))


def _title(row: "dict[str, object]", knows: bool, names: Mapping[float, str]) -> str:
    left_out, value = row["left_out"], row["value"]
    if left_out == "nothing":
        return "nothing"
    if left_out == "loops":
        return f"  from loop {value:g} on" if knows else f"loops beyond {value:g}"
    if knows:
        return "  from loop b on"
    name = f"b = {value:g}" if left_out == "b" else f"size {names[float(str(value))]}"
    return f"{name}, an end" if row["is_end"] else name


def _cell(row: "dict[str, object]", standing: str) -> str:
    error, lower, upper = (float(str(row[name])) for name in ("error", "lower", "upper"))
    if row["way"] == LAW and not math.isnan(lower):
        return f"{_digits(error)} [{_digits(lower)}, {_digits(upper)}]"
    return f"{_digits(error)} {_MARKS[str(row[standing])]}".rstrip()


def _digits(value: float) -> str:
    """Write a number to two digits and what comes before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _shown_worse(fit: LoopLawFit) -> str:
    errors, names = fit.errors, _size_names(fit)
    places = []
    for row in errors.to_dict("records"):
        for standing, what in (("law_is", "the law"), ("moved_law_is", "the law from there on")):
            if row[standing] == WORSE:
                title = _title(row, False, names)
                left = "nothing left out" if title == "nothing" else f"{title} left out"
                places.append(f"{what} than {_NAMES[row['way']]} ({left})")
    if places:
        return "shown to be worse: " + "; ".join(places)
    if errors[["law_is", "moved_law_is"]].eq("").all(axis=None):
        return "which is better cannot be told: it takes two seeds or more in every cell"
    return "nowhere shown to be worse than another guess"
