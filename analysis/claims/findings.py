"""How a claim about a study becomes a finding: an estimate, an interval over seeds, a verdict."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from analysis.claims.by_seed import (
    BySeed,
    MissingRunsError,
    Sense,
    interval,
    mean,
    needs,
    p_value,
    weakest,
)
from analysis.claims.cells import Cells
from analysis.claims.claim import Claim, Premise, Verdict
from analysis.claims.power import Outlook, outlook_of
from analysis.runs.logged_run import LoggedRun
from analysis.runs.recipes import Group, by_recipe, departures

MOST_LISTED = 40
"""Seeds whose numbers a finding lists."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the runs say of one claim.

    Attributes:
        claim: its slug.
        statement: in one sentence.
        statistic: what number it is, with its unit.
        rule: how the verdict follows.
        reason: why that threshold.
        estimate: of the part that decides; NaN where nothing was measured.
        chosen_as: which of how many parts that is, as ``the least of 3``; empty where it is one.
        low: end of its 95 % interval over seeds; NaN where there is none.
        high: the other end.
        p: by which the interval lies on one side, see ``p_value``; NaN where there is none.
        verdict: what follows.
        substitute: what stands for the cells that the study speaks of, as ``here b = 4, 8; loop
            24``; empty where it is judged on those, or not at all.
        seeds: how many would decide it at this scatter; NaN where it is decided, or none would.
        outlook: the same in words; empty where it is decided or not measured.
        detail: every part with its interval and seeds, or which runs are missing.
    """

    claim: str
    statement: str
    statistic: str
    rule: str
    reason: str
    estimate: float
    chosen_as: str
    low: float
    high: float
    p: float
    verdict: Verdict
    substitute: str
    seeds: float
    outlook: str
    detail: str

    @property
    def verdict_in_words(self) -> str:
        """The verdict, with what it was judged on where that is a substitute."""
        return f"{self.verdict} ({self.substitute})" if self.substitute else str(self.verdict)


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Tabulate findings, a row each."""
    columns = [field.name for field in fields(Finding)]
    rows = [asdict(finding) | {"verdict": str(finding.verdict)} for finding in findings]
    return pd.DataFrame(rows, columns=columns)


def comparable(runs: Sequence[LoggedRun], varies: tuple[str, ...]) -> tuple[Cells, list[str]]:
    """Choose the runs that a claim compares; say what was left out.

    They learned, are evaluated, and share their recipe but for what varies. If there are several
    such groups, it is the one in which that takes more values, then the one with more runs, then
    the one that departs least from the defaults. Of runs of one configuration one is kept, whatever
    the order they come in and their ids.
    """
    return comparable_of_distinct(_distinct(runs), varies)


def comparable_of_distinct(
    runs: Sequence[LoggedRun], varies: tuple[str, ...]
) -> tuple[Cells, list[str]]:
    """Do the same for runs of which no two have one configuration."""
    groups = by_recipe(runs, varies)
    if not groups:
        return Cells.of([]), []

    def merit(recipe: Group) -> tuple[int, int, int, str]:
        usable_runs = [run for run in groups[recipe] if _is_usable(run)]
        n_values = len({_values(run, varies) for run in usable_runs})
        return n_values, len(usable_runs), -departures(groups[recipe]), repr(recipe)

    group = groups[max(groups, key=merit)]
    n_plateaued = sum(run.is_plateau for run in group)
    n_diverged = sum(run.is_diverged for run in group)
    usable_runs = [run for run in group if _is_usable(run)]
    counts = {
        "plateaued left out": n_plateaued,
        "diverged left out": n_diverged,
        "not evaluated": len(group) - n_plateaued - n_diverged - len(usable_runs),
        "of other recipes left out": len(runs) - len(group),
    }
    return Cells.of(usable_runs), [f"{count} {what}" for what, count in counts.items() if count]


def weigh(cells: Cells, left_out: Sequence[str], claim: Claim) -> Finding:
    """Judge a claim.

    Args:
        cells: the runs that it compares; see ``comparable``.
        left_out: what to say of the others.
        claim: what to judge.
    """
    try:
        needs(cells.runs, "runs that learned and are evaluated")
        all_parts = claim.measure(cells)
        parts = {name: part for name, part in all_parts.items() if part}
        needs(parts, "runs of the same seed in the cells that it compares")
    except MissingRunsError as error:
        return _finding(claim, {}, "; ".join([str(error), *left_out]))
    remarks, explained_bits = _premise(cells, claim.premise)
    lines = [f"{name} {_numbers(part, claim.in_unit)}" for name, part in all_parts.items()]
    if claim.beside is not None:
        side_parts = claim.beside(cells).items()
        lines += [
            f"beside it, {name} {_numbers(part, float)} bits" for name, part in side_parts if part
        ]
    estimate, low, high = map(claim.in_unit, weakest(parts, claim.deciding_part))
    verdict = Verdict.UNDECIDED if remarks else claim.verdict(low, high)
    p = p_value(parts, claim.deciding_part, claim.threshold_bits)
    if all(len(part) < 2 for part in parts.values()):
        low = high = p = math.nan
        remarks.append("an interval needs 2 seeds")
    is_open = verdict is Verdict.UNDECIDED
    outlook = outlook_of(parts, claim, explained_bits) if is_open else Outlook(math.nan, "")
    return _finding(
        claim,
        {
            "estimate": estimate,
            "chosen_as": _chosen_as(claim.deciding_part, len(parts)),
            "low": low,
            "high": high,
            "p": p,
            "verdict": verdict,
            "substitute": claim.substitute(cells),
            "seeds": outlook.seeds,
            "outlook": outlook.words,
        },
        "; ".join([*remarks, *lines, *left_out]),
    )


