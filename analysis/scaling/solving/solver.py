"""Many small non-linear least-squares problems at once: Levenberg-Marquardt in arrays.

One problem is P parameters and n observations that lie in C cells; all observations of a cell
have the same expected value, so a model is evaluated once per cell. The resamples of a bootstrap,
the folds of a held-out error and the starts of a fit are all rows of one batch. What a step costs
grows with the number of cells, not with that of parameters: see ``blocks``.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analysis.scaling.solving.blocks import Arrow, Floats, Model, layout_of

__all__ = [
    "HUBER_CORNER", "LOSSES", "Floats", "Model", "Observations", "Solution", "curvature_parts",
    "losses", "solve",
]  # fmt: skip

LOSSES = ("huber", "soft_l1", "squared")
HUBER_CORNER = 2.0
"""In standard deviations: Gaussian noise loses 1 % of its weight, a failed run nearly all."""

_BATCH = 100_000
"""Residuals that are worked on at once: about what a core's cache holds."""


@dataclass(frozen=True)
class Observations:
    """What is to be fitted; R may be 1 where all problems share it.

    Attributes:
        values: observed, of shape (R, n).
        weights: how often each counts, 0 or more, of shape (R, n).
        scale: standard deviation of each, of shape (n,).
        cells: cell of each, ascending, every cell from 0 to C - 1 occurring, of shape (n,).
    """

    values: Floats
    weights: Floats
    scale: Floats
    cells: npt.NDArray[np.intp]

    def of_problems(self, problems: npt.NDArray[np.intp]) -> "Observations":
        """Return those of some problems."""
        values, weights = (
            part if len(part) == 1 else part[problems] for part in (self.values, self.weights)
        )
        return replace(self, values=values, weights=weights)

    def by_cell(self, rows: Floats) -> Floats:
        """Sum (R, n) over each cell: (R, C)."""
        firsts = np.flatnonzero(np.diff(self.cells, prepend=-1))
        return np.asarray(np.add.reduceat(rows, firsts, axis=1))


@dataclass(frozen=True)
class Solution:
    """Where the problems ended.

    Attributes:
        theta: parameters, of shape (R, P).
        loss: sum of weighted losses in squared standard deviations, of shape (R,).
        converged: whether steps became negligible, of shape (R,).
    """

    theta: Floats
    loss: Floats
    converged: npt.NDArray[np.bool_]

    def take(self, problems: npt.NDArray[np.intp]) -> "Solution":
        """Return some of them."""
        return Solution(self.theta[problems], self.loss[problems], self.converged[problems])


def losses(z: Floats, loss: str) -> tuple[Floats, Floats]:
    """Return the loss of standardised residuals and the weight it gives them, 1 near 0.

    All are z^2 near 0. Huber's goes on as a straight line from ``HUBER_CORNER``; ``soft_l1``
    is its smooth relative, 2 c^2 (sqrt(1 + z^2 / c^2) - 1).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.solver import losses
        >>> loss, weight = losses(np.array([0.5, 2.0, 10.0]), "huber")
        >>> loss, weight
        (array([ 0.25,  4.  , 36.  ]), array([1. , 1. , 0.2]))
    """
    if loss == "squared":
        return z * z, np.ones_like(z)
    if loss == "soft_l1":
        root = np.sqrt(1 + (z / HUBER_CORNER) ** 2)
        return 2 * HUBER_CORNER**2 * (root - 1), 1 / root
    size = np.abs(z)
    weight = np.minimum(1.0, HUBER_CORNER / np.maximum(size, HUBER_CORNER))
    inner_size = np.minimum(size, HUBER_CORNER)
    return inner_size * (2 * size - inner_size), weight


