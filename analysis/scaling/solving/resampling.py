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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.scaling.run_table import Indices
from analysis.scaling.solving.blocks import Layout, layout_of
from analysis.scaling.solving.mixture import StudentT
from analysis.scaling.solving.solver import Floats, Model, Observations, curvature_parts, solve

FEW_CLUSTERS = 20
_WEBB = np.array([-(1.5**0.5), -1, -(0.5**0.5), 0.5**0.5, 1, 1.5**0.5])
"""Six values of mean 0 and variance 1: few clusters have too few combinations of signs."""

_LEAST_SHARE = 1e-12
"""Of the curvature along a parameter: a direction with less of it is taken to have none."""

_LEAST_LEFT = 1e-3
"""Of a residual's square: where the fit takes more out, it follows the runs wholly."""

_BATCH = 2_000_000
"""Numbers that are held at once for the degrees of freedom of many quantities."""


@dataclass(frozen=True)
class Uncertainty:
    """What resamples say about a fit's P parameters and about any function of them.

    Attributes:
        theta: the fit, of shape (P,).
        draws: the fit of each resample, of shape (R, P).
        projection: what the fit takes out of the residuals.
    """

    theta: Floats
    draws: Floats
    projection: "Projection"

    def degrees_of_freedom(self, gradients: Floats) -> Floats:
        """Satterthwaite's degrees of freedom of some quantities.

        Args:
            gradients: of each quantity with respect to theta, of shape (Q, P).
        """
        return self.projection.degrees_of_freedom(gradients)

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
        >>> from analysis.scaling.solving.resampling import resample
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
    expected, slopes = model(theta[None])
    z = ((observations.values - expected[:, observations.cells]) / observations.scale)[0]
    root = np.sqrt(curvature_parts(z, loss))[:, None]
    rows = slopes[0][observations.cells] / observations.scale[:, None] * root
    layout = layout_of(model, *slopes.shape[1:]).of_runs(observations.cells)
    projection = Projection.of(rows, layout, clusters)
    residuals = projection.enlarge(z[:, None])[:, 0]
    generator = np.random.default_rng(seed)
    n_clusters = int(clusters.max()) + 1
    values = np.array([-1.0, 1.0]) if n_clusters >= FEW_CLUSTERS else _WEBB
    signs = generator.choice(values, size=(n_resamples, n_clusters))[:, clusters]
    resampled_runs = Observations(
        expected[:, observations.cells] + signs * residuals * observations.scale,
        observations.weights,
        observations.scale,
        observations.cells,
    )
    start = np.repeat(theta[None], n_resamples, axis=0)
    draws = solve(model, resampled_runs, start, *bounds, loss=loss, tolerance=1e-6).theta
    return Uncertainty(theta, draws, projection)


