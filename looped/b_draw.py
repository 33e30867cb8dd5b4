"""The loop count of a training step: always b, or drawn anew from a distribution around b.

A draw is a pure function of (distribution, b, step), and of the prompt's place in the step where
every prompt draws its own: no state is kept, so a resumed training draws what it would have drawn.
The seed has no part in it: replicas of several seeds run one loop count a step, and stay one
program. The step alone decides the quantile that is read off, so that trainings at several b have
their long and their short steps together.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping
from functools import cache
from itertools import accumulate
from types import MappingProxyType

DISTRIBUTIONS = ("fixed", "uniform", "poisson_lognormal")
UNITS = ("step", "prompt")
SIGMA = 0.5
MOST = 4
"""A Poisson-lognormal draw is at most so many times b."""

LARGEST = 10_000
"""The largest b around which loop counts are drawn: their table has up to four rows for each."""

_NODES = [k / 8 - 6 for k in range(97)]
"""Standard deviations at which the integral over a normal density is summed: -6 to 6."""


@cache
def distribution(name: str, b: int) -> Mapping[int, float]:
    """Give every loop count that a step can have its probability.

    Args:
        name: ``fixed``: b. ``uniform``: 1 to 2b - 1 alike. ``poisson_lognormal``: r + 1 with
            r ~ Poisson(exp(tau)) and tau ~ Normal(log(b - 1) - sigma^2 / 2, sigma), sigma = 1/2
            (Geiping et al., arXiv:2502.05171, whose mean r-bar is our b - 1), drawn again where
            it is above 4b. That cut takes 0.2 % (b = 2) to 0.4 % (b = 40) off the mean.
        b: the mean. At b = 1 every distribution is fixed.
    """
    if name == "fixed" or b == 1:
        return MappingProxyType({b: 1.0})
    if name == "uniform":
        return MappingProxyType(dict.fromkeys(range(1, 2 * b), 1 / (2 * b - 1)))
    assert name == "poisson_lognormal"
    rates = [math.log(b - 1) - SIGMA**2 / 2 + SIGMA * node for node in _NODES]
    weights = [math.exp(-(node**2) / 2) for node in _NODES]

    def density(r: int) -> float:
        poisson = (math.exp(r * rate - math.exp(rate) - math.lgamma(r + 1)) for rate in rates)
        return math.fsum(w * p for w, p in zip(weights, poisson, strict=True))

    densities = [density(n_loops - 1) for n_loops in range(1, MOST * b + 1)]
    total = math.fsum(densities)
    return MappingProxyType({n: value / total for n, value in enumerate(densities, start=1)})


def longest(name: str, b: int) -> int:
    """Return the most loops that a step can have; see ``distribution``."""
    return b if b == 1 else {"fixed": b, "uniform": 2 * b - 1}.get(name, MOST * b)


def draw(name: str, b: int, step: int, prompt: int | None = None) -> int:
    """Draw the loop count of a step, or of one of its prompts; see ``distribution``."""
    counts, ends = _quantiles(name, b)
    key = b"b_draw %d" % step if prompt is None else b"b_draw %d %d" % (step, prompt)
    word = hashlib.blake2b(key, digest_size=8).digest()
    quantile = (int.from_bytes(word, "big") >> 11) / 2**53  # in [0, 1), as a float holds it
    return counts[min(bisect_right(ends, quantile), len(counts) - 1)]


@cache
def _quantiles(name: str, b: int) -> tuple[list[int], list[float]]:
    probabilities = distribution(name, b)
    return list(probabilities), list(accumulate(probabilities.values()))
