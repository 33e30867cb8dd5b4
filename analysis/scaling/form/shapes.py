"""Shapes of the gain: how what b loops add comes with b.

A shape is h(b; parameters) with h(1) = 0. A bounded one rises to 1; ``rise_and_fall`` may come
down again, and with it E may fall with b.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a form.

    Attributes:
        name: as it is reported.
        lower: least value; a fit that ends there says so.
        upper: greatest value.
        starts: values from which fits begin.
        unit: what it is measured in, for people.
        is_log: searched for, and given its interval, on a logarithmic scale.
        is_linear: the form is linear in it, once the others are known.
        is_per_size: one value for each size instead of one for all.
    """

    name: str
    lower: float
    upper: float
    starts: tuple[float, ...]
    unit: str = ""
    is_log: bool = False
    is_linear: bool = False
    is_per_size: bool = False


@dataclass(frozen=True)
class Shape:
    """How the gain comes with b: h(b; parameters), 0 at b = 1.

    Attributes:
        name: of the shape.
        formula: h, for people.
        parameters: of h.
        rise: h, from b and the parameters.
        slopes: dh/d(parameter), one array each; by differences of h if left out.
        has_ceiling: whether h is bounded, by 1.
        may_fall: whether E may fall with b: h may come down, and the gain may be negative.
    """

    name: str
    formula: str
    parameters: tuple[Parameter, ...]
    rise: Callable[..., Floats]
    slopes: Callable[..., Sequence[Floats]] | None = None
    has_ceiling: bool = True
    may_fall: bool = False

    def slopes_at(self, b: Floats, *parameters: Floats) -> Sequence[Floats]:
        """Return dh/d(parameter), one array each."""
        if self.slopes is not None:
            return self.slopes(b, *parameters)
        return [self._difference(b, parameters, at) for at in range(len(parameters))]

    def _difference(self, b: Floats, parameters: Sequence[Floats], at: int) -> Floats:
        step = 1e-5 * np.maximum(np.abs(parameters[at]), 1e-3)
        above, below = (
            self.rise(b, *parameters[:at], parameters[at] + sign * step, *parameters[at + 1 :])
            for sign in (1, -1)
        )
        return np.asarray((above - below) / (2 * step))


def _stretched_slopes(b: Floats, rate: Floats, stretch: Floats) -> Sequence[Floats]:
    scaled_loops = rate * (b - 1)
    power = scaled_loops**stretch
    share_to_come = np.exp(-power)
    log = np.log(np.where(scaled_loops > 0, scaled_loops, 1.0))  # times a power that is 0 there
    return share_to_come * power * stretch / rate, share_to_come * power * log


_EXPONENT = Parameter("exponent", 0.01, 10, (0.1, 0.5, 2.0), is_log=True)
_RATE = Parameter("rate", 1e-3, 10, (0.02, 0.1, 0.4, 1.5), "per loop", is_log=True)
_BEND = Parameter("bend", 0, 2, (0.02, 0.15, 0.5), "per doubling")
_STRETCH = Parameter("stretch", 0.1, 2, (0.4, 0.9), is_log=True)

SHAPES = (
    Shape(
        "logarithmic",
        "log2(b)",
        (),
        rise=np.log2,
        slopes=lambda b: (),
        has_ceiling=False,
    ),
    Shape(
        "saturating_power",
        "1 - b^-exponent",
        (_EXPONENT,),
        rise=lambda b, exponent: 1 - b**-exponent,
        slopes=lambda b, exponent: (b**-exponent * np.log(b),),
    ),
    Shape(
        "saturating_exponential",
        "1 - exp(-rate (b - 1))",
        (_RATE,),
        rise=lambda b, rate: -np.expm1(-rate * (b - 1)),
        slopes=lambda b, rate: ((b - 1) * np.exp(-rate * (b - 1)),),
    ),
    Shape(
        "stretched_exponential",
        "1 - exp(-(rate (b - 1))^stretch)",
        (_RATE, _STRETCH),
        rise=lambda b, rate, stretch: -np.expm1(-((rate * (b - 1)) ** stretch)),
        slopes=_stretched_slopes,
    ),
    Shape(
        "rise_and_fall",
        "log2(b) (1 - bend log2(b))",
        (_BEND,),
        rise=lambda b, bend: np.asarray(np.log2(b) * (1 - bend * np.log2(b))),
        slopes=lambda b, bend: (-(np.log2(b) ** 2),),
        has_ceiling=False,
        may_fall=True,
    ),
)
