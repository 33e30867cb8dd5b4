"""What a claim is measured by: numbers per seed, paired by seed, and an interval over seeds.

Seeds are few, so intervals are Student's t on the per-seed numbers, on the scale of bits: half the
binary logarithm of an error, so that a factor becomes a difference. Cells of one seed share their
data (and, at one size, their initial weights), so differences are taken within a seed first.
"""

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy import stats

from analysis.expressivity import Floats, expressivity
from analysis.load import LoggedRun

LEVEL = 0.95
NOTABLE_BITS = 0.1
"""The least difference that counts: 15 % of the error, too little to see on an axis of decades."""

FARTHEST_LOOP = 50
_LEAST_NMSE, _GREATEST_NMSE = 1e-12, 1e12  # a model that diverged counts, with a finite error

BySeed: TypeAlias = pd.Series
Parts: TypeAlias = Mapping[str, BySeed]


class MissingRunsError(ValueError):
    """Nothing comparable was trained; the message says what it needs."""


class Sense(enum.Enum):
    """Where a claim says that its number lies, against the threshold."""

    ABOVE = "above"
    BELOW = "below"
    WITHIN = "within"


def needs(holds: object, what: str) -> None:
    """Raise MissingRunsError unless there is what a claim needs."""
    if not holds:
        raise MissingRunsError(f"needs {what}")


def interval(values: Sequence[float] | BySeed, level: float = LEVEL) -> tuple[float, float]:
    """Return Student's t interval of the mean; everything, with fewer than two values."""
    sample = np.asarray(values, float)
    if len(sample) < 2:
        return -math.inf, math.inf
    half = stats.t.ppf((1 + level) / 2, len(sample) - 1) * stats.sem(sample)
    return float(sample.mean() - half), float(sample.mean() + half)


def weakest(parts: Parts, sense: Sense) -> tuple[float, float, float]:
    """Return the estimate and the 95 % interval of the part that speaks least for a claim.

    The claim holds for all parts if it holds for this one: the least where it says above, the
    greatest where below, the greatest in absolute value where within. The end on the side of the
    claim needs no correction for the number of parts k (an intersection-union test): the part's
    own end is never beyond the end of the extreme one. The other end takes intervals of level
    1 - 0.05 / k (Bonferroni), since any one part may contradict.
    """
    if sense is Sense.ABOVE:
        estimate, low, high = weakest({name: -part for name, part in parts.items()}, Sense.BELOW)
        return -estimate, -high, -low
    wider = 1 - (1 - LEVEL) / len(parts)
    means = [float(part.mean()) for part in parts.values()]
    own = [interval(part) for part in parts.values()]
    corrected = [interval(part, wider) for part in parts.values()]
    if sense is Sense.BELOW:
        return max(means), max(low for low, _ in corrected), max(high for _, high in own)
    from_zero = max(max(low, -high, 0.0) for low, high in corrected)
    return max(map(abs, means)), from_zero, max(max(-low, high) for low, high in own)


def mean_of(parts: Sequence[BySeed]) -> BySeed:
    """Average over parts within each seed that has all of those that any seed has."""
    there = [part for part in parts if len(part)]
    if not there:
        return pd.Series(dtype=float)
    return pd.concat(there, axis=1, join="inner").mean(axis=1)


def less(part: BySeed, other: BySeed) -> BySeed:
    """Return the difference within each seed that both have."""
    return (part - other).dropna()


