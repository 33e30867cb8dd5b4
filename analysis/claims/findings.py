"""How a claim about a study becomes a finding: an estimate, an interval over seeds, a verdict."""

import enum
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from analysis.claims.by_seed import (
    BySeed,
    MissingRunsError,
    Parts,
    Sense,
    interval,
    mean,
    needs,
    weakest,
)
from analysis.claims.cells import Cells
from analysis.runs.logged_run import LoggedRun


class Verdict(enum.StrEnum):
    """What the runs say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    MISSING = "not measured"


@dataclass(frozen=True)
class Premise:
    """What a claim explains; where there is too little of it the verdict stays undecided.

    Attributes:
        failing: what is so where it fails, in words.
        measure: takes the cells to bits by seed.
        least: how many bits there must be, as far as the interval tells.
    """

    failing: str
    measure: Callable[[Cells], BySeed]
    least: float


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about a study that runs can support or contradict.

    Attributes:
        slug: its name.
        statement: in one sentence.
        statistic: what number it comes to, with its unit.
        sense: where the number lies, against the threshold, if the claim holds.
        threshold: in the unit of the statistic.
        reason: why that threshold.
        measure: takes the cells to numbers by seed, in bits, for each part of the claim; all of
            them must hold. Raises ``MissingRunsError`` where nothing compares.
        ratio: the statistic is a ratio of errors, 4 to the power of its bits.
        varies: settings of the recipe in which the claim's runs may differ.
        premise: what there must be for the claim to explain.
        beside: what else to tell with it, in bits by seed, which is not judged.
    """

    slug: str
    statement: str
    statistic: str
    sense: Sense
    threshold: float
    reason: str
    measure: Callable[[Cells], Parts]
    ratio: bool = False
    varies: tuple[str, ...] = ()
    premise: Premise | None = None
    beside: Callable[[Cells], Parts] | None = None

    @property
    def rule(self) -> str:
        """How the verdict follows from the interval, in words."""
        threshold = f"{self.threshold:.4g}"
        if self.sense is Sense.WITHIN:
            threshold = f"{threshold} in absolute value"
        opposite_side = "below" if self.sense is Sense.ABOVE else "above"
        side = "above" if self.sense is Sense.ABOVE else "below"
        rule = (
            f"supported if the interval lies {side} {threshold}, contradicted if {opposite_side} it"
        )
        return rule if self.premise is None else f"{rule}, undecided where {self.premise.failing}"

    def in_unit(self, bits: float) -> float:
        """Return a number of bits in the unit of the statistic."""
        if not self.ratio:
            return bits
        return 4.0**bits if bits < 500 else math.inf

    def verdict(self, low: float, high: float) -> Verdict:
        """Say what an interval, in the unit of the statistic, means for the claim."""
        above = self.sense is Sense.ABOVE
        if low > self.threshold:
            return Verdict.SUPPORTED if above else Verdict.CONTRADICTED
        if high < self.threshold:
            return Verdict.CONTRADICTED if above else Verdict.SUPPORTED
        return Verdict.UNDECIDED


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the runs say of one claim.

    Attributes:
        claim: its slug.
        statement: in one sentence.
        statistic: what number it is, with its unit.
        rule: how the verdict follows.
        reason: why that threshold.
        estimate: of the part that speaks least for the claim; NaN where nothing was measured.
        low: end of its 95 % interval over seeds; NaN where there is none.
        high: the other end.
        verdict: what follows.
        detail: every part with its interval and seeds, or which runs are missing.
    """

    claim: str
    statement: str
    statistic: str
    rule: str
    reason: str
    estimate: float
    low: float
    high: float
    verdict: Verdict
    detail: str


def findings_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Tabulate findings, a row each."""
    columns = [field.name for field in fields(Finding)]
    rows = [asdict(finding) | {"verdict": str(finding.verdict)} for finding in findings]
    return pd.DataFrame(rows, columns=columns)


