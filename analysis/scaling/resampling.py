"""How sure a fit is: a wild cluster bootstrap with a small-sample correction.

Three seeds to a cell are few. A bootstrap that draws them with replacement sees two thirds of
their variance, and its percentiles take what is left for Gaussian: intervals that claim 95 %
cover about 80 %. So here

1. every run keeps its place; its residual, enlarged to undo what the fit took out of it
   ((1 - H)^-1/2, "CR2" of Bell and McCaffrey 2002), is given a random sign, one for all runs of a
   cluster, and the law is fitted anew: the wild cluster bootstrap;
2. the spread of the resamples is multiplied by Student's t instead of the Gaussian's quantile, at
   the degrees of freedom that each quantity has (Satterthwaite's approximation): a quantity that
   hangs on three runs has about two, one that hangs on all has nearly as many as there are runs.

``docs/scaling-law.md`` holds what that covers in simulation.
"""

from dataclasses import dataclass

import numpy as np

from analysis.scaling.mixture import StudentT
from analysis.scaling.run_table import Indices
from analysis.scaling.solver import Floats, Model, Observations, curvature_parts, solve

FEW_CLUSTERS = 20
_WEBB = np.array([-(1.5**0.5), -1, -(0.5**0.5), 0.5**0.5, 1, 1.5**0.5])
"""Six values of mean 0 and variance 1: few clusters have too few combinations of signs."""


@dataclass(frozen=True)
class Uncertainty:
    """What resamples say about a fit's P parameters and about any function of them.

    Attributes:
        theta: the fit, of shape (P,).
        draws: the fit of each resample, of shape (R, P).
        influence: observations' standardised derivatives times the inverse curvature, (n, P).
        remainder: A (I - H) A, H the projection on the fit, A the correction of 1., (n, n).
        clusters: cluster of each observation, of shape (n,).
    """

    theta: Floats
    draws: Floats
    influence: Floats
    remainder: Floats
    clusters: Indices

    def degrees_of_freedom(self, gradients: Floats) -> Floats:
        """Satterthwaite's degrees of freedom of some quantities.

        Args:
            gradients: of each quantity with respect to theta, of shape (Q, P).
        """
        parts = self.influence @ gradients.T  # (n, Q)
        if len(np.unique(self.clusters)) == len(self.clusters):
            squares = parts.T**2
            total = np.einsum("qn,qn->q", squares @ self.remainder**2, squares)
            trace = squares @ np.diagonal(self.remainder)
        else:
            members = (self.clusters[:, None] == np.unique(self.clusters)).astype(float)
            cluster_sums = [
                members.T @ (part[:, None] * self.remainder * part) @ members for part in parts.T
            ]
            total = np.array([(matrix**2).sum() for matrix in cluster_sums])
            trace = np.array([np.trace(matrix) for matrix in cluster_sums])
        is_varying = total > 0  # else a constant, which has no error to know
        degrees = np.where(is_varying, trace**2 / np.where(is_varying, total, 1.0), np.inf)
        return np.asarray(np.maximum(degrees, 1.0))

    def interval(
        self, estimates: Floats, resampled: Floats, gradients: Floats, level: float
    ) -> tuple[Floats, Floats]:
        """Return the ends of intervals, each of shape (Q,).

        Args:
            estimates: of the quantities, of shape (Q,).
            resampled: the same from ``draws``, of shape (R, Q).
            gradients: with respect to theta, of shape (Q, P).
            level: share of intervals that should hold the truth, as 0.95.
        """
        return self.student(estimates, resampled, gradients).interval(level)

    def student(self, estimates: Floats, resampled: Floats, gradients: Floats) -> StudentT:
        """Return what is known of some quantities; the arguments are those of ``interval``."""
        degrees = self.degrees_of_freedom(gradients)
        return StudentT(estimates, resampled.std(axis=0), degrees)


def resample(
    model: Model,
    observations: Observations,
    theta: Floats,
    *,
    bounds: tuple[Floats, Floats],
    loss: str,
    clusters: Indices,
    n_resamples: int,
    seed: int,
) -> Uncertainty:
    """Fit a law to resamples of the runs that it was fitted to.

    Args:
        model: the law at the runs' cells.
        observations: the runs, one problem.
        theta: the fit, of shape (P,).
        bounds: least and greatest theta.
        loss: as in the fit.
        clusters: runs that err together, of shape (n,).
        n_resamples: R.
        seed: of the random signs.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.resampling import resample
        >>> fit = example_fit().best
        >>> uncertainty = resample(
        ...     fit.sized_form.model(fit.run_table.cell_size, fit.run_table.cell_b),
        ...     fit.observations,
        ...     fit.theta,
        ...     bounds=(fit.sized_form.lower, fit.sized_form.upper),
        ...     loss="huber",
        ...     clusters=fit.run_table.clusters("run"),
        ...     n_resamples=100,
        ...     seed=0,
        ... )
        >>> uncertainty.draws.shape
        (100, 3)
    """
    expected, jacobian = model(theta[None])
    z = ((observations.values - expected[:, observations.cells]) / observations.scale)[0]
    root = np.sqrt(curvature_parts(z, loss))[:, None]
    rows = jacobian[0][observations.cells] / observations.scale[:, None] * root
    inverse = np.linalg.pinv(rows.T @ rows)
    remainder = np.eye(len(z)) - rows @ inverse @ rows.T
    enlarged_fit = _enlarge(remainder, z, clusters)
    generator = np.random.default_rng(seed)
    n_clusters = int(clusters.max()) + 1
    values = np.array([-1.0, 1.0]) if n_clusters >= FEW_CLUSTERS else _WEBB
    signs = generator.choice(values, size=(n_resamples, n_clusters))[:, clusters]
    resampled_runs = Observations(
        expected[:, observations.cells] + signs * enlarged_fit.residuals * observations.scale,
        observations.weights,
        observations.scale,
        observations.cells,
    )
    start = np.repeat(theta[None], n_resamples, axis=0)
    draws = solve(model, resampled_runs, start, *bounds, loss=loss, tolerance=1e-6).theta
    return Uncertainty(theta, draws, rows @ inverse, enlarged_fit.remainder, clusters)


@dataclass(frozen=True)
class _Enlarged:
    residuals: Floats
    remainder: Floats


def _enlarge(remainder: Floats, z: Floats, clusters: Indices) -> _Enlarged:
    """Undo, cluster by cluster, what the fit took out of the residuals."""
    residuals, enlarged_remainder = z.copy(), remainder.copy()
    for cluster in range(int(clusters.max()) + 1):
        members = np.flatnonzero(clusters == cluster)
        values, vectors = np.linalg.eigh(remainder[np.ix_(members, members)])
        # a direction that the fit follows wholly has no residual to enlarge
        factor = (vectors * np.maximum(values, 1e-3) ** -0.5) @ vectors.T
        residuals[members] = factor @ residuals[members]
        enlarged_remainder[members] = factor @ enlarged_remainder[members]
        enlarged_remainder[:, members] = enlarged_remainder[:, members] @ factor
    return _Enlarged(residuals, enlarged_remainder)
