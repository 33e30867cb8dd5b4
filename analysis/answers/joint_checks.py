"""Whether the joint law holds, and what its parameters hang on: lack of fit, sizes left out.

Sizes differ in more than their weights, so each may lie off the law by something of its own, which
all its runs share. More seeds do not show that; other sizes do. So intervals come from leaving
out one size at a time (the jackknife over sizes), with Student's t at one degree of freedom less
than there are sizes. ``docs/scaling-law.md`` holds what they cover in simulation.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import fdtrc, stdtrit

from analysis.answers.joint_form import JointForm
from analysis.answers.joint_runs import Booleans, JointRuns
from analysis.scaling.run_table import Floats, Indices
from analysis.scaling.solving import resampling
from analysis.scaling.solving.solver import Observations, solve

FEW_SIZES = 5
"""With so many sizes or fewer pairs are fitted too, and each fit is searched for from afar."""

MANY_PARTS = FEW_SIZES * (FEW_SIZES - 1) // 2
"""As many as there are pairs of few sizes; more begin at the fit of all alone."""

_SIMULATIONS = 10_000
_NEGLIGIBLE = 1e-9


def lack_of_fit(form: JointForm, runs: JointRuns) -> tuple[float, float]:
    """Test the cells' means about the law against the runs about their means.

    Returns:
        Chance of means as far off if the law holds: with each size's own scatter, and with one
        scatter for all sizes (the classical F test). NaN without runs to spare; each size must
        have some for the first.
    """
    counts, sizes = runs.counts, runs.size[runs.firsts]
    squares = np.bincount(runs.size, (runs.values - runs.cell_means[runs.cells]) ** 2)
    spare = np.bincount(runs.size) - np.bincount(sizes)
    if not spare.sum() or not squares.sum():
        return math.nan, math.nan
    misfit, slopes = _misfit(form, runs, np.full(len(counts), squares.sum() / spare.sum()))
    n_lacking = len(counts) - slopes.shape[1]
    if n_lacking < 1:
        return math.nan, math.nan
    alike = float(fdtrc(n_lacking, spare.sum(), misfit / n_lacking))
    if not (spare.all() and squares.all()):
        return math.nan, alike
    variances = squares / spare
    misfit, slopes = _misfit(form, runs, variances[sizes])
    return _chance_of(misfit, slopes, counts, variances, spare, sizes), alike


def _misfit(form: JointForm, runs: JointRuns, variances: Floats) -> tuple[float, Floats]:
    """Fit by weighted least squares: the cells' sum of squares, and slopes of what moves.

    Args:
        form: the law.
        runs: to fit.
        variances: of a run of each cell, of shape (C,).
    """
    scale, model = np.sqrt(variances)[runs.cells], form.model
    observations = Observations(runs.values[None], np.ones((1, len(scale))), scale, runs.cells)
    solution = solve(model, observations, form.starts, *form.bounds, loss="squared", max_steps=300)
    theta = solution.theta[[int(np.argmin(solution.loss))]]
    expected, slopes = model(theta)
    squares = runs.counts * (runs.cell_means - expected[0]) ** 2 / variances
    return float(squares.sum()), slopes[0][:, ~form.is_at_bound(theta[0])]


def _chance_of(
    misfit: float,
    slopes: Floats,
    counts: Indices,
    variances: Floats,
    spare: Indices,
    sizes: Indices,
) -> float:
    """Say how often a law that holds, in its linear approximation, is missed by as much.

    Each size's variance is itself known from few runs, so that the F distribution calls a tenth
    of such laws wrong at the 5 % level; simulated studies, each with variances estimated anew,
    call as many as they should (Krishnamoorthy, Lu, Mathew 2007, doi:10.1016/j.csda.2006.09.039).
    """
    generator = np.random.default_rng(0)
    estimated = variances * generator.chisquare(spare, (_SIMULATIONS, len(spare))) / spare
    weights = counts / estimated[:, sizes]  # (R, C)
    noise = generator.normal(size=weights.shape) * np.sqrt(variances[sizes] / counts)
    slopes = slopes / np.maximum(np.linalg.norm(slopes, axis=0), 1e-300)
    curvature = np.einsum("rc,cp,cq->rpq", weights, slopes, slopes, optimize=True)
    ridge = _NEGLIGIBLE * np.einsum("rpp->r", curvature)[:, None, None] * np.eye(slopes.shape[1])
    pull = (weights * noise) @ slopes
    steps = np.linalg.solve(curvature + ridge, pull[:, :, None])[:, :, 0]
    simulated = (weights * (noise - steps @ slopes.T) ** 2).sum(axis=1)
    return float((1 + (simulated >= misfit).sum()) / (1 + _SIMULATIONS))


def without_sizes(
    form: JointForm, runs: JointRuns, observations: Observations, theta: Floats, loss: str
) -> Floats | None:
    """Fit the law without each size in turn.

    Returns:
        Of shape (sizes, P); None where what is left is too little for a law.
    """
    masks = runs.size != np.arange(len(runs.sizes))[:, None]
    if any(runs.shortage(mask) for mask in masks):
        return None
    return refit(form, observations, theta, masks, loss)


def spread_over_sizes(theta: Floats, thetas_without: Floats) -> Floats:
    """Half the width of 95 % intervals by the jackknife over sizes, of shape (P,).

    Args:
        theta: the fit, of shape (P,).
        thetas_without: from ``without_sizes``.

    Example:
        >>> import numpy as np
        >>> from analysis.answers.joint_checks import spread_over_sizes
        >>> spread_over_sizes(np.array([1.0]), np.array([[0.9], [1.0], [1.1]])).round(3)
        array([0.497])
    """
    n_sizes = len(thetas_without)
    variances = ((thetas_without - theta) ** 2).sum(axis=0) * (n_sizes - 1) / n_sizes
    return np.asarray(stdtrit(n_sizes - 1, 0.975) * np.sqrt(variances))


def spread_between_sizes(uncertainty: resampling.Uncertainty, n_sizes: int) -> Floats:
    """The same where no size can be left out, from resamples with sizes as clusters.

    With two sizes leaving one out leaves no law. The wild bootstrap stands in for it, with
    degrees of freedom no more than one less than there are sizes.
    """
    degrees = uncertainty.degrees_of_freedom(np.eye(len(uncertainty.theta)))
    quantile = stdtrit(np.minimum(degrees, n_sizes - 1), 0.975)
    return np.asarray(quantile * uncertainty.draws.std(axis=0))


def phi_by_sizes(
    form: JointForm,
    runs: JointRuns,
    observations: Observations,
    theta: Floats,
    loss: str,
    thetas_without: Floats | None,
) -> pd.DataFrame:
    """Fit phi to parts of the sizes: without each and, of ``FEW_SIZES`` or fewer, to all pairs.

    Returns:
        ``left_out`` (empty for a pair), ``sizes`` (those fitted), ``phi``, ``at_bound``.
    """
    if not form.with_loops:
        return pd.DataFrame(columns=["left_out", "sizes", "phi", "at_bound"])
    n_sizes, phi = len(runs.sizes), form.names.index("phi")
    parts: list[tuple[str, Sequence[int], Floats]] = []
    for index, row in enumerate(() if thetas_without is None else thetas_without):
        other_sizes = [size for size in range(n_sizes) if size != index]
        parts.append((runs.sizes[index], other_sizes, row))
    pairs: list[tuple[int, int]] = []
    if 3 < n_sizes <= FEW_SIZES:  # with three sizes the pairs are what is left without the third
        pairs = [
            pair
            for pair in itertools.combinations(range(n_sizes), 2)
            if not runs.shortage(np.isin(runs.size, pair))
        ]
    if pairs:
        masks = np.array([np.isin(runs.size, pair) for pair in pairs])
        thetas = refit(form, observations, theta, masks, loss)
        parts += [("", pair, row) for pair, row in zip(pairs, thetas, strict=True)]
    rows = [
        {
            "left_out": left_out,
            "sizes": ", ".join(runs.sizes[size] for size in sizes),
            "phi": float(row[phi]),
            "at_bound": bool(form.is_at_bound(row)[phi]),
        }
        for left_out, sizes, row in parts
    ]
    return pd.DataFrame(rows, columns=["left_out", "sizes", "phi", "at_bound"])


def refit(
    form: JointForm, observations: Observations, theta: Floats, masks: Booleans, loss: str
) -> Floats:
    """Fit the law to parts of the runs, of shape (parts, n); returns theta of (parts, P)."""
    starts = np.r_[theta[None], form.starts] if len(masks) <= MANY_PARTS else theta[None]
    parts = Observations(
        observations.values,
        np.repeat(masks.astype(float), len(starts), axis=0),
        observations.scale,
        observations.cells,
    )
    beginnings = np.tile(starts, (len(masks), 1))
    solution = solve(form.model, parts, beginnings, *form.bounds, loss=loss, max_steps=300)
    losses = solution.loss.reshape(len(masks), len(starts))
    best = np.arange(len(masks)) * len(starts) + losses.argmin(axis=1)
    return np.asarray(solution.theta[best])
