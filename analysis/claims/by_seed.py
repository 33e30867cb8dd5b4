"""What a claim is measured by: numbers per seed, paired by seed, and an interval over seeds."""

import enum
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from scipy import stats

LEVEL = 0.95


NOTABLE_BITS = 0.1
"""The least difference that counts: 15 % of the error, too little to see on an axis of decades."""


BySeed: TypeAlias = Mapping[int, float]


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


def interval(part: BySeed, level: float = LEVEL) -> tuple[float, float]:
    """Return Student's t interval of the mean over seeds; everything, with fewer than two."""
    if len(part) < 2:
        return -math.inf, math.inf
    spread = float(np.std(list(part.values()), ddof=1)) / math.sqrt(len(part))
    half = _students(level, len(part) - 1) * spread
    return mean(part) - half, mean(part) + half


@cache
def _students(level: float, degrees_of_freedom: int) -> float:
    return float(stats.t.ppf((1 + level) / 2, degrees_of_freedom))


def weakest(parts: Parts, sense: Sense) -> tuple[float, float, float]:
    """Return the estimate and the 95 % interval of the part that speaks least for a claim.

    The claim holds for all parts if it holds for this one: the least where it says above, the
    greatest where below, the greatest in absolute value where within. The end on the side of the
    claim needs no correction for the number of parts k (an intersection-union test): the part's
    own end is never beyond the end of the extreme one. The other end takes intervals of level
    1 - 0.05 / k (Bonferroni), since any one part may contradict.
    """
    if sense is Sense.ABOVE:
        estimate, low, high = weakest(
            {name: scaled(part, -1) for name, part in parts.items()}, Sense.BELOW
        )
        return -estimate, -high, -low
    wider = 1 - (1 - LEVEL) / len(parts)
    means = [mean(part) for part in parts.values()]
    own = [interval(part) for part in parts.values()]
    corrected = [interval(part, wider) for part in parts.values()]
    if sense is Sense.BELOW:
        return max(means), max(low for low, _ in corrected), max(high for _, high in own)
    from_zero = max(max(low, -high, 0.0) for low, high in corrected)
    return max(map(abs, means)), from_zero, max(max(-low, high) for low, high in own)


def mean(part: BySeed) -> float:
    """Return the mean over seeds."""
    return sum(part.values()) / len(part)


def scaled(part: BySeed, factor: float) -> BySeed:
    """Return a multiple of each seed's number."""
    return {seed: factor * value for seed, value in part.items()}


def less(part: BySeed, other: BySeed) -> BySeed:
    """Return the difference within each seed that both have."""
    return {seed: value - other[seed] for seed, value in part.items() if seed in other}


def mean_of(parts: Sequence[BySeed]) -> BySeed:
    """Average over the parts that have a seed, within each seed that all of those have."""
    there = [part for part in parts if part]
    shared = [seed for seed in there[0] if all(seed in part for part in there)] if there else []
    return {seed: sum(part[seed] for part in there) / len(there) for seed in shared}
