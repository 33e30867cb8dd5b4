"""Forms of **b** in E_LM = b(E_M): what b loops make of a model of expressivity E_M.

Symbols: E_M is a model's expressivity in bits at b = 1, E_LM that of the same model trained at
b loops. Every form is E_M exactly at b = 1. All but ``power`` are written

    E_LM = E_M + G h(b),    h(1) = 0,

where the *shape* h says how the gain comes with b, and the *gain* G (bits) how much there is to
come: one number for all sizes, one per size, or a function of E_M. A bounded h rises to 1, so
that E_M + G is the ceiling; it may be one for all sizes. Where sizes differ in more than their
gain, each may have an exponent or rate of its own. A new form is one more ``Shape``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analysis.scaling.form.shapes import SHAPES, Floats, Parameter, Shape

REFERENCE_BITS = 2.0
"""The E_M at which the parameter ``gain`` of a gain that depends on E_M is stated."""


@dataclass(frozen=True)
class Form:
    """A form of **b**: E_LM as a function of E_M, b and parameters, all arrays that broadcast.

    Attributes:
        name: its key in ``FORMS``.
        family: the shape's name, shared by the variants of its gain.
        formula: for people.
        parameters: what has to be known besides E_M.
        has_ceiling: whether E_LM stays below a ceiling as b grows.
        may_fall: whether E_LM may fall with b.

    Example:
        >>> from analysis.scaling import FORMS
        >>> FORMS["power"].formula
        'E_M b^phi'
        >>> [parameter.name for parameter in FORMS["power"].parameters]
        ['phi']
    """

    name: str
    family: str
    formula: str
    parameters: tuple[Parameter, ...]
    has_ceiling: bool
    may_fall: bool
    _value: Callable[..., Floats]
    _jacobian: Callable[..., Sequence[Floats]]

    def __call__(self, E_M: npt.ArrayLike, b: npt.ArrayLike, *parameters: npt.ArrayLike) -> Floats:  # noqa: N803
        """Return E_LM in bits.

        Args:
            E_M: expressivity at b = 1, in bits.
            b: loops, 1 or more; need not be whole.
            parameters: in the order of ``self.parameters``.

        Example:
            >>> from analysis.scaling import FORMS
            >>> FORMS["logarithmic/shared_gain"](1.5, [1, 2, 4], 0.5)
            array([1.5, 2. , 2.5])
        """
        return self._value(*(np.asarray(part, float) for part in (E_M, b, *parameters)))

    def jacobian(
        self,
        E_M: npt.ArrayLike,  # noqa: N803
        b: npt.ArrayLike,
        *parameters: npt.ArrayLike,
    ) -> Floats:
        """Return dE_LM / d(E_M, parameters), of shape (..., 1 + parameters).

        Example:
            >>> from analysis.scaling import FORMS
            >>> FORMS["logarithmic/shared_gain"].jacobian(1.5, 4, 0.5)
            array([1., 2.])
        """
        parts = [np.asarray(part, float) for part in (E_M, b, *parameters)]
        return np.stack(np.broadcast_arrays(*self._jacobian(*parts)), axis=-1)

    @property
    def is_general(self) -> bool:
        """Whether it is a function of E_M and b alone, and so predicts sizes never trained."""
        return not any(parameter.is_per_size for parameter in self.parameters)

    @property
    def least_bs(self) -> int:
        """How many values of b, 1 among them, it takes to tell the parameters of one curve."""
        curve_parameters = [parameter for parameter in self.parameters if parameter.name != "slope"]
        return 1 + len(curve_parameters)

    def ceiling(self, E_M: npt.ArrayLike, *parameters: npt.ArrayLike) -> Floats:  # noqa: N803
        """Return what E_LM tends to as b grows: infinity where there is no ceiling.

        Example:
            >>> from analysis.scaling import FORMS
            >>> float(FORMS["saturating_power/shared_gain"].ceiling(1.5, 2.0, 0.7))
            3.5
        """
        if self.has_ceiling:
            return self(E_M, np.inf, *parameters)
        return np.full(np.broadcast_shapes(*map(np.shape, (E_M, *parameters))), np.inf)


def _power_value(e_m: Floats, b: Floats, phi: Floats) -> Floats:
    return np.asarray(e_m * b**phi)


def _power_jacobian(e_m: Floats, b: Floats, phi: Floats) -> Sequence[Floats]:
    return b**phi, e_m * b**phi * np.log(b)


_CEILING = Parameter("ceiling", -20, 60, (), "bits", is_linear=True)
_GAIN = Parameter("gain", 0, 50, (1.0,), "bits", is_linear=True)
_SIGNED_GAIN = replace(_GAIN, lower=-50)
_SLOPE = Parameter("slope", -5, 5, (-1.0, 0.0, 0.5), "per bit of E_M")


def _with_one_gain(shape: Shape, gain: Parameter, variant: str) -> Form:
    """Give a shape a gain that E_M has no part in."""

    def jacobian(
        e_m: Floats, b: Floats, gain: Floats, *shape_parameters: Floats
    ) -> Sequence[Floats]:
        slopes = [gain * slope for slope in shape.slopes_at(b, *shape_parameters)]
        return np.ones_like(e_m), shape.rise(b, *shape_parameters), *slopes

    return Form(
        name=f"{shape.name}/{variant}",
        family=shape.name,
        formula=f"E_M + gain ({shape.formula})",
        parameters=(gain, *shape.parameters),
        has_ceiling=shape.has_ceiling,
        may_fall=shape.may_fall,
        _value=lambda e_m, b, gain, *shape_parameters: (
            e_m + gain * shape.rise(b, *shape_parameters)
        ),
        _jacobian=jacobian,
    )


def _with_one_ceiling(shape: Shape) -> Form:
    """Give a bounded shape the gain that leads every model to one ceiling, or none above it."""

    def value(e_m: Floats, b: Floats, ceiling: Floats, *shape_parameters: Floats) -> Floats:
        return np.asarray(e_m + np.maximum(ceiling - e_m, 0) * shape.rise(b, *shape_parameters))

    def jacobian(
        e_m: Floats, b: Floats, ceiling: Floats, *shape_parameters: Floats
    ) -> Sequence[Floats]:
        rise, is_below = shape.rise(b, *shape_parameters), ceiling > e_m
        slopes = [
            np.maximum(ceiling - e_m, 0) * slope for slope in shape.slopes_at(b, *shape_parameters)
        ]
        return 1 - is_below * rise, is_below * rise, *slopes

    return Form(
        name=f"{shape.name}/shared_ceiling",
        family=shape.name,
        formula=f"E_M + (ceiling - E_M)+ ({shape.formula})",
        parameters=(_CEILING, *shape.parameters),
        has_ceiling=True,
        may_fall=False,
        _value=value,
        _jacobian=jacobian,
    )


def _with_gain_of_e_m(shape: Shape, gain: Parameter) -> Form:
    """Give a shape the gain ``gain exp(slope (E_M - 2))``: less, say, for better models."""

    def factor(e_m: Floats, slope: Floats) -> Floats:
        return np.asarray(np.exp(np.clip(slope * (e_m - REFERENCE_BITS), -50, 50)))

    def value(
        e_m: Floats, b: Floats, gain: Floats, slope: Floats, *shape_parameters: Floats
    ) -> Floats:
        return np.asarray(e_m + gain * factor(e_m, slope) * shape.rise(b, *shape_parameters))

    def jacobian(
        e_m: Floats, b: Floats, gain: Floats, slope: Floats, *shape_parameters: Floats
    ) -> Sequence[Floats]:
        per_gain, rise = factor(e_m, slope), shape.rise(b, *shape_parameters)
        gain_at_e_m = gain * per_gain
        slopes = [
            gain_at_e_m * shape_slope for shape_slope in shape.slopes_at(b, *shape_parameters)
        ]
        by_slope = gain_at_e_m * (e_m - REFERENCE_BITS) * rise
        return 1 + gain_at_e_m * slope * rise, per_gain * rise, by_slope, *slopes

    return Form(
        name=f"{shape.name}/of_E_M",
        family=shape.name,
        formula=f"E_M + gain exp(slope (E_M - {REFERENCE_BITS:g})) ({shape.formula})",
        parameters=(gain, _SLOPE, *shape.parameters),
        has_ceiling=shape.has_ceiling,
        may_fall=shape.may_fall,
        _value=value,
        _jacobian=jacobian,
    )


def _per_size(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Give each size values of its own."""
    return tuple(replace(parameter, is_per_size=True) for parameter in parameters)


