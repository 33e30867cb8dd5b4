"""What is a block's own and what all share: least squares whose normal equations are an arrow.

A law of many sizes has parameters of each size (E_M, perhaps a gain) and a few that all share. A
cell hangs on those of its own size and the shared ones: K of the P parameters, and K does not grow
with the number of sizes. In the curvature, sizes meet only in the shared parameters' rows:

    | A_1           B_1 |
    |      ...      ... |      A_s: of block s alone, B_s: between it and what is shared, C: shared
    |          A_S  B_S |
    | B_1' ... B_S'  C  |

so each block is eliminated by itself, and what is left is as small as the shared parameters are
few (the Schur complement). Time and memory grow with the number of sizes, not with its square.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Booleans = npt.NDArray[np.bool_]

Model = Callable[[Floats], tuple[Floats, Floats]]
"""From parameters (R, P) to expected values (R, C) and their derivatives (R, C, K).

One without a ``layout`` gives all derivatives, K = P; see ``layout_of``.
"""


@dataclass(frozen=True)
class Layout:
    """Which K of the P parameters each of C cells hangs on.

    Attributes:
        columns: entry of theta that each derivative is by, of shape (C, K).
        n_own: how many of the K, the first ones, are of the cell's block alone.
        blocks: block of each cell, of shape (C,).
        n_parameters: P.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.blocks import Layout
        >>> columns = np.array([[0, 2], [1, 2]])  # two sizes' E_M, and a gain that they share
        >>> layout = Layout(columns, n_own=1, blocks=np.arange(2), n_parameters=3)
        >>> layout.dense(np.array([[[1.0, 0.5], [1.0, 0.7]]]))
        array([[[1. , 0. , 0.5],
                [0. , 1. , 0.7]]])
    """

    columns: Indices
    n_own: int
    blocks: Indices
    n_parameters: int

    @classmethod
    def of_shared(cls, n_cells: int, n_parameters: int) -> "Layout":
        """Lay out a law whose parameters are all shared: one block with nothing of its own."""
        columns = np.broadcast_to(np.arange(n_parameters), (n_cells, n_parameters))
        return cls(columns, 0, np.zeros(n_cells, dtype=np.intp), n_parameters)

    def dense(self, slopes: Floats) -> Floats:
        """Return derivatives by all parameters, (R, C, P), from those by K, (R, C, K)."""
        rows = np.zeros((*slopes.shape[:2], self.n_parameters))
        rows[:, np.arange(len(self.columns))[:, None], self.columns] = slopes
        return rows

    def of_runs(self, cells: Indices) -> "Layout":
        """Lay out runs that lie in these cells."""
        return Layout(self.columns[cells], self.n_own, self.blocks[cells], self.n_parameters)

    @cached_property
    def block_columns(self) -> Indices:
        """Entries of theta that are each block's own, of shape (blocks, n_own)."""
        return self.columns[self._firsts, : self.n_own]

    @cached_property
    def shared_columns(self) -> Indices:
        """Entries of theta that all share, of shape (K - n_own,)."""
        return self.columns[0, self.n_own :]

    @cached_property
    def block_indices(self) -> Indices:
        """Position of each cell's block among those that occur, of shape (C,)."""
        return np.cumsum(np.r_[False, np.diff(self.blocks) != 0])

    def by_block(self, rows: Floats) -> Floats:
        """Sum (R, C) over the cells of each block: (R, blocks)."""
        return np.asarray(np.add.reduceat(rows, self._firsts, axis=1))

    @cached_property
    def _firsts(self) -> Indices:
        assert (np.diff(self.blocks) >= 0).all(), "cells must stand by block"
        return np.flatnonzero(np.r_[True, np.diff(self.blocks) != 0])


@runtime_checkable
class LaidOut(Protocol):
    """A model whose derivatives are by the parameters that each cell hangs on."""

    @property
    def layout(self) -> Layout:
        """Which those are."""


def layout_of(model: Model, n_cells: int, n_parameters: int) -> Layout:
    """Return a model's layout; of a plain function, one in which all parameters are shared.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.blocks import layout_of
        >>> layout_of(lambda theta: (theta, np.ones((len(theta), 1, 1))), 1, 1).n_own
        0
    """
    return model.layout if isinstance(model, LaidOut) else Layout.of_shared(n_cells, n_parameters)


