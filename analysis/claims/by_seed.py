"""What a claim is measured by: numbers per seed, paired by seed, and an interval over seeds.

Where it is known what each held-out prompt does to the numbers (see ``measured``), intervals and
p-values hold the error of the common prompts as well, and are never narrower for it.
"""

import enum
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeAlias

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.claims import measured
from analysis.claims.measured import combined, prompt_error

LEVEL = 0.95


MOST_TIMES = 1e6
"""So many times the seeds' error the prompts' has all the degrees of freedom."""

NOTABLE_BITS = 0.1
"""The least difference that counts: 15 % of the error, too little to see on an axis of decades."""


BySeed: TypeAlias = measured.BySeed


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
    half = max(_students(level, degrees) * error for error, degrees in _errors(part))
    return mean(part) - half, mean(part) + half


def _errors(part: BySeed) -> list[tuple[float, float]]:
    """Return the standard error over seeds, and that with the prompts', with degrees of freedom.

    The prompts are so many that their error counts as known, and the sum has the more degrees of
    freedom (Satterthwaite): of few seeds it alone could be narrower for the error that it adds.
    """
    seeds_error, prompts_error, degrees = standard_error(part), prompt_error(part), len(part) - 1
    errors = [(seeds_error, float(degrees))]
    if prompts_error > 0 and seeds_error > 0:
        both = math.hypot(seeds_error, prompts_error)
        errors.append((both, degrees * min(both / seeds_error, MOST_TIMES) ** 4))
    elif prompts_error > 0:
        errors.append((prompts_error, math.inf))
    return errors


@cache
def _students(level: float, degrees_of_freedom: float) -> float:
    return float(stdtrit(degrees_of_freedom, (1 + level) / 2))


def weakest(parts: Parts, sense: Sense) -> tuple[float, float, float]:
    """Return the estimate and the 95 % interval of the part that speaks least for a claim.

    The claim holds for all parts if it holds for this one: the least where it says above, the
    greatest where below, the greatest in absolute value where within. The end on the side of the
    claim needs no correction for the number of parts k (an intersection-union test): the part's
    own end is never beyond the end of the extreme one. The other end takes intervals of level
    1 - 0.05 / k (Bonferroni), since any one part may contradict, and of 1 - 0.05 / 2k where a part
    may do so on either side of zero. So an end lies beyond the truth in at most 2.5 % of studies.
    """
    if sense is Sense.ABOVE:
        estimate, low, high = weakest(
            {name: scaled(part, -1) for name, part in parts.items()}, Sense.BELOW
        )
        return -estimate, -high, -low
    corrected_level = 1 - (1 - LEVEL) / _ways_to_contradict(parts, sense)
    means = [mean(part) for part in parts.values()]
    intervals = [interval(part) for part in parts.values()]
    corrected_intervals = [interval(part, corrected_level) for part in parts.values()]
    if sense is Sense.BELOW:
        return (
            max(means),
            max(low for low, _ in corrected_intervals),
            max(high for _, high in intervals),
        )
    from_zero = max(max(low, -high, 0.0) for low, high in corrected_intervals)
    return max(map(abs, means)), from_zero, max(max(-low, high) for low, high in intervals)


def p_value(parts: Parts, sense: Sense, threshold: float) -> float:
    """Return how surely a claim about all parts is supported or contradicted, whichever is surer.

    It is the chance, where the truth lies at the threshold, of data that speak so clearly for the
    same verdict: below 0.025 where the interval of ``weakest`` lies on one side of it.
    """
    tails = [_tails(part, sense, threshold) for part in parts.values()]
    contradiction = min(p_contradiction for _, p_contradiction in tails)
    return min(
        max(p_support for p_support, _ in tails),
        _ways_to_contradict(parts, sense) * contradiction,
        1.0,
    )


def _ways_to_contradict(parts: Parts, sense: Sense) -> int:
    return len(parts) * (2 if sense is Sense.WITHIN else 1)


def _tails(part: BySeed, sense: Sense, threshold: float) -> tuple[float, float]:
    """Return the one-sided p-values of a part for a claim and against it."""
    if sense is Sense.ABOVE:
        return _p_above(part, threshold), _p_above(scaled(part, -1), -threshold)
    if sense is Sense.BELOW:
        return _tails(scaled(part, -1), Sense.ABOVE, -threshold)
    sides = [_tails(scaled(part, sign), Sense.BELOW, threshold) for sign in (1, -1)]
    return max(p_support for p_support, _ in sides), min(p_against for _, p_against in sides)


def _p_above(part: BySeed, threshold: float) -> float:
    """Return the p-value of a mean that lies above a threshold, by Student's t over seeds."""
    distance = mean(part) - threshold
    if len(part) < 2 or distance == 0:
        return 1.0 if len(part) < 2 else 0.5
    tails = []
    for error, degrees in _errors(part):
        statistic = distance / error if error > 0 else math.copysign(math.inf, distance)
        tails.append(float(stdtr(degrees, -statistic)))
    return max(tails)


def standard_deviation(part: BySeed) -> float:
    """Return the standard deviation over seeds, of two or more."""
    return float(np.std(list(part.values()), ddof=1))


def standard_error(part: BySeed) -> float:
    """Return the standard error of the mean over seeds, of two or more."""
    return standard_deviation(part) / math.sqrt(len(part))


def mean(part: BySeed) -> float:
    """Return the mean over seeds."""
    return sum(part.values()) / len(part)


def scaled(part: BySeed, factor: float) -> BySeed:
    """Return a multiple of each seed's number."""
    return combined({seed: factor * value for seed, value in part.items()}, [(factor, part)])


def less(part: BySeed, other_part: BySeed) -> BySeed:
    """Return the difference within each seed that both have."""
    differences = {
        seed: value - other_part[seed] for seed, value in part.items() if seed in other_part
    }
    return combined(differences, [(1, part), (-1, other_part)])


def moved(part: BySeed, to: float) -> BySeed:
    """Return a part with another mean and the same scatter."""
    shift = to - mean(part)
    return combined({seed: value + shift for seed, value in part.items()}, [(1, part)])


def mean_of(parts: Sequence[BySeed]) -> BySeed:
    """Average over the parts that have a seed, within each seed that all of those have."""
    nonempty_parts = [part for part in parts if part]
    common_seeds = (
        [seed for seed in nonempty_parts[0] if all(seed in part for part in nonempty_parts)]
        if nonempty_parts
        else []
    )
    means = {
        seed: sum(part[seed] for part in nonempty_parts) / len(nonempty_parts)
        for seed in common_seeds
    }
    return combined(means, [(1 / len(nonempty_parts), part) for part in nonempty_parts])