def _power_forms() -> list[Form]:
    power = Form(
        name="power",
        family="power",
        formula="E_M b^phi",
        parameters=(Parameter("phi", 0, 3, (0.05, 0.3, 1.0)),),
        has_ceiling=False,
        may_fall=False,
        _value=_power_value,
        _jacobian=_power_jacobian,
    )
    return [power, replace(power, name="power/per_size", parameters=_per_size(power.parameters))]


def forms_of(shape: Shape) -> list[Form]:
    """Make every variant of a shape's gain.

    Example:
        >>> from analysis.scaling.form.shapes import SHAPES
        >>> from analysis.scaling.form.forms import forms_of
        >>> [form.name for form in forms_of(SHAPES[0])][:2]
        ['logarithmic/shared_gain', 'logarithmic/of_E_M']
    """
    gain = _SIGNED_GAIN if shape.may_fall else _GAIN
    of_sizes = replace(gain, is_per_size=True)
    forms = [
        _with_one_gain(shape, gain, "shared_gain"),
        _with_gain_of_e_m(shape, gain),
        _with_one_gain(shape, of_sizes, "per_size"),
    ]
    if len(shape.parameters) == 1:  # two more for each size would leave no b to tell them by
        own_shapes = replace(shape, parameters=_per_size(shape.parameters))
        forms.append(_with_one_gain(own_shapes, of_sizes, "all_per_size"))
    if shape.has_ceiling:
        forms.append(_with_one_ceiling(shape))
    return forms


_ALL_FORMS = [*_power_forms(), *(form for shape in SHAPES for form in forms_of(shape))]

FORMS = {form.name: form for form in _ALL_FORMS}
"""Every form of **b**, by name; ``form(E_M, 1, ...) == E_M``."""