@dataclass(frozen=True)
class Arrow:
    """Normal equations of R problems: curvature times step = gradient.

    Attributes:
        layout: of the parameters.
        own_rows: of each block's own parameters the curvature with these and with the shared
            ones, then the gradient, of shape (n_own, K + 1, R, blocks).
        shared_square: curvature of the shared parameters, of shape (R, K - n_own, K - n_own).
        shared_gradient: of shape (R, K - n_own).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.blocks import Arrow, Layout
        >>> columns = np.array([[0, 2], [1, 2]])
        >>> layout = Layout(columns, n_own=1, blocks=np.arange(2), n_parameters=3)
        >>> slopes = np.array([[[1.0, 0.5], [1.0, 0.7]]])
        >>> arrow = Arrow.of(layout, slopes, np.ones((1, 2)), np.array([[1.0, 2.0]]))
        >>> arrow.gradient
        array([[1. , 2. , 1.9]])
        >>> arrow.step(np.zeros((1, 3), dtype=bool), damping=np.ones(1)).round(3)
        array([[0.286, 0.7  , 0.856]])
    """

    layout: Layout
    own_rows: Floats
    shared_square: Floats
    shared_gradient: Floats

    @classmethod
    def of(cls, layout: Layout, slopes: Floats, weights: Floats, pull: Floats) -> "Arrow":
        """Sum over cells.

        Args:
            layout: of the parameters.
            slopes: derivatives of the expected values, of shape (R, C, K).
            weights: of each cell, of shape (R, C).
            pull: of each cell's residuals on its expected value, of shape (R, C).
        """
        n_own, n_all = layout.n_own, slopes.shape[2]
        rows = np.empty((n_own, n_all + 1, len(slopes), len(layout.block_columns)))
        for i in range(n_own):
            weighted_slopes = slopes[:, :, i] * weights
            rows[i, :i] = rows[:i, i]  # it is symmetric
            for j in range(i, n_all):
                rows[i, j] = layout.by_block(weighted_slopes * slopes[:, :, j])
            rows[i, n_all] = layout.by_block(pull * slopes[:, :, i])
        shared_slopes = slopes[:, :, n_own:]
        square = np.matmul(shared_slopes.transpose(0, 2, 1), shared_slopes * weights[:, :, None])
        return cls(layout, rows, square, np.matmul(pull[:, None, :], shared_slopes)[:, 0])

    @property
    def gradient(self) -> Floats:
        """The gradient by every parameter, of shape (R, P)."""
        return self._in_order(self.own_rows[:, -1], self.shared_gradient)

    def step(self, is_held: Booleans, damping: Floats) -> Floats:
        """Solve the damped equations for the step, of shape (R, P).

        Args:
            is_held: which parameters do not move, of shape (R, P).
            damping: times the curvature's diagonal, added to it, of shape (R,).
        """
        n_own, n_shared = self.layout.n_own, len(self.layout.shared_columns)
        rows, square, right_hand = self._damped(is_held, damping)
        unit_rows = np.empty_like(rows)
        for i in range(n_own):  # Gauss's elimination, of all blocks at once
            unit_rows[i] = rows[i] / rows[i, i]
            for j in range(i + 1, n_own):
                rows[j] -= rows[j, i] * unit_rows[i]
            for j in range(n_shared):
                right_hand[:, j] -= (rows[i, n_own + j] * unit_rows[i, -1]).sum(axis=1)
                for k in range(n_shared):
                    square[:, j, k] -= (rows[i, n_own + j] * unit_rows[i, n_own + k]).sum(axis=1)
        shared_step = np.asarray(np.linalg.solve(square, right_hand[:, :, None])[:, :, 0], float)
        own_step = np.empty((n_own, *rows.shape[2:]))
        for i in reversed(range(n_own)):
            own_step[i] = unit_rows[i, -1]
            for j in range(n_shared):
                own_step[i] -= unit_rows[i, n_own + j] * shared_step[:, [j]]
            for j in range(i + 1, n_own):
                own_step[i] -= unit_rows[i, j] * own_step[j]
        return self._in_order(own_step, shared_step)

    def _damped(self, is_held: Booleans, damping: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the rows, the square and its right-hand side, damped, without what is held."""
        rows, square, gradient = (
            part.copy() for part in (self.own_rows, self.shared_square, self.shared_gradient)
        )
        own_index, shared_index = np.arange(len(rows)), np.arange(square.shape[1])
        own_diagonal = rows[own_index, own_index]
        shared_diagonal = square[:, shared_index, shared_index]
        largest = np.maximum(
            own_diagonal.max(axis=(0, 2), initial=0.0), shared_diagonal.max(axis=1, initial=0.0)
        )
        least = 1e-12 * (largest + 1e-300)
        own_diagonal += damping[:, None] * own_diagonal + least[:, None]
        shared_diagonal += damping[:, None] * shared_diagonal + least[:, None]
        is_own_held = is_held[:, self.layout.block_columns].transpose(2, 0, 1)
        is_shared_held = is_held[:, self.layout.shared_columns]
        if is_held.any():
            rows[np.broadcast_to(is_own_held[:, None], rows.shape)] = 0.0
            for j in own_index:
                rows[:, j] *= ~is_own_held[j]
            for j in shared_index:
                rows[:, len(rows) + j] *= ~is_shared_held[:, [j]]
            square *= ~(is_shared_held[:, :, None] | is_shared_held[:, None, :])
            gradient *= ~is_shared_held
        rows[own_index, own_index] = np.where(is_own_held, 1.0, own_diagonal)
        square[:, shared_index, shared_index] = np.where(is_shared_held, 1.0, shared_diagonal)
        return rows, square, gradient

    def _in_order(self, own_values: Floats, shared_values: Floats) -> Floats:
        """Put values of blocks (n_own, R, blocks) and of all (R, K - n_own) in theta's order."""
        theta = np.zeros((len(shared_values), self.layout.n_parameters))
        theta[:, self.layout.block_columns] = own_values.transpose(1, 2, 0)
        theta[:, self.layout.shared_columns] = shared_values
        return theta
