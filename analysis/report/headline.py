"""The answer in a sentence or two: what loops add, which b lifts a size, what is lost beyond b."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from analysis.answers.exchange import Crossing, exchange_rate
from analysis.claims.by_seed import NOTABLE_BITS, BySeed, interval, less, mean
from analysis.claims.cells import Cells, bits_after
from analysis.claims.findings import comparable
from analysis.runs.logged_run import LoggedRun
from analysis.scaling.fit import FitStatus, ScalingFit

KEPT = 4**NOTABLE_BITS
"""An error that changes by a smaller factor is kept; the claims draw the same line."""

_RUNAWAY_BITS = -10.0
"""A model whose error is a million times Var(y) has run away: no mean of such errors says more."""


@dataclass(frozen=True)
class Headline:
    """What some runs say in short.

    Attributes:
        sentences: the answer, in one or two.
        reading: how to read its numbers, and which runs do not speak in it.
    """

    sentences: tuple[str, ...]
    reading: str = ""

    def __str__(self) -> str:
        """The answer alone."""
        return " ".join(self.sentences)


class _Ratio(NamedTuple):
    """A size's ratio of two errors, with its interval over seeds; NaN where one seed gives none."""

    size: str
    value: float
    low: float
    high: float

    @property
    def is_open(self) -> bool:
        """Whether it may be that nothing changes; what has no interval shows nothing."""
        return not (self.low > 1 or self.high < 1)

    @property
    def inverse(self) -> "_Ratio":
        """The other error over the one."""
        return _Ratio(self.size, 1 / self.value, 1 / self.high, 1 / self.low)

    def __str__(self) -> str:
        """Write it as ``2.6 [2.1, 3.2]``."""
        ends = "" if math.isnan(self.low) else f" [{_short(self.low)}, {_short(self.high)}]"
        return _short(self.value) + ends


def headline(runs: Sequence[LoggedRun], fit: ScalingFit | None, reason: str = "") -> Headline:
    """Say what runs answer, no surer than they are.

    What loops add and what is lost beyond b is measured, paired by seed; which b lifts a size to
    the next is read off the law.

    Args:
        runs: of one task and recipe.
        fit: their law; None where there is none.
        reason: why there is none.

    Example:
        >>> print(headline([], None))
        No run has learned and been evaluated: what looping buys cannot be said.
    """
    cells, left_out = comparable(runs, ())
    if not cells.runs:
        words = "No run has learned and been evaluated: what looping buys cannot be said."
        return Headline((words,), _left_out(left_out))
    gains = _gains(cells)
    lifts = _lifts(cells, fit, reason) if gains else ""
    bs = _listed(cells.bs())
    gains = gains or (
        "what looping adds cannot be said, as it takes runs of one seed at b = 1 and at a larger "
        f"b, and these are of b = {bs}"
    )
    parts = ["; ".join(filter(None, (gains, lifts))), _beyond(cells)]
    sentences = tuple(f"{part[0].upper()}{part[1:]}." for part in parts if part)
    return Headline(sentences, _reading(cells, " ".join(sentences), left_out))


def _gains(cells: Cells) -> str:
    """Say by how much the largest b of each size divides its error at b = 1."""
    ratios_by_b: dict[int, list[_Ratio]] = {}
    for size in cells.sizes:
        largest_b = cells.bs(size)[-1]
        gain = less(cells.bits(size, largest_b), cells.bits(size, 1))
        if largest_b > 1 and gain:
            ratios_by_b.setdefault(largest_b, []).append(_ratio(size, gain))
    return ", and ".join(_gains_at(b, ratios) for b, ratios in ratios_by_b.items())


def _gains_at(b: int, ratios: Sequence[_Ratio]) -> str:
    training = f"training at {b} loops instead of one"
    divided = [ratio for ratio in ratios if not ratio.is_open and ratio.value >= 1]
    multiplied = [ratio.inverse for ratio in ratios if not ratio.is_open and ratio.value < 1]
    verbs = [
        f"{verb} the error {_joined([f'of {ratio.size} by {ratio}' for ratio in group])}"
        for verb, group in (("divides", divided), ("multiplies", multiplied))
        if group
    ]
    open_ratios = [ratio for ratio in ratios if ratio.is_open]
    if not open_ratios:
        return f"{training} {_joined(verbs)}"
    if not verbs:
        each = _joined([f"of {ratio.size} (divided by {ratio})" for ratio in open_ratios])
        return f"whether {training} lowers the error {each} is undecided"
    undecided = ", ".join(f"{ratio.size}, {ratio}" for ratio in open_ratios)
    return f"{training} {_joined(verbs)} (undecided for {undecided})"


