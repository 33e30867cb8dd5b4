"""Many small non-linear least-squares problems at once: Levenberg-Marquardt in arrays.

One problem is P parameters and n observations that lie in C cells; all observations of a cell
have the same expected value, so a model is evaluated once per cell. The resamples of a bootstrap,
the folds of a held-out error and the starts of a fit are all rows of one batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Model = Callable[[Floats], tuple[Floats, Floats]]
"""From parameters (R, P) to expected values (R, C) and their derivatives (R, C, P)."""

LOSSES = ("huber", "soft_l1", "squared")
HUBER_CORNER = 2.0
"""In standard deviations: Gaussian noise loses 1 % of its weight, a failed run nearly all."""


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
        >>> from analysis.scaling.solver import losses
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


def total_loss(expected: Floats, observations: Observations, loss: str) -> Floats:
    """Sum the losses of problems whose expected values are (R, C); returns (R,).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solver import Observations, total_loss
        >>> lone_run = Observations(np.array([[1.0]]), np.ones((1, 1)), np.ones(1), np.array([0]))
        >>> total_loss(np.array([[1.5]]), lone_run, "squared")
        array([0.25])
    """
    z = (observations.values - expected[:, observations.cells]) / observations.scale
    return np.asarray((observations.weights * losses(z, loss)[0]).sum(axis=1))


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
        >>> from analysis.scaling.solver import Observations, solve
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
    theta = np.clip(start, lower, upper)
    n_problems = len(theta)
    loss_now, damping = np.empty(n_problems), np.full(n_problems, 1e-3)
    converged = np.zeros(n_problems, dtype=bool)
    is_held = np.broadcast_to(False if free is None else ~free, theta.shape)
    active = np.arange(n_problems)
    expected, jacobian = model(theta)
    loss_now[:] = total_loss(expected, observations, loss)
    for _ in range(max_steps):
        active_observations, theta_now = observations.of_problems(active), theta[active]
        curvature, gradient = _normal_equations(expected, jacobian, active_observations, loss)
        is_pressed = (
            ((theta_now <= lower) & (gradient < 0))
            | ((theta_now >= upper) & (gradient > 0))
            | is_held[active]
        )
        step = _step(curvature, gradient, is_pressed, damping[active])
        trial_theta = np.clip(theta_now + step, lower, upper)
        trial_expected, trial_jacobian = model(trial_theta)
        trial_loss = total_loss(trial_expected, active_observations, loss)
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
        expected = np.where(is_better[:, None], trial_expected, expected)[is_active]
        jacobian = np.where(is_better[:, None, None], trial_jacobian, jacobian)[is_active]
        active = active[is_active]
    return Solution(theta, loss_now, converged)


def curvature_parts(z: Floats, loss: str) -> Floats:
    """Return half the second derivative of the loss at standardised residuals: 1 near 0.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solver import curvature_parts
        >>> curvature_parts(np.array([0.5, 10.0]), "huber")
        array([1., 0.])
    """
    if loss == "squared":
        return np.ones_like(z)
    if loss == "soft_l1":
        return np.asarray((1 + (z / HUBER_CORNER) ** 2) ** -1.5)
    return (np.abs(z) < HUBER_CORNER).astype(float)


def _residuals(expected: Floats, observations: Observations, loss: str) -> tuple[Floats, Floats]:
    z = (observations.values - expected[:, observations.cells]) / observations.scale
    return z, observations.weights * losses(z, loss)[1] / observations.scale**2


def _curvature(jacobian: Floats, cell_weights: Floats) -> Floats:
    weighted_jacobian = jacobian * cell_weights[:, :, None]
    return np.asarray(np.matmul(jacobian.transpose(0, 2, 1), weighted_jacobian))


def _normal_equations(
    expected: Floats, jacobian: Floats, observations: Observations, loss: str
) -> tuple[Floats, Floats]:
    z, weight = _residuals(expected, observations, loss)
    pull = observations.by_cell(weight * z * observations.scale)  # (R, C)
    gradient = np.matmul(pull[:, None, :], jacobian)[:, 0]
    return _curvature(jacobian, observations.by_cell(weight)), gradient


def _step(curvature: Floats, gradient: Floats, is_pressed: npt.NDArray[np.bool_],
          damping: Floats) -> Floats:  # fmt: skip
    diagonal = np.einsum("rpp->rp", curvature)
    damping_term = damping[:, None] * diagonal + 1e-12 * (
        diagonal.max(axis=1, keepdims=True) + 1e-300
    )
    damped_curvature = curvature * ~(is_pressed[:, :, None] | is_pressed[:, None, :])
    index = np.arange(curvature.shape[1])
    damped_curvature[:, index, index] = np.where(is_pressed, 1.0, diagonal + damping_term)
    step = np.linalg.solve(damped_curvature, np.where(is_pressed, 0.0, gradient)[:, :, None])
    return np.asarray(step[:, :, 0])
