"""Loops for size: the b that lifts one size to another, its cost, the last loop worth having."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answers.flops import flops_between, flops_of
from analysis.scaling.fit import ScalingFit
from analysis.scaling.form.shapes import Floats
from looped.config import TrainConfig

WORTHWHILE_BITS = 0.01
FARTHEST = 10_000
"""Loops that are looked through; more are as good as never."""


@dataclass(frozen=True)
class Crossing:
    """The b at which something happens, with an interval; infinity is never.

    Attributes:
        b: where the law says; not whole for an exchange rate.
        lower: end of the interval.
        upper: end of the interval.
    """

    b: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """Say it in words: ``b = 4.2 [3.1, 7.9]``."""
        if math.isinf(self.b):
            hope = f"; within the interval from b = {self.lower:.3g}"
            return "never" + ("" if math.isinf(self.lower) else hope)
        upper = "never]" if math.isinf(self.upper) else f"{self.upper:.3g}]"
        return f"b = {self.b:.3g} [{self.lower:.3g}, {upper}"


def exchange_rate(fit: ScalingFit, size: str, target: str, level: float = 0.95) -> Crossing:
    """Find the b that lifts one size to what another is at b = 1.

    The interval holds every b at which the difference of the two may be 0: its lower end is where
    the difference's upper limit reaches 0, its upper end where the lower limit does.
    """
    bs = np.geomspace(1, FARTHEST, 600)
    lifted_cells = pd.DataFrame({"size": size, "b": bs})
    target_cells = pd.DataFrame({"size": [target], "b": [1.0]})
    estimate, lower, upper = fit.difference(lifted_cells, target_cells, level)
    return Crossing(*(_first(bs, curve) for curve in (estimate, upper, lower)))


@dataclass(frozen=True)
class CostRatio:
    """FLOPs of one size, looped until it reaches another, over the other's at b = 1.

    Attributes:
        value: at the b of the exchange rate; infinity is never.
        lower: at the lower end of its interval.
        upper: at the upper end.
    """

    value: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """Say it in words: ``0.8 [0.5, 2.1] times``."""
        if math.isinf(self.value):
            return f"{self.lower:.2g} times or more"
        upper = "never]" if math.isinf(self.upper) else f"{self.upper:.2g}]"
        return f"{self.value:.2g} [{self.lower:.2g}, {upper} times"


def cost_ratio(
    crossing: Crossing, config: TrainConfig, target: TrainConfig, kind: str
) -> CostRatio:
    """Set the FLOPs of an exchange rate's loops beside those of the size that they reach.

    Args:
        crossing: the exchange rate.
        config: a training of the size that is looped.
        target: a training of the size that it reaches.
        kind: ``train`` or ``infer``; see ``flops.KINDS``.
    """
    at_one = flops_of(target, kind, 1)
    ends = (crossing.b, crossing.lower, crossing.upper)
    return CostRatio(*(flops_between(config, kind, b) / at_one for b in ends))


def last_worthwhile(fit: ScalingFit, size: str, level: float = 0.95) -> Crossing:
    """Find the b after which one more loop gains less than ``WORTHWHILE_BITS``."""
    bs = np.unique(np.round(np.geomspace(1, FARTHEST, 600)))
    cells_before = pd.DataFrame({"size": size, "b": bs})
    cells_after = cells_before.assign(b=bs + 1)
    curves = fit.difference(cells_after, cells_before, level)
    return Crossing(*(_last(bs, curve) for curve in curves))


def _first(bs: Floats, curve: Floats) -> float:
    """Where a rising curve first reaches 0, between the b that were looked at."""
    reached_indices = np.flatnonzero(curve >= 0)
    if not len(reached_indices):
        return math.inf
    first_index = reached_indices[0]
    if first_index == 0:
        return float(bs[0])
    share = -curve[first_index - 1] / (curve[first_index] - curve[first_index - 1])
    return float(bs[first_index - 1] + share * (bs[first_index] - bs[first_index - 1]))


def _last(bs: Floats, gains: Floats) -> float:
    """The first b beyond every b whose next loop still gains enough."""
    worthwhile = np.flatnonzero(gains >= WORTHWHILE_BITS)
    if not len(worthwhile):
        return float(bs[0])
    return math.inf if worthwhile[-1] == len(bs) - 1 else float(bs[worthwhile[-1] + 1])
