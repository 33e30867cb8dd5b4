"""A form of **b** with the sizes it is fitted to: one vector of parameters, and what it predicts.

The vector theta holds E_M of each size, then the form's parameters, those searched for on a
logarithmic scale as logarithms. E_M is a parameter like the others, estimated from the runs at
b = 1 and beyond: it is measured with error, as E_LM is.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.scaling.form.forms import REFERENCE_BITS, Form
from analysis.scaling.form.shapes import Floats, Parameter
from analysis.scaling.run_table import Indices, RunTable
from analysis.scaling.solving.blocks import Layout

_E_M = Parameter("E_M", -20, 60, (), "bits", is_linear=True, is_per_size=True)

_SPECIAL_CASES = (
    ("saturating_exponential", "stretched_exponential"),
    ("logarithmic", "rise_and_fall"),
)
_NEUTRAL = {"slope": 0.0, "bend": 0.0, "stretch": 0.0}
"""Values with which a parameter does nothing, as theta holds them: a stretch of 1 is its log, 0."""


@dataclass(frozen=True)
class SizedForm:
    """A form and the sizes whose E_M are among its parameters."""

    form: Form
    sizes: tuple[str, ...]

    @cached_property
    def parts(self) -> tuple[Parameter, ...]:
        """E_M and the form's parameters, each once."""
        return (_E_M, *self.form.parameters)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What each entry of theta is, of length P."""
        return tuple(
            part for part in self.parts for _ in range(len(self.sizes) if part.is_per_size else 1)
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each entry of theta: ``E_M[tiny]``, ..., ``gain``."""
        names: list[str] = []
        for part in self.parts:
            names_by_size = [f"{part.name}[{size}]" for size in self.sizes]
            names += names_by_size if part.is_per_size else [part.name]
        return tuple(names)

    @cached_property
    def lower(self) -> Floats:
        """Least theta, of shape (P,)."""
        return self._bounds("lower")

    @cached_property
    def upper(self) -> Floats:
        """Greatest theta, of shape (P,)."""
        return self._bounds("upper")

    def natural(self, theta: Floats) -> Floats:
        """Return the parameters themselves from theta, of the same shape (..., P)."""
        return np.where(self._is_log, np.exp(np.where(self._is_log, theta, 0.0)), theta)

    def model(self, size: Indices, b: Floats) -> "SizedModel":
        """Predict some cells from theta.

        Args:
            size: index of each cell's size, of shape (C,).
            b: loops of each cell, of shape (C,).
        """
        return SizedModel(self, size, b)

    def model_from_e_m(self, e_m: Floats, b: Floats) -> "SizedModel":
        """Predict models of known E_M, of any size.

        Args:
            e_m: expressivity at b = 1, taken as exact, of shape (C,).
            b: loops, of shape (C,).
        """
        return SizedModel(self, np.zeros(len(b), dtype=np.intp), b, e_m)

    def ceilings(self, theta: Floats) -> Floats:
        """Return what each size's E_LM tends to, of shape (R, sizes)."""
        natural = self.natural(theta)
        columns = self.columns(np.arange(len(self.sizes)))
        parts = [natural[:, column] for column in columns]
        return self.form.ceiling(parts[0], *parts[1:])

    def starts(self, run_table: RunTable) -> Floats:
        """Return where to begin the search, of shape (starts, P)."""
        means, is_one = run_table.cell_means(), run_table.cell_b == 1
        at_one = means[is_one]
        highest = np.array([means[run_table.cell_size == i].max() for i in range(len(self.sizes))])
        gains = np.maximum(highest - at_one, 0.05)
        choices: list[Sequence[Sequence[float]]] = [[list(at_one)]]
        for part in self.parts[1:]:
            if part.name == "gain":
                choices.append([list(gains) if part.is_per_size else [float(gains.mean())]])
            elif part.name == "ceiling":
                choices.append([[float(highest.max())]])
            else:
                scale = np.log if part.is_log else float
                n_values = len(self.sizes) if part.is_per_size else 1
                choices.append([[float(scale(value))] * n_values for value in part.starts])
        return np.array([list(itertools.chain(*start)) for start in itertools.product(*choices)])

    def begin_at(self, smaller: "SizedForm", theta: Floats) -> Floats | None:
        """Write what a special case of this form ended at as this form's parameters.

        That is one of the same shape, or the exponential for the stretched one, with one value
        where this form has a value for each size, or with a gain that E_M has no part in.

        Args:
            smaller: that form.
            theta: where it ended, of shape (P of that form,).

        Returns:
            Of shape (P,); None if it is no special case.
        """
        if (smaller.form.family, self.form.family) not in _SPECIAL_CASES and (
            smaller.form.family != self.form.family
        ):
            return None
        values = dict(zip(smaller.names, theta, strict=True))
        if f"gain[{self.sizes[0]}]" in self.names:
            _part_gains(values, self.sizes)
        start = [
            values.get(name, values.get(shared_name, _NEUTRAL.get(shared_name)))
            for name, shared_name in zip(self.names, map(_shared, self.names), strict=True)
        ]
        lost_names = {_shared(name) for name in values} - {_shared(name) for name in self.names}
        return None if lost_names or None in start else np.array(start, dtype=float)

    @cached_property
    def _is_log(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        return np.array([parameter.is_log for parameter in self.parameters])

    def _bounds(self, which: str) -> Floats:
        values = np.array([getattr(parameter, which) for parameter in self.parameters], float)
        return np.where(self._is_log, np.log(np.where(self._is_log, values, 1.0)), values)

    def columns(self, size: Indices) -> list[Indices]:
        """Say which entry of theta each of ``parts`` is for cells of some sizes, each (C,)."""
        columns, first = [], 0
        for part in self.parts:
            columns.append(first + size if part.is_per_size else np.full(len(size), first))
            first += len(self.sizes) if part.is_per_size else 1
        return columns


@dataclass(frozen=True)
class SizedModel:
    """What a form says of some cells: from theta to expected values and their derivatives.

    The derivatives are by the parameters that each cell hangs on: those of its own size first,
    then those that all sizes share; ``layout`` says which entries of theta these are.

    Attributes:
        sized_form: the form with its sizes.
        size: index of each cell's size, of shape (C,).
        b: loops of each cell, of shape (C,).
        e_m: E_M of each cell where it is given, of shape (C,), else that of the size.
    """

    sized_form: SizedForm
    size: Indices
    b: Floats
    e_m: Floats | None = None

    def __call__(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return expected values, (R, C), and derivatives, (R, C, K), for theta, (R, P)."""
        parts = self._parts_of_cells(theta)
        slopes = self.sized_form.form.jacobian(parts[0], self.b, *parts[1:])  # (R, C, parts)
        derivatives = np.empty((*slopes.shape[:2], len(self._order)))
        for index, part in enumerate(self._order):
            is_log = self.sized_form.parts[part].is_log
            chain = parts[part] if is_log else 1.0
            np.multiply(slopes[:, :, part], chain, out=derivatives[:, :, index])
        return self.sized_form.form(parts[0], self.b, *parts[1:]), derivatives

    def values(self, theta: Floats) -> Floats:
        """Return the expected values alone."""
        parts = self._parts_of_cells(theta)
        return self.sized_form.form(parts[0], self.b, *parts[1:])

    def slope_along_e_m(self, theta: Floats) -> Floats:
        """Return dE_LM / dE_M of each cell, of shape (R, C)."""
        parts = self._parts_of_cells(theta)
        return self.sized_form.form.jacobian(parts[0], self.b, *parts[1:])[:, :, 0]

    @cached_property
    def layout(self) -> Layout:
        """Which entries of theta each cell hangs on."""
        columns = self.sized_form.columns(self.size)
        return Layout(
            columns=np.stack([columns[part] for part in self._order], axis=-1),
            n_own=sum(self.sized_form.parts[part].is_per_size for part in self._order),
            blocks=self.size,
            n_parameters=len(self.sized_form.parameters),
        )

    @cached_property
    def _order(self) -> list[int]:
        """Indices of the parts that theta holds: those of each size, then the shared ones."""
        parts = self.sized_form.parts
        indices = range(0 if self.e_m is None else 1, len(parts))
        return sorted(indices, key=lambda index: not parts[index].is_per_size)

    def _parts_of_cells(self, theta: Floats) -> list[Floats]:
        natural = self.sized_form.natural(theta)
        parts = [natural[:, column] for column in self.sized_form.columns(self.size)]
        if self.e_m is not None:
            parts[0] = np.broadcast_to(self.e_m, (len(theta), len(self.b)))
        return parts


def _shared(name: str) -> str:
    """Return a parameter's name without its size."""
    return name.partition("[")[0]


def _part_gains(values: dict[str, float], sizes: Sequence[str]) -> None:
    """Say each size's gain where one depends on E_M, or leads to a ceiling."""
    for size in sizes:
        e_m = values[f"E_M[{size}]"]
        if "slope" in values:
            factor = np.exp(np.clip(values["slope"] * (e_m - REFERENCE_BITS), -50, 50))
            values[f"gain[{size}]"] = values["gain"] * float(factor)
        elif "ceiling" in values:
            values[f"gain[{size}]"] = max(values["ceiling"] - e_m, 0.0)
    for name in ("slope", "ceiling"):
        values.pop(name, None)