def comparable(runs: Sequence[LoggedRun], varies: tuple[str, ...]) -> tuple[Cells, list[str]]:
    """Choose the runs that a claim compares; say what was left out.

    They learned, are evaluated, and share their recipe but for what varies. If there are several
    such groups, it is the one in which that takes more values, then the one with more runs. Of
    runs of one configuration one is kept, whatever the order they come in and their ids.
    """
    groups: dict[Hashable, list[LoggedRun]] = {}
    for run in _distinct(runs):
        groups.setdefault(_recipe_but_for(run, varies), []).append(run)
    if not groups:
        return Cells.of([]), []

    def merit(recipe: Hashable) -> tuple[int, int, str]:
        usable_runs = [run for run in groups[recipe] if _is_usable(run)]
        return len({_values(run, varies) for run in usable_runs}), len(usable_runs), repr(recipe)

    group = groups[max(groups, key=merit)]
    n_plateaued = sum(run.is_plateau for run in group)
    n_diverged = sum(run.is_diverged for run in group)
    usable_runs = [run for run in group if _is_usable(run)]
    counts = {
        "plateaued left out": n_plateaued,
        "diverged left out": n_diverged,
        "not evaluated": len(group) - n_plateaued - n_diverged - len(usable_runs),
        "of other recipes left out": sum(map(len, groups.values())) - len(group),
    }
    return Cells.of(usable_runs), [f"{count} {what}" for what, count in counts.items() if count]


def weigh(cells: Cells, left_out: Sequence[str], claim: Claim) -> Finding:
    """Judge a claim.

    Args:
        cells: the runs that it compares; see ``comparable``.
        left_out: what to say of the others.
        claim: what to judge.
    """
    remarks: list[str] = []
    try:
        needs(cells.runs, "runs that learned and are evaluated")
        all_parts = claim.measure(cells)
        parts = {name: part for name, part in all_parts.items() if part}
        needs(parts, "runs of the same seed in the cells that it compares")
        if claim.premise is not None:
            explained_bits = claim.premise.measure(cells)
            if interval(explained_bits)[1] < claim.premise.least:
                remarks = [f"{claim.premise.failing}: {_numbers(explained_bits, float)} bits"]
    except MissingRunsError as error:
        no_numbers = (math.nan, math.nan, math.nan)
        return _finding(claim, no_numbers, Verdict.MISSING, "; ".join([str(error), *left_out]))
    estimate, low, high = map(claim.in_unit, weakest(parts, claim.sense))
    verdict = Verdict.UNDECIDED if remarks else claim.verdict(low, high)
    if all(len(part) < 2 for part in parts.values()):
        low = high = math.nan
        remarks.append("an interval needs 2 seeds")
    lines = [f"{name} {_numbers(part, claim.in_unit)}" for name, part in all_parts.items()]
    if claim.beside is not None:
        side_parts = claim.beside(cells).items()
        lines += [
            f"beside it, {name} {_numbers(part, float)} bits" for name, part in side_parts if part
        ]
    return _finding(claim, (estimate, low, high), verdict, "; ".join([*remarks, *lines, *left_out]))


def _finding(
    claim: Claim, numbers: tuple[float, float, float], verdict: Verdict, detail: str
) -> Finding:
    estimate, low, high = numbers
    return Finding(
        claim=claim.slug,
        statement=claim.statement,
        statistic=claim.statistic,
        rule=claim.rule,
        reason=claim.reason,
        estimate=estimate,
        low=low,
        high=high,
        verdict=verdict,
        detail=detail,
    )


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


def _recipe_but_for(run: LoggedRun, varies: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    recipe = run.config.recipe
    return tuple((name, repr(recipe[name])) for name in sorted(recipe) if name not in varies)


def _values(run: LoggedRun, varies: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(repr(getattr(run.config, name)) for name in varies)


def _numbers(part: BySeed, in_unit: Callable[[float], float]) -> str:
    if not part:
        return "has no seed in common"
    if len(part) < 2:
        return f"{in_unit(mean(part)):.4g} (seed {next(iter(part))})"
    low, high = map(in_unit, interval(part))
    seeds = ", ".join(f"{in_unit(value):.4g}" for value in part.values())
    return f"{in_unit(mean(part)):.4g} [{low:.4g}, {high:.4g}] (seeds: {seeds})"