@dataclass(frozen=True)
class Projection:
    """What a fit takes out of the residuals of n runs, in coordinates in which it is simple.

    In the parameters' own coordinates the hat matrix is J (J'J)^-1 J'. Here a block's own
    parameters are turned and scaled so that J'J is the identity among them; the shared ones have
    what the blocks' own can do in their place taken out, and are scaled likewise. Then the hat
    matrix is the inner product of two runs' ``rows``, over the shared part, and over the own part
    where they are of one block; no n x n matrix is needed, nor a P x P one.

    Attributes:
        layout: of the runs.
        rows: each run's derivatives in these coordinates, of shape (n, K).
        own_root: from the blocks' own parameters to these coordinates, (blocks, n_own, n_own).
        stand_in: what a block's own do in place of the shared ones, (blocks, n_own, K - n_own).
        shared_root: from what is left of the shared ones, (K - n_own, K - n_own).
        groups: clusters of one number of members each: which runs, (G, m), and what undoes what
            the fit took out of their residuals, (G, m, m).
    """

    layout: Layout
    rows: Floats
    own_root: Floats
    stand_in: Floats
    shared_root: Floats
    groups: tuple[tuple[Indices, Floats], ...]

    @classmethod
    def of(cls, rows: Floats, layout: Layout, clusters: Indices) -> "Projection":
        """Take the coordinates from weighted derivatives.

        Args:
            rows: each run's, of shape (n, K).
            layout: of the runs.
            clusters: runs that err together, of shape (n,).
        """
        blocks_of_clusters = np.unique(np.stack([clusters, layout.blocks]), axis=1)[0]
        if len(blocks_of_clusters) > len(np.unique(clusters)):  # some cluster is of two blocks
            rows = layout.dense(rows[None])[0]
            layout = Layout.of_shared(len(rows), layout.n_parameters)
        n_own, block = layout.n_own, layout.block_indices
        products = layout.by_block((rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1).T)
        curvature = products.T.reshape(-1, rows.shape[1], rows.shape[1])
        own_root = _inverse_root(curvature[:, :n_own, :n_own])
        between, whole = curvature[:, :n_own, n_own:], curvature[:, n_own:, n_own:].sum(axis=0)
        stand_in = own_root @ own_root.transpose(0, 2, 1) @ between
        what_is_left = whole - np.einsum("sij,sik->jk", between, stand_in)
        shared_root = _inverse_root(what_is_left[None], np.diagonal(whole)[None])[0]
        own_rows = np.einsum("ni,nij->nj", rows[:, :n_own], own_root[block])
        shared_rows = rows[:, n_own:] - np.einsum("ni,nij->nj", rows[:, :n_own], stand_in[block])
        rows = np.concatenate([own_rows, shared_rows @ shared_root], axis=1)
        return cls(layout, rows, own_root, stand_in, shared_root, tuple(_groups(rows, clusters)))

    def enlarge(self, values: Floats) -> Floats:
        """Undo, cluster by cluster, what the fit took out of residuals, of shape (n, any)."""
        enlarged_values = np.empty_like(values)
        for members, factors in self.groups:
            enlarged_values[members] = factors @ values[members]
        return enlarged_values

    def degrees_of_freedom(self, gradients: Floats) -> Floats:
        """Satterthwaite's degrees of freedom of quantities with these gradients, (Q, P)."""
        by_own = gradients[:, self.layout.block_columns]  # (Q, blocks, n_own)
        by_shared = gradients[:, self.layout.shared_columns] - np.einsum(
            "qsi,sij->qj", by_own, self.stand_in
        )
        by_own = np.einsum("qsi,sij->qsj", by_own, self.own_root)
        by_shared = by_shared @ self.shared_root
        size = max(1, _BATCH // self.rows.size)
        batches = [slice(first, first + size) for first in range(0, len(gradients), size)]
        degrees = [self._degrees(by_own[batch], by_shared[batch]) for batch in batches]
        return np.concatenate(degrees) if degrees else np.empty(0)

    def _degrees(self, by_own: Floats, by_shared: Floats) -> Floats:
        """The same from gradients in these coordinates: (Q, blocks, n_own), (Q, K - n_own).

        A quantity's estimated variance is a sum of squares whose matrix is D - V V' over the
        clusters, D diagonal, V (clusters, coordinates): its trace squared over its square's.
        """
        n_own, block = self.layout.n_own, self.layout.block_indices
        parts = by_shared @ self.rows[:, n_own:].T  # (Q, n)
        for index in range(n_own):
            parts += by_own[:, block, index] * self.rows[:, index]
        parts = self.enlarge(parts.T)  # (n, Q)
        n_quantities, n_blocks, n_shared = len(by_own), len(self.own_root), by_shared.shape[1]
        trace, total = np.zeros(n_quantities), np.zeros(n_quantities)
        own_squares = np.zeros((n_blocks, n_quantities, n_own, n_own))
        mixed_squares = np.zeros((n_blocks, n_quantities, n_own, n_shared))
        shared_squares = np.zeros((n_quantities, n_shared, n_shared))
        for members, _ in self.groups:
            diagonal = (parts[members] ** 2).sum(axis=1)  # (G, Q)
            # (G, Q, K): what the clusters do to the coordinates
            vectors = parts[members].transpose(0, 2, 1) @ self.rows[members]
            lengths = (vectors**2).sum(axis=2)
            trace += (diagonal - lengths).sum(axis=0)
            total += (diagonal**2 - 2 * diagonal * lengths).sum(axis=0)
            in_own, in_shared = vectors[:, :, :n_own], vectors[:, :, n_own:]
            shared_squares += np.einsum("gqi,gqj->qij", in_shared, in_shared, optimize=True)
            blocks = block[members[:, 0]]
            np.add.at(own_squares, blocks, in_own[..., :, None] * in_own[..., None, :])
            np.add.at(mixed_squares, blocks, in_own[..., :, None] * in_shared[..., None, :])
        total += (own_squares**2).sum(axis=(0, 2, 3)) + 2 * (mixed_squares**2).sum(axis=(0, 2, 3))
        total += (shared_squares**2).sum(axis=(1, 2))
        is_varying = total > 0  # else a constant, which has no error to know
        degrees = np.where(is_varying, trace**2 / np.where(is_varying, total, 1.0), np.inf)
        return np.asarray(np.maximum(degrees, 1.0))


def _inverse_root(matrices: Floats, whole: Floats | None = None) -> Floats:
    """Return the inverse square root of symmetric matrices, (S, k, k), 0 where they are singular.

    Args:
        matrices: positive semi-definite.
        whole: diagonals to judge by, of shape (S, k); the matrices' own if left out.
    """
    diagonal = np.einsum("sii->si", matrices) if whole is None else whole
    unit = np.where(diagonal > 0, diagonal, 1.0) ** -0.5
    scaled = matrices * unit[:, :, None] * unit[:, None, :]
    values, vectors = np.linalg.eigh(scaled)
    roots = np.where(values > _LEAST_SHARE, np.maximum(values, _LEAST_SHARE) ** -0.5, 0.0)
    return np.asarray(unit[:, :, None] * vectors * roots[:, None, :])


def _groups(rows: Floats, clusters: Indices) -> Iterator[tuple[Indices, Floats]]:
    """Gather clusters by their number of members, with (1 - H)^-1/2 of each."""
    counts = np.bincount(clusters)
    order = np.argsort(clusters, kind="stable")
    firsts = np.cumsum(counts) - counts
    for count in np.unique(counts[counts > 0]):
        members = order[firsts[counts == count][:, None] + np.arange(count)]
        left = np.eye(count) - rows[members] @ rows[members].transpose(0, 2, 1)
        values, vectors = np.linalg.eigh(left)
        # a direction that the fit follows wholly has no residual to enlarge
        roots = np.maximum(values, _LEAST_LEFT) ** -0.5
        yield members, (vectors * roots[:, None, :]) @ vectors.transpose(0, 2, 1)
