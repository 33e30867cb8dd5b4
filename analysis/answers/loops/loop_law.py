"""The law of all curves fitted, with what is sure about it: ``law_form`` holds its formula.

Intervals are by seed: all is fitted and compared again without each seed in turn (jackknife,
Student's t), since seeds differ by more than anything else and the errors along one curve are one
error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from analysis.answers.loops.curve_table import CurveTable, tabulate_curves
from analysis.answers.loops.held_out import (
    LAW,
    RIVALS,
    errors_of,
    own_fits,
    splits,
)
from analysis.answers.loops.law_form import NAMES, LoopLaw, fit_laws
from analysis.runs.logged_run import LoggedRun
from analysis.scaling.solving.solver import Floats

LEVEL = 0.95
MANY_CELLS = 60
"""Held-out errors of more would take longer than all else."""
MOST_GROUPS = 40
"""Seeds are left out one by one, as far as that; of more as many groups are, of about one length:
the jackknife that leaves groups out has the same formula."""

BETTER, WORSE, ALIKE = "better", "worse", "not told apart"


@dataclass(frozen=True, kw_only=True)
class LoopLawFit:
    """The law of all curves.

    Attributes:
        table: the curves.
        law: fitted to all of them.
        without_b: fitted to those of all other b, by b.
        parameters: ``parameter``, ``value``, and ``lower`` and ``upper`` by seed (95 %; NaN with
            one seed).
        errors: a row for each thing left out and each way to predict it: ``left_out``
            (``nothing``, ``b``, ``loops`` or ``size``) and its ``value``; ``is_end`` (it lies
            beyond all that was kept); ``way`` (``law``; ``own_fit``, each curve by itself;
            ``last_known_loop``, flat from there; ``nearest``, the curve of the nearest b or size;
            ``between``, the line between its neighbours in the logarithm; ``seeds_noise``, by how
            much the measured mean is off itself, which a perfect law would show too);
            ``knows_a_loop`` (what is predicted was moved to meet the error after b loops, or
            after the last loop that is known); ``error`` in per cent, see ``held_out``, with
            ``lower`` and ``upper`` by seed; ``law_is`` and ``moved_law_is``: ``better``,
            ``worse`` or ``not told apart`` from that way by seed, the latter where the law
            knows a loop as well; empty where that was not asked or seeds cannot tell.
    """

    table: CurveTable
    law: LoopLaw
    without_b: Mapping[int, LoopLaw]
    parameters: pd.DataFrame
    errors: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All of them, by the name of their file."""
        return {"loop_law": self.parameters, "loop_law_errors": self.errors}

    @property
    def n_free(self) -> int:
        """How many parameters were fitted."""
        return int(self.law.is_free.sum())


def fit_loop_law(runs: Sequence[LoggedRun]) -> LoopLawFit | str:
    """Fit one law to the curves of runs over loops, and measure it where it has not seen them.

    Args:
        runs: of one recipe.

    Returns:
        The fit, or why there is none.
    """
    table = tabulate_curves(runs)
    if isinstance(table, str):
        return table
    if table.shape[0] > MANY_CELLS:
        return f"asked of {MANY_CELLS} cells or fewer, got {table.shape[0]}"
    return fit_table(table)


def fit_table(table: CurveTable) -> LoopLawFit:
    """Fit the law to a table of curves."""
    parts = splits(table)
    kept_values = [part.is_kept for part in parts]
    fewer_seeds = [table.without(*seeds) for seeds in _groups(list(table.by_seed))]
    tables = [table]
    if len(fewer_seeds) > 1 and None not in fewer_seeds:
        tables += [each for each in fewer_seeds if each is not None]
    laws = fit_laws([each for each in tables for _ in parts], kept_values * len(tables))
    fits = own_fits(tables, parts)
    rows: list[dict[str, object]] = []
    for index, part in enumerate(parts):
        by_table = [
            errors_of(each, part, laws[at * len(parts) + index], fits[at][index])
            for at, each in enumerate(tables)
        ]
        for way, knows in by_table[0]:
            values = np.array([errors.get((way, knows), math.nan) for errors in by_table])
            if np.isnan(values[0]):
                continue
            error, lower, upper = map(percent, _interval(values))
            row: dict[str, object] = {
                "left_out": part.left_out, "value": part.value, "is_end": part.is_end,
                "way": way, "knows_a_loop": knows, "error": error, "lower": lower, "upper": upper,
            }  # fmt: skip
            for name, law_knows in (("law_is", False), ("moved_law_is", True)):
                is_fair = knows == law_knows or part.left_out == "loops"
                row[name] = ""
                if way in RIVALS and is_fair and (LAW, law_knows) in by_table[0]:
                    of_law = np.array([errors[LAW, law_knows] for errors in by_table])
                    row[name] = _standing(*_interval(of_law - values))
            rows.append(row)
    theta = np.stack([laws[at * len(parts)].theta for at in range(len(tables))])
    spans = [_interval(values) for values in theta.T]
    parameters = pd.DataFrame(spans, columns=["value", "lower", "upper"])
    parameters.insert(0, "parameter", NAMES)
    return LoopLawFit(
        table=table,
        law=laws[0],
        without_b={
            int(part.value): law
            for part, law in zip(parts, laws[: len(parts)], strict=True)
            if part.left_out == "b"
        },
        parameters=parameters[laws[0].is_free].reset_index(drop=True),
        errors=pd.DataFrame(rows),
    )


def _groups(seeds: Sequence[int]) -> list[list[int]]:
    """Part seeds into what is left out at once.

    Example:
        >>> _groups([7, 8, 9])
        [[7], [8], [9]]
        >>> list(map(len, _groups(range(100)))).count(3)
        20
    """
    n_groups = min(len(seeds), MOST_GROUPS)
    return [list(seeds[start::n_groups]) for start in range(n_groups)]


def percent(mean: float) -> float:
    """Say a mean of |ln ratio| in per cent; the end of an interval below 0 is 0.

    Example:
        >>> round(percent(0.01), 2), round(percent(0.7)), percent(-0.1)
        (1.01, 101, 0.0)
    """
    return mean if math.isnan(mean) else 100 * math.expm1(min(max(mean, 0.0), 700.0))


def _interval(values: Floats) -> tuple[float, float, float]:
    """Return the value of all seeds, and the ends of its interval from those without each."""
    n_seeds = len(values) - 1
    if n_seeds < 2:
        return float(values[0]), math.nan, math.nan
    error = math.sqrt((n_seeds - 1) * float(np.var(values[1:])))
    half = float(stdtrit(n_seeds - 1, (1 + LEVEL) / 2)) * error
    return float(values[0]), float(values[0]) - half, float(values[0]) + half


def _standing(_: float, lower: float, upper: float) -> str:
    if math.isnan(lower):
        return ""
    if upper < 0:
        return BETTER
    return WORSE if lower > 0 else ALIKE