@dataclass(frozen=True)
class Cells:
    """Runs that compare, by size, b and seed.

    Attributes:
        runs: that learned and are evaluated, one for each configuration.
        reach: the farthest loop that claims look at, whatever single runs were evaluated to.
    """

    runs: Sequence[LoggedRun]
    reach: int

    @classmethod
    def of(cls, runs: Sequence[LoggedRun]) -> "Cells":
        """Take runs, and the loop that half of them were evaluated to."""
        lengths = sorted(len(run.loops["nmse"]) for run in runs)
        return cls(runs, lengths[len(lengths) // 2] if lengths else 0)

    @cached_property
    def sizes(self) -> list[str]:
        """Names of the sizes, the smallest model first."""
        weights = {
            run.config.size: run.config.model_config.n_params(position_embedding=False)
            for run in self.runs
        }
        return sorted(weights, key=lambda size: (weights[size], size))

    @property
    def largest(self) -> str:
        """Name of the largest size."""
        return self.sizes[-1]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Neighbouring sizes, the smaller one first."""
        needs(len(self.sizes) > 1, "2 sizes")
        return list(pairwise(self.sizes))

    @property
    def far(self) -> int:
        """The farthest loop that the study looked at, or that there is."""
        return min(FARTHEST_LOOP, self.reach)

    def bs(self, size: str | None = None) -> list[int]:
        """Return the trained b of a size, or of all."""
        return sorted({run.config.b for run in self.runs if size in (None, run.config.size)})

    def beyond(self, size: str | None = None) -> list[int]:
        """Return the b from 2 on that were evaluated to twice their loops or more."""
        return [b for b in self.bs(size) if 1 < b <= self.far // 2]

    def where(self, keep: Callable[[LoggedRun], bool]) -> "Cells":
        """Return those cells whose runs are to be kept."""
        return Cells([run for run in self.runs if keep(run)], self.reach)

    def each(self, size: str, b: int, number: Callable[[LoggedRun], float]) -> BySeed:
        """Return a number of each run of a cell by seed, without those that have none."""
        own = {
            run.config.seed: number(run)
            for run in self.runs
            if run.config.size == size and run.config.b == b
        }
        return pd.Series(own, dtype=float).sort_index().dropna()

    def bits(self, size: str, b: int, loop: int | None = None) -> BySeed:
        """Return the expressivity after some loops, b unless told, by seed."""
        return self.each(size, b, lambda run: bits_after(run, loop or b))

    def lost(self, size: str, b: int, loop: int | None = None) -> BySeed:
        """Return the bits lost from loop b to another, the farthest unless told, by seed.

        This is what extrapolation means in every claim: half the binary logarithm of the error
        there over that at b; below zero where the model improves.
        """
        return less(self.bits(size, b), self.bits(size, b, loop or self.far))

    def mean_lost(self, size: str) -> BySeed:
        """Return the mean of the bits lost over b, by seed."""
        return mean_of([self.lost(size, b) for b in self.beyond(size)])

    def loss(self, size: str, b: int, end: bool) -> BySeed:
        """Return the training loss in bits at the first point or over the last tenth, by seed."""

        def number(run: LoggedRun) -> float:
            curve = loss_bits(run)
            if not len(curve):
                return math.nan
            return float(curve[-max(len(curve) // 10, 1) :].mean() if end else curve[0])

        return self.each(size, b, number)

    def gaps(self, size: str) -> list[BySeed]:
        """Return the bits that each next b adds to the loss at the end of training, by seed."""
        return [
            less(self.loss(size, high, True), self.loss(size, low, True))
            for low, high in pairwise(self.bs(size))
        ]

    def drift(self, size: str, b: int) -> BySeed:
        """Return the slope of the loss at b over that at b = 1, bits a doubling of the steps.

        Taken after the escape: from a tenth of the steps on, once both are below half of what
        they began with.
        """
        own = {
            run.config.seed: run
            for run in self.runs
            if (run.config.size, run.config.b) == (size, 1)
        }

        def number(run: LoggedRun) -> float:
            base = own.get(run.config.seed)
            return math.nan if base is None else _drift(run, base)

        return self.each(size, b, number)


def bits_after(run: LoggedRun, loop: int) -> float:
    """Return a run's expressivity after some loops; NaN where nobody evaluated it."""
    nmse = run.loops["nmse"]
    return float(_bits(nmse[loop - 1])) if len(nmse) >= loop else math.nan


def loss_bits(run: LoggedRun) -> Floats:
    """Return a run's training loss in bits at each logged step; empty where it is not known."""
    return _bits(run.training.get("loss", ()))


def _bits(errors: float | Sequence[float]) -> Floats:
    known = np.nan_to_num(np.asarray(errors, float), nan=_GREATEST_NMSE)
    return expressivity(np.clip(known, _LEAST_NMSE, _GREATEST_NMSE))


def _drift(run: LoggedRun, base: LoggedRun) -> float:
    steps, own, of_base = np.intersect1d(
        run.training.get("step", ()), base.training.get("step", ()), return_indices=True
    )
    if not len(steps):
        return math.nan
    bits, base_bits = loss_bits(run)[own], loss_bits(base)[of_base]
    fallen = [curve - curve[0] > 0.5 for curve in (bits, base_bits)]  # half the error
    if not all(curve.any() for curve in fallen):
        return math.nan
    since = max(*(int(curve.argmax()) for curve in fallen), int((steps > steps[-1] / 10).argmax()))
    if len(steps) - since < 10:
        return math.nan
    return float(np.polyfit(np.log2(steps[since:]), (bits - base_bits)[since:], 1)[0])