def _lifts(cells: Cells, fit: ScalingFit | None, reason: str) -> str:
    """Say which b lifts each size to where the next larger one is after one loop."""
    pairs = list(pairwise(cells.sizes))
    if not pairs:
        return ""
    if fit is None:
        why = f" ({reason})" if reason else ""
        return f"which b lifts a size to the next cannot be said without a law{why}"
    if fit.status is FitStatus.SHAPE_UNKNOWN:
        return "which b lifts a size to the next cannot be said, as these runs test no law"
    crossings = {
        pair: exchange_rate(fit, *pair) for pair in pairs if set(pair) <= set(fit.run_table.sizes)
    }
    clauses = [_lift(*pair, crossing, fit) for pair, crossing in crossings.items()]
    doubt = "" if fit.status is FitStatus.OK else f", whose fit ended {fit.status.name},"
    return f"by the fitted law{doubt} {_joined(clauses)}" if clauses else ""


def _lift(size: str, target: str, crossing: Crossing, fit: ScalingFit) -> str:
    """Say it of one pair; loops are whole, so that estimates and upper ends are rounded up."""
    lifts = f"{size} to {target} at b = 1"
    if math.isinf(crossing.b):
        lower = math.inf if math.isinf(crossing.lower) else math.floor(crossing.lower)
        return f"no b lifts {lifts}" + (f", though b = {lower:,} may" if lower < math.inf else "")
    upper = "never" if math.isinf(crossing.upper) else f"{math.ceil(crossing.upper):,}"
    b = f"b = {math.ceil(crossing.b):,} [{math.floor(crossing.lower):,}, {upper}]"
    if crossing.lower <= 1 and math.isinf(crossing.upper):
        return f"it is undecided which b lifts {lifts} ({b})"
    is_beyond = crossing.b > fit.run_table.bs[-1]
    takes = "it may take" if is_beyond or math.isinf(crossing.upper) else "it takes"
    return f"{takes} {b}{', beyond what was trained,' if is_beyond else ''} to lift {lifts}"


def _beyond(cells: Cells) -> str:
    """Say what becomes of each size's error where it is run far beyond its b."""
    ratios, runaways = [], []
    for size in cells.sizes if cells.beyond() else ():
        runs = [run for b in cells.beyond(size) for run in cells.of_cell(size, b).values()]
        count = sum(bits_after(run, cells.farthest_loop) < _RUNAWAY_BITS for run in runs)
        if count:
            runaways.append(f"{count} of {len(runs)} models of {size} run away")
        elif bits_lost := cells.mean_bits_lost(size):
            ratios.append(_ratio(size, bits_lost))
    steady_ratios = [ratio for ratio in ratios if ratio.low > 1 / KEPT and ratio.high < KEPT]
    changed_ratios = [ratio for ratio in ratios if ratio not in steady_ratios]
    clauses = []
    if steady_ratios:
        verb = "keeps" if len(steady_ratios) == 1 else "keep"
        times = [f"{ratio.size} (times {ratio})" for ratio in steady_ratios]
        clauses.append(f"{_joined(times)} {verb} the error at b")
    for verb, group in (
        ("multiply", [ratio for ratio in changed_ratios if not ratio.is_open and ratio.value >= 1]),
        (
            "divide",
            [ratio.inverse for ratio in changed_ratios if not ratio.is_open and ratio.value < 1],
        ),
    ):
        if group:
            each = _joined([f"of {ratio.size} by {ratio}" for ratio in group])
            clauses.append(f"the further loops {verb} the error {each}")
    undecided = [f"of {ratio.size} (times {ratio})" for ratio in changed_ratios if ratio.is_open]
    if undecided:
        clauses.append(f"whether the error {_joined(undecided)} is kept is undecided")
    clauses += runaways
    return f"run on to {cells.farthest_loop} loops, {'; '.join(clauses)}" if clauses else ""


def _reading(cells: Cells, text: str, left_out: Sequence[str]) -> str:
    """Explain what stands in the sentences, and no more."""
    parts = ["Error is the NMSE, its geometric mean over seeds."]
    if "[" in text:
        parts.append("In brackets stand 95 % intervals, each for itself.")
    if "never]" in text:
        parts.append("Never means that no b may do it at all.")
    if re.search(r"(divided by|times) [\d.,]+[),]", text):
        parts.append("A ratio without an interval is of one seed, which shows nothing.")
    if "Run on" in text:
        bs = _listed(cells.beyond())
        parts.append(f"Beyond b it is the mean over the models trained at b = {bs}.")
    return " ".join([*parts, *filter(None, [_left_out(left_out)])])


def _left_out(left_out: Sequence[str]) -> str:
    words = ", ".join(remark.removesuffix(" left out") for remark in left_out)
    return f"Runs left out: {words}." if words else ""


def _ratio(size: str, bits: BySeed) -> _Ratio:
    """Turn bits into a ratio of errors."""
    ends = interval(bits) if len(bits) > 1 else (math.nan, math.nan)
    return _Ratio(size, *(4.0**value for value in (mean(bits), *ends)))


def _short(value: float) -> str:
    """Write two digits, and near 1 two decimals: ``33``, ``2.6``, ``1.02``."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if 0.8 < value < 1.25 else f"{value:.2g}"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def _listed(bs: Sequence[int]) -> str:
    return ", ".join(map(str, bs))
