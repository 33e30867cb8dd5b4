"""What a loss is measured in, and how it becomes bits.

``ratio``: E = c log2((reference - floor) / (loss - floor)), where c is 1/2 for squared errors, so
that one bit is half the deviation, and 1 for what is bits already. ``difference``: E = reference -
loss in bits, of losses that are bits already. The reference is where E is 0: what predicting
without looking gives, or any other; a law of gains does not hang on it, only ``power`` does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from analysis.runs.expressivity import Floats
from looped.rules import require, require_one_of


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What the values of a table are.

    Attributes:
        meaning: in a line.
        above: every value is greater than this.
        per_doubling: bits for each halving of the loss: c of the ratio.
        in_bits: bits in one unit of the loss; None where a loss is no number of bits.
        reference: where E is 0, if that goes without saying.
    """

    meaning: str
    above: float = 0.0
    per_doubling: float = 1.0
    in_bits: float | None = 1.0
    reference: float | None = None


UNITS: Mapping[str, Unit] = MappingProxyType(
    {
        "nmse": Unit(
            meaning="mean squared error over the variance of y",
            per_doubling=0.5,
            in_bits=None,
            reference=1.0,
        ),
        "mse": Unit(meaning="mean squared error", per_doubling=0.5, in_bits=None),
        "nats": Unit(meaning="cross-entropy by natural logarithms", in_bits=1 / math.log(2)),
        "bits": Unit(meaning="cross-entropy by logarithms of base 2"),
        "bpb": Unit(meaning="bits per byte"),
        "perplexity": Unit(meaning="e to the cross-entropy in nats, whose log2 is taken", above=1),
        "expressivity": Unit(
            meaning="E in bits, taken as it is", above=-math.inf, per_doubling=0.5, in_bits=None
        ),
    }
)
"""By name."""

RATIO, DIFFERENCE = "ratio", "difference"
WAYS = (RATIO, DIFFERENCE)


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """How the values of a table become bits.

    Attributes:
        unit: name of theirs.
        way: ``ratio`` or ``difference``.
        reference: value at which E is 0, in the unit; None where it is to be taken from the table.
        floor: the part of the loss that no model can go below, in the unit.

    Raises:
        ValueError: a rule is broken, as by a floor of what has none.

    Example:
        >>> conversion = Conversion(unit="nmse")
        >>> conversion.bits([0.25, 1.0])
        array([ 1., -0.])
        >>> Conversion(unit="perplexity", reference=16).bits([4])  # half as many bits
        array([1.])
        >>> Conversion(unit="bpb", reference=1.0, way="difference").bits([0.75])
        array([0.25])
    """

    unit: str
    way: str = RATIO
    reference: float | None = None
    floor: float | None = None

    def __post_init__(self) -> None:
        require_one_of("unit", self.unit, tuple(UNITS))
        require_one_of("bits", self.way, WAYS)
        unit = UNITS[self.unit]
        if self.unit == "expressivity":
            rule = "reference and floor must be auto where values are bits of E already"
            came = self.floor if self.reference is None else self.reference
            require(came is None, rule, came)
        if self.way == DIFFERENCE:
            logarithms = ", ".join(name for name, each in UNITS.items() if each.in_bits is not None)
            rule = f"bits=difference must be of losses that are logarithms ({logarithms})"
            require(unit.in_bits is not None, rule, self.unit)
            require(self.floor is None, "floor must be auto with bits=difference", self.floor)
        for name in ("reference", "floor"):
            value = getattr(self, name)
            if value is not None:
                require(value > unit.above, f"{name} must be above {unit.above:g}", f"{value:g}")
        if self.floor is not None and self.reference is not None:
            rule = f"reference must be above the floor of {self.floor:g}"
            require(self.reference > self.floor, rule, f"{self.reference:g}")

    @property
    def origin(self) -> float | None:
        """Where E is 0, in the unit; None where nobody said so."""
        return UNITS[self.unit].reference if self.reference is None else self.reference

    @property
    def has_origin(self) -> bool:
        """Whether 0 bits means something, as ``power`` needs."""
        return self.unit == "expressivity" or self.origin is not None

    def losses(self, values: Sequence[float] | Floats) -> Floats:
        """Return values as losses: of perplexities their logarithm, of E an NMSE."""
        array = np.asarray(values, float)
        if self.unit == "perplexity":
            return np.asarray(np.log2(array))
        return np.asarray(2.0 ** (-2 * array)) if self.unit == "expressivity" else array

    def bits(self, values: Sequence[float] | Floats) -> Floats:
        """Return E in bits; the origin must be known."""
        array, unit = np.asarray(values, float), UNITS[self.unit]
        if self.unit == "expressivity":
            return array
        (reference,) = self.losses([math.nan if self.origin is None else self.origin])
        losses = self.losses(array)
        if self.way == DIFFERENCE:
            return np.asarray((reference - losses) * (unit.in_bits or math.nan))
        floor = self._floor_of_losses
        return np.asarray(-unit.per_doubling * np.log2((losses - floor) / (reference - floor)))

    def values(self, bits: Sequence[float] | Floats) -> Floats:
        """Return values in the unit from E in bits; what ``bits`` takes back.

        Example:
            >>> Conversion(unit="perplexity", reference=16).values([1.0]).round(9)
            array([4.])
        """
        array, unit = np.asarray(bits, float), UNITS[self.unit]
        if self.unit == "expressivity":
            return array
        (reference,) = self.losses([math.nan if self.origin is None else self.origin])
        if self.way == DIFFERENCE:
            losses = reference - array / (unit.in_bits or math.nan)
        else:
            floor = self._floor_of_losses
            losses = floor + (reference - floor) * 2.0 ** (-array / unit.per_doubling)
        return np.asarray(2.0**losses if self.unit == "perplexity" else losses)

    def bits_error(self, values: Sequence[float] | Floats, errors: Floats) -> Floats:
        """Return standard errors of E, in bits, from those of values (delta method)."""
        array, unit = np.asarray(values, float), UNITS[self.unit]
        if self.unit == "expressivity":
            return np.asarray(errors, float)
        of_losses = errors / (array * math.log(2)) if self.unit == "perplexity" else errors
        if self.way == DIFFERENCE:
            return np.asarray(of_losses * (unit.in_bits or math.nan))
        above_floor = self.losses(array) - self._floor_of_losses
        return np.asarray(of_losses / above_floor * (unit.per_doubling / math.log(2)))

    @property
    def formula(self) -> str:
        """How E is made, in a line."""
        if self.unit == "expressivity":
            return "E is the table's, in bits"
        names = {"perplexity": "log2(perplexity)"}
        loss, origin = names.get(self.unit, self.unit), self.origin or math.nan
        (reference,) = self.losses([origin])
        if self.way == DIFFERENCE:
            inner = f"{reference:.6g} - {loss}"
            return (
                f"E = ({inner}) / ln 2, in bits" if self.unit == "nats" else f"E = {inner}, in bits"
            )
        half = "1/2 " if UNITS[self.unit].per_doubling == 0.5 else ""
        if self.floor is None:
            return f"E = {half}log2({reference:.6g} / {loss}), in bits"
        floor = self._floor_of_losses
        return f"E = {half}log2({reference - floor:.6g} / ({loss} - {floor:.6g})), in bits"

    @property
    def _floor_of_losses(self) -> float:
        return 0.0 if self.floor is None else float(self.losses([self.floor])[0])
