"""How fast a cost grows: exponents and straight lines by least squares."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Exponent(NamedTuple):
    """Of a power law, with its standard error (infinite for two points)."""

    value: float
    se: float


class Line(NamedTuple):
    """A fixed cost and one per unit."""

    fixed: float
    slope: float


def exponent(xs: Sequence[float], costs: Sequence[float]) -> Exponent:
    """Fit log cost = a + k log x over the upper half of the range of log x; return k.

    What is fixed weighs less there, so k comes nearer to that of large x.

    Args:
        xs: rising.
        costs: above 0, one for each x.
    """
    upper = upper_half(xs)
    x, cost = (np.log(np.asarray(values, dtype=np.float64)[upper]) for values in (xs, costs))
    if len(x) < 3:
        return Exponent(float(np.polyfit(x, cost, 1)[0]), math.inf)
    (slope, _), covariance = np.polyfit(x, cost, 1, cov=True)
    return Exponent(float(slope), math.sqrt(covariance[0, 0]))


def line(xs: Sequence[float], costs: Sequence[float]) -> Line:
    """Fit cost = fixed + slope x with errors relative to the cost."""
    cost = np.asarray(costs, dtype=np.float64)
    columns = np.stack([np.ones(len(cost)), np.asarray(xs, dtype=np.float64)], axis=1)
    (fixed, slope), *_ = np.linalg.lstsq(columns / cost[:, None], np.ones(len(cost)), rcond=None)
    return Line(float(fixed), float(slope))


def upper_half(xs: Sequence[float]) -> slice:
    """Choose those above the middle of the range of log x; three at least, if there are three."""
    above = sum(x >= math.sqrt(xs[0] * xs[-1]) * (1 - 1e-9) for x in xs)
    return slice(-min(len(xs), max(3, above)), None)