def solve(
    model: Model,
    observations: Observations,
    start: Floats,
    lower: Floats,
    upper: Floats,
    *,
    loss: str = "huber",
    free: npt.NDArray[np.bool_] | None = None,
    max_steps: int = 100,
    tolerance: float = 1e-9,
) -> Solution:
    """Minimise every problem's loss inside the bounds.

    Levenberg-Marquardt with iteratively reweighted residuals; a parameter at a bound that the
    gradient presses against is held there for the step. A problem leaves the batch when a step
    lowers its loss by less than ``tolerance`` of it.

    Args:
        model: expected values and their derivatives.
        observations: the observations.
        start: of shape (R, P).
        lower: bounds, of shape (P,).
        upper: bounds, of shape (P,).
        loss: one of ``LOSSES``.
        free: which parameters may move, of shape (P,) or (R, P); all if left out.
        max_steps: after which a problem counts as not converged.
        tolerance: relative.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.solver import Observations, solve
        >>> def line(theta):  # through the origin, at x = 1 and 2
        ...     x = np.array([1.0, 2.0])
        ...     return theta * x, np.repeat(x[None, :, None], len(theta), axis=0)
        >>> values = np.array([[1.0, 2.0], [3.0, 6.0]])  # two problems
        >>> observations = Observations(values, np.ones((1, 2)), np.ones(2), np.arange(2))
        >>> start, bound = np.zeros((2, 1)), np.array([9.0])
        >>> solve(line, observations, start, -bound, bound, loss="squared").theta.round(3)
        array([[1.],
               [3.]])
    """
    n_problems = len(start)
    is_held = np.broadcast_to(False if free is None else ~free, start.shape)
    size = max(1, _BATCH // observations.values.shape[1])
    batches = [np.arange(n_problems)[i : i + size] for i in range(0, n_problems, size)]
    solutions = [
        _solve(
            model,
            observations.of_problems(batch),
            np.clip(start[batch], lower, upper),
            (lower, upper),
            is_held[batch],
            loss,
            max_steps,
            tolerance,
        )
        for batch in batches
    ]
    return Solution(
        np.concatenate([solution.theta for solution in solutions]),
        np.concatenate([solution.loss for solution in solutions]),
        np.concatenate([solution.converged for solution in solutions]),
    )


def _solve(
    model: Model,
    observations: Observations,
    theta: Floats,
    bounds: tuple[Floats, Floats],
    is_held: npt.NDArray[np.bool_],
    loss: str,
    max_steps: int,
    tolerance: float,
) -> Solution:
    (lower, upper), n_problems = bounds, len(theta)
    damping, converged = np.full(n_problems, 1e-3), np.zeros(n_problems, dtype=bool)
    active = np.arange(n_problems)
    expected, slopes = model(theta)
    layout = layout_of(model, *slopes.shape[1:])
    loss_now, weights, pull = _assess(expected, observations, loss)
    for _ in range(max_steps):
        theta_now = theta[active]
        arrow = Arrow.of(layout, slopes, weights, pull)
        gradient = arrow.gradient
        is_pressed = (
            ((theta_now <= lower) & (gradient < 0))
            | ((theta_now >= upper) & (gradient > 0))
            | is_held[active]
        )
        trial_theta = np.clip(theta_now + arrow.step(is_pressed, damping[active]), lower, upper)
        trial_expected, trial_slopes = model(trial_theta)
        trial_loss, trial_weights, trial_pull = _assess(
            trial_expected, observations.of_problems(active), loss
        )
        loss_before = loss_now[active]
        is_better = trial_loss <= loss_before  # False for NaN as well
        fall = np.where(is_better, loss_before - trial_loss, 0.0)
        theta[active[is_better]] = trial_theta[is_better]
        loss_now[active[is_better]] = trial_loss[is_better]
        damping[active] *= np.where(is_better, 0.2, 8.0)
        damping[active] = np.clip(damping[active], 1e-12, 1e12)
        is_small = np.abs(trial_theta - theta_now).max(axis=1) <= tolerance * (
            1 + np.abs(theta_now).max(axis=1)
        )
        is_done = (is_better & (fall <= tolerance * loss_before)) | is_small
        converged[active[is_done]] = True
        is_active = ~is_done
        if not is_active.any():
            break
        slopes = np.where(is_better[:, None, None], trial_slopes, slopes)[is_active]
        weights = np.where(is_better[:, None], trial_weights, weights)[is_active]
        pull = np.where(is_better[:, None], trial_pull, pull)[is_active]
        active = active[is_active]
    return Solution(theta, loss_now, converged)


def curvature_parts(z: Floats, loss: str) -> Floats:
    """Return half the second derivative of the loss at standardised residuals: 1 near 0.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.solver import curvature_parts
        >>> curvature_parts(np.array([0.5, 10.0]), "huber")
        array([1., 0.])
    """
    if loss == "squared":
        return np.ones_like(z)
    if loss == "soft_l1":
        return np.asarray((1 + (z / HUBER_CORNER) ** 2) ** -1.5)
    return (np.abs(z) < HUBER_CORNER).astype(float)


def _assess(
    expected: Floats, observations: Observations, loss: str
) -> tuple[Floats, Floats, Floats]:
    """Return the loss, (R,), and of each cell the weight and the pull of its runs, (R, C)."""
    z = (observations.values - expected[:, observations.cells]) / observations.scale
    loss_of_runs, weight_of_runs = losses(z, loss)
    weights = observations.weights * weight_of_runs / observations.scale**2
    return (
        np.asarray((observations.weights * loss_of_runs).sum(axis=1)),
        observations.by_cell(weights),
        observations.by_cell(weights * z * observations.scale),
    )