NOT_MEASURED: Mapping[str, Any] = {
    **dict.fromkeys(("estimate", "low", "high", "p", "seeds"), math.nan),
    **dict.fromkeys(("chosen_as", "substitute", "outlook"), ""),
    "verdict": Verdict.MISSING,
}


def missing_finding(claim: Claim, detail: str) -> Finding:
    """Say that nothing was measured, and why."""
    return _finding(claim, {}, detail)


def finding_of_interval(
    claim: Claim,
    ends: tuple[float, float, float],
    p: float,
    detail: str,
    is_undecided: bool = False,
) -> Finding:
    """Judge a claim by a number that is not made of numbers by seed.

    Args:
        claim: what to judge.
        ends: the number, and the ends of its 95 % interval.
        p: by which the interval lies on one side.
        detail: what to say with it.
        is_undecided: whatever the interval, as it is not to be relied on.
    """
    estimate, low, high = ends
    verdict = Verdict.UNDECIDED if is_undecided else claim.verdict(low, high)
    numbers = {"estimate": estimate, "low": low, "high": high, "p": p, "verdict": verdict}
    return _finding(claim, numbers, detail)


def _finding(claim: Claim, numbers: Mapping[str, Any], detail: str) -> Finding:
    return Finding(
        claim=claim.slug,
        statement=claim.statement,
        statistic=claim.statistic,
        rule=claim.rule,
        reason=claim.reason,
        detail=detail,
        **{**NOT_MEASURED, **numbers},
    )


def _premise(cells: Cells, premise: Premise | None) -> tuple[list[str], BySeed | None]:
    """Say why a claim stays undecided, if what it explains is not shown; return that, in bits."""
    if premise is None:
        return [], None
    try:
        explained_bits = premise.measure(cells)
        needs(explained_bits, "runs of what it explains")
    except MissingRunsError as error:
        return [f"its premise {error}"], {}
    low, high = interval(explained_bits)
    if low > premise.least:
        return [], explained_bits
    words = premise.failing if high < premise.least else "its premise is not shown"
    least = "" if high < premise.least else f", where more than {premise.least:.4g} is needed"
    return [f"{words}: {_numbers(explained_bits, float)} bits{least}"], explained_bits


def _chosen_as(sense: Sense, n_parts: int) -> str:
    extremes = {Sense.ABOVE: "least", Sense.BELOW: "greatest", Sense.WITHIN: "farthest from 0"}
    return f"the {extremes[sense]} of {n_parts}" if n_parts > 1 else ""


def _distinct(runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    """Keep one run of each configuration, in an order of their own: ids and order say nothing."""
    best: dict[str, LoggedRun] = {}
    for run in runs:
        best_of_same = best.get(run.config.identity)
        if best_of_same is None or _rank(run) > _rank(best_of_same):
            best[run.config.identity] = run
    return [best[identity] for identity in sorted(best)]


def _rank(run: LoggedRun) -> tuple[bool, int, list[float], list[float]]:
    curves = run.loops.get("nmse", ()), run.training.get("loss", ())
    nmse, loss = (np.nan_to_num(np.asarray(curve, float)).tolist() for curve in curves)
    return run.has_learned, len(nmse), nmse, loss


def _is_usable(run: LoggedRun) -> bool:
    return bool(run.loops) and run.is_evaluated and run.has_learned


def _values(run: LoggedRun, varies: tuple[str, ...]) -> tuple[str, ...]:
    settings = {**run.config.recipe, **run.config.policy} if varies else {}
    return tuple(repr(settings.get(name, getattr(run.config, name))) for name in varies)


def _numbers(part: BySeed, in_unit: Callable[[float], float]) -> str:
    if not part:
        return "has no seed in common"
    if len(part) < 2:
        return f"{in_unit(mean(part)):.4g} (seed {next(iter(part))})"
    low, high = map(in_unit, interval(part))
    seeds = ", ".join(f"{in_unit(value):.4g}" for value in islice(part.values(), MOST_LISTED))
    if len(part) > MOST_LISTED:
        seeds += f", the first {MOST_LISTED} of {len(part):,}"
    return f"{in_unit(mean(part)):.4g} [{low:.4g}, {high:.4g}] (seeds: {seeds})"
