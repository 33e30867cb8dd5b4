"""How many seeds would decide a claim: Student's t over seeds, planned with its noncentral form.

What is taken to be true is what was measured: each part's mean, and its scatter over seeds. Chances
of several parts, which share their seeds, are bounded from below, so that a number of seeds is
rather too large. Few seeds tell a scatter badly: three to a factor of 0.7 to 3.1 either way (the
80 % interval of chi squared), so a number is a guide and no promise.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import nctdtr, stdtrit

from analysis.claims.by_seed import (
    LEVEL,
    BySeed,
    Parts,
    Sense,
    mean,
    moved,
    scaled,
    standard_deviation,
    weakest,
)
from analysis.claims.claim import Claim
from analysis.claims.measured import prompt_error
from analysis.runs.expressivity import Floats

MOST_SEEDS = 30
"""More than these nobody trains to decide a claim."""

ENOUGH = 0.8
"""The chance of a verdict that counts as deciding: four studies in five."""

ERROR = (1 - LEVEL) / 2

OTHER_WAY = "the estimate points the other way: "
"""Said before the seeds that would contradict a claim."""

FARTHEST = 64.0
"""Bits; no error of a model lies so far from another."""


class Outlook(NamedTuple):
    """How many seeds would decide a claim (NaN where none would, or none is known), in words."""

    seeds: float
    words: str


class Chances(NamedTuple):
    """Least chances that a claim is supported and contradicted, by the number of seeds."""

    support: Floats
    contradiction: Floats


def outlook_of(parts: Parts, claim: Claim, explained_bits: BySeed | None = None) -> Outlook:
    """Say how many seeds would decide an undecided claim at its scatter, and which way.

    Args:
        parts: the claim's numbers by seed, in bits, none of them empty.
        claim: which is undecided.
        explained_bits: what there must be for the claim to explain; None where it has no premise.
    """
    if explained_bits == {}:
        return Outlook(math.nan, "no number of seeds decides it without runs of its premise")
    needed_parts = [*parts.values(), *([] if explained_bits is None else [explained_bits])]
    n_today = min(map(len, needed_parts))
    if n_today < 2:
        return Outlook(math.nan, "how many seeds would decide it is not known: that takes 2 seeds")
    if claim.premise is not None and explained_bits and mean(explained_bits) <= claim.premise.least:
        return Outlook(
            math.nan, "no number of seeds decides it, as the estimate of its premise says that "
            f"{claim.premise.failing}"
        )  # fmt: skip
    n_seeds = np.arange(n_today + 1, MOST_SEEDS + 1)
    chances = chances_of(parts, claim, n_seeds, explained_bits)
    is_for = points_for(parts, claim)
    way, chance = ("support", chances.support) if is_for else ("contradict", chances.contradiction)
    enough = np.flatnonzero(chance >= ENOUGH)
    seeds = int(n_seeds[enough[0]]) if len(enough) else math.nan
    count = f"about {seeds} seeds" if len(enough) else f"no number of seeds up to {MOST_SEEDS}"
    beside = "" if explained_bits is None else ", its premise shown too"
    words = f"{count} would {way} it at this scatter{beside}"
    return Outlook(seeds, words if is_for else f"{OTHER_WAY}{words}")


def points_for(parts: Parts, claim: Claim) -> bool:
    """Tell whether the estimate lies where the claim says."""
    estimate, _, _ = weakest(parts, claim.deciding_part)
    is_above = estimate > claim.threshold_bits
    return is_above if claim.sense is Sense.ABOVE else not is_above


def chances_of(
    parts: Parts,
    claim: Claim,
    n_seeds: Sequence[int] | np.ndarray,
    explained_bits: BySeed | None = None,
) -> Chances:
    """Return the least chances of either verdict, were what is measured the truth.

    Args:
        parts: the claim's numbers by seed, in bits, two or more each.
        claim: to be decided.
        n_seeds: numbers of seeds, two or more.
        explained_bits: what there must be for the claim to explain.

    Example:
        >>> parts = {"medium": {42: 0.1, 451: 0.3, 1984: 0.2}}
        >>> claim = Claim(
        ...     slug="more", statement="", statistic="", sense=Sense.ABOVE, threshold=0.0,
        ...     reason="", measure=lambda cells: parts,
        ... )
        >>> chances_of(parts, claim, [3, 5]).support.round(2)
        array([0.47, 0.91])
    """
    counts = np.asarray(n_seeds)
    chances = _chances(parts, claim.deciding_part, claim.threshold_bits, counts)
    unexplained = np.zeros(len(counts))
    if claim.premise is not None and explained_bits:
        unexplained = 1 - chance_above(explained_bits, claim.premise.least, counts, ERROR)
    support, contradiction = (np.maximum(chance - unexplained, 0) for chance in chances)
    return Chances(contradiction, support) if claim.for_some else Chances(support, contradiction)


def least_distance(parts: Parts, claim: Claim, n_seeds: int) -> float:
    """Return how far from the threshold a truth must lie to be seen, in bits; infinity for never.

    All parts lie so far on the side of the claim, or one of them on the other.

    Args:
        parts: whose scatter counts, and no mean.
        claim: to be decided.
        n_seeds: two or more.
    """
    sense, threshold = claim.deciding_part, claim.threshold_bits
    side = 1.0 if sense is Sense.ABOVE else -1.0
    counts = np.array([n_seeds])

    def is_seen(distance: float) -> bool:
        moved_parts = {
            name: moved(part, threshold + side * distance) for name, part in parts.items()
        }
        against = [
            _chances({**parts, name: moved(part, threshold - side * distance)}, sense, threshold,
                     counts, only=name).contradiction[0]
            for name, part in parts.items()
        ]  # fmt: skip
        support = _chances(moved_parts, sense, threshold, counts).support[0]
        return bool(min(support, *against) >= ENOUGH)

    farthest = threshold if sense is Sense.WITHIN else FARTHEST
    if not is_seen(farthest):
        return math.inf
    near, far = 0.0, farthest
    while far - near > 0.001 * far:
        middle = (near + far) / 2
        near, far = (near, middle) if is_seen(middle) else (middle, far)
    return far


def _chances(
    parts: Parts, sense: Sense, threshold: float, counts: np.ndarray, only: str | None = None
) -> Chances:
    """Return least chances of a claim about all parts; that one part contradicts, if told."""
    sides = 2 if sense is Sense.WITHIN else 1
    per_way = ERROR / (len(parts) * sides)
    chance_missed, contradiction = np.zeros(len(counts)), np.zeros(len(counts))
    bound = -threshold if sense is Sense.ABOVE else threshold
    for name, part in parts.items():
        for bounded_part in _with_upper_bound(part, sense):
            chance_missed += 1 - chance_above(scaled(bounded_part, -1), -bound, counts, ERROR)
            if only in (None, name):
                against = chance_above(bounded_part, bound, counts, per_way)
                contradiction = np.maximum(contradiction, against)
    return Chances(np.maximum(1 - chance_missed, 0), contradiction)


def chance_above(part: BySeed, threshold: float, n_seeds: np.ndarray, error: float) -> Floats:
    """Return the chance that a one-sided t test finds the mean above a threshold.

    Args:
        part: whose mean and scatter are taken to be true.
        threshold: in bits.
        n_seeds: numbers of seeds, two or more.
        error: of the test, where the truth lies at the threshold.
    """
    distance, scatter = mean(part) - threshold, standard_deviation(part)
    if scatter == 0:
        return np.full(len(n_seeds), float(distance > 0))
    over_seeds = scatter / np.sqrt(n_seeds)
    both = np.hypot(over_seeds, prompt_error(part))  # the prompts' stays, however many the seeds
    chances = [
        _chance_of_t(distance / errors, degrees, error)
        for errors, degrees in (
            (over_seeds, n_seeds - 1.0),
            (both, (n_seeds - 1) * np.minimum(both / over_seeds, 10.0) ** 4),
        )
    ]
    return np.minimum(*chances)


def _chance_of_t(shift: Floats, degrees: Floats, error: float) -> Floats:
    """Return the chance that t passes its quantile, the truth being so many errors above."""
    # beyond this scipy's function has no value; there it is 0 or 1 long since
    degrees, shift = np.minimum(degrees, 1e4), np.clip(shift, -1e4, 1e4)
    chance = nctdtr(degrees, -shift, stdtrit(degrees, error))
    return np.where(np.isnan(chance), shift > 0, chance)


def _with_upper_bound(part: BySeed, sense: Sense) -> list[BySeed]:
    """Turn a part so that the claim says of each result that it lies below a bound."""
    if sense is Sense.ABOVE:
        return [scaled(part, -1)]
    return [part] if sense is Sense.BELOW else [part, scaled(part, -1)]
