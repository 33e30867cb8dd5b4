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

from analysis.scaling.forms import Floats, Form, Parameter
from analysis.scaling.run_table import Indices, RunTable
from analysis.scaling.solver import Model

_E_M = Parameter("E_M", -20, 60, (), "bits", is_linear=True, is_per_size=True)


@dataclass(frozen=True)
class SizedForm:
    """A form and the sizes whose E_M are among its parameters."""

    form: Form
    sizes: tuple[str, ...]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """What each entry of theta is, of length P."""
        return tuple(
            part for part in self._parts for _ in range(len(self.sizes) if part.is_per_size else 1)
        )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of each entry of theta: ``E_M[tiny]``, ..., ``gain``."""
        names: list[str] = []
        for part in self._parts:
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

    def model(self, size: Indices, b: Floats) -> Model:
        """Predict some cells from theta.

        Args:
            size: index of each cell's size, of shape (C,).
            b: loops of each cell, of shape (C,).
        """
        columns = self._columns(size)

        def model(theta: Floats) -> tuple[Floats, Floats]:
            natural = self.natural(theta)
            parts = [natural[:, column] for column in columns]
            slopes = self.form.jacobian(parts[0], b, *parts[1:])  # (R, C, parts)
            jacobian = np.zeros((*slopes.shape[:2], theta.shape[1]))
            cells = np.arange(len(b))
            for index, (part, column) in enumerate(zip(self._parts, columns, strict=True)):
                chain = parts[index] if part.is_log else 1.0
                jacobian[:, cells, column] += slopes[:, :, index] * chain
            return self.form(parts[0], b, *parts[1:]), jacobian

        return model

    def model_from_e_m(self, e_m: Floats, b: Floats) -> Model:
        """Predict models of known E_M, of any size.

        Args:
            e_m: expressivity at b = 1, taken as exact, of shape (C,).
            b: loops, of shape (C,).
        """
        form_columns = self._columns(np.zeros(len(b), dtype=np.intp))[1:]

        def model(theta: Floats) -> tuple[Floats, Floats]:
            natural = self.natural(theta)
            parts = [natural[:, column] for column in form_columns]
            e_m_of_cells = np.broadcast_to(e_m, (len(theta), len(b)))
            slopes = self.form.jacobian(e_m_of_cells, b, *parts)
            jacobian = np.zeros((*slopes.shape[:2], theta.shape[1]))
            for index, (part, column) in enumerate(zip(self._parts[1:], form_columns, strict=True)):
                chain = parts[index] if part.is_log else 1.0
                jacobian[:, np.arange(len(b)), column] += slopes[:, :, index + 1] * chain
            return self.form(e_m_of_cells, b, *parts), jacobian

        return model

    def ceilings(self, theta: Floats) -> Floats:
        """Return what each size's E_LM tends to, of shape (R, sizes)."""
        natural = self.natural(theta)
        columns = self._columns(np.arange(len(self.sizes)))
        parts = [natural[:, column] for column in columns]
        return self.form.ceiling(parts[0], *parts[1:])

    def starts(self, run_table: RunTable) -> Floats:
        """Return where to begin the search, of shape (starts, P)."""
        means, is_one = run_table.cell_means(), run_table.cell_b == 1
        at_one = means[is_one]
        highest = np.array([means[run_table.cell_size == i].max() for i in range(len(self.sizes))])
        gains = np.maximum(highest - at_one, 0.05)
        choices: list[Sequence[Sequence[float]]] = [[list(at_one)]]
        for part in self._parts[1:]:
            if part.name == "gain":
                choices.append([list(gains) if part.is_per_size else [float(gains.mean())]])
            elif part.name == "ceiling":
                choices.append([[float(highest.max())]])
            else:
                scale = np.log if part.is_log else float
                choices.append([[float(scale(value))] for value in part.starts])
        return np.array([list(itertools.chain(*start)) for start in itertools.product(*choices)])

    @property
    def _parts(self) -> tuple[Parameter, ...]:
        return (_E_M, *self.form.parameters)

    @cached_property
    def _is_log(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        return np.array([parameter.is_log for parameter in self.parameters])

    def _bounds(self, which: str) -> Floats:
        values = np.array([getattr(parameter, which) for parameter in self.parameters], float)
        return np.where(self._is_log, np.log(np.where(self._is_log, values, 1.0)), values)

    def _columns(self, size: Indices) -> list[Indices]:
        """Say which entry of theta each part of the form takes for some cells."""
        columns, first = [], 0
        for part in self._parts:
            columns.append(first + size if part.is_per_size else np.full(len(size), first))
            first += len(self.sizes) if part.is_per_size else 1
        return columns
