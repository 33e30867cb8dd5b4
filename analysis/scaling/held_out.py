"""What a law says of cells that it was not fitted to, beside what one would guess without it."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.scaling.form.fitted_form import aicc
from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.form.shapes import Floats
from analysis.scaling.run_table import Indices, RunTable
from analysis.scaling.solving.solver import curvature_parts, solve

KEYS = ("left_out", "size", "b")


@dataclass(frozen=True)
class Fold:
    """Cells that are left out together.

    Attributes:
        left_out: ``b``, one b of all sizes; or ``size``, all b beyond 1 of one size.
        cells: their indices.
    """

    left_out: str
    cells: Indices


def folds_of(run_table: RunTable) -> list[Fold]:
    """List what is left out in turn: each b beyond 1, then each size, whose b = 1 stays.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.held_out import folds_of
        >>> [(fold.left_out, len(fold.cells)) for fold in folds_of(example_fit().run_table)]
        [('b', 2), ('b', 2), ('b', 2), ('size', 3), ('size', 3)]
    """
    folds = [Fold("b", np.flatnonzero(run_table.cell_b == b)) for b in run_table.bs[1:]]
    if len(run_table.sizes) > 1:
        folds += [
            Fold("size", np.flatnonzero((run_table.cell_size == size) & (run_table.cell_b > 1)))
            for size in range(len(run_table.sizes))
        ]
    return [fold for fold in folds if len(fold.cells)]


@dataclass(frozen=True)
class Refits:
    """A form fitted to what each fold leaves.

    Attributes:
        predictions: of all cells, bits, of shape (folds, C); NaN where the form has a parameter of
            the cell's own size that was left out, or where what is left does not tell its
            parameters.
        variances: of those of a b that was left out, by the fit's curvature, in bits squared, of
            shape (folds, C); NaN elsewhere.
        aicc: Akaike's criterion on what was left, of shape (folds,).
    """

    predictions: Floats
    variances: Floats
    aicc: Floats


def refit(fit: FormFit) -> Refits:
    """Fit a form again without each fold, on the scale that all forms share.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.held_out import refit
        >>> refit(example_fit().best).predictions.shape
        (5, 8)
    """
    run_table, sized_form, loss = fit.run_table, fit.sized_form, fit.options["loss"]
    folds = folds_of(run_table)
    weights = np.array([~np.isin(run_table.cells, fold.cells) for fold in folds], dtype=float)
    observations = replace(fit.common_observations, weights=weights)
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    start = np.repeat(fit.theta[None], len(folds), axis=0)
    bounds = (sized_form.lower, sized_form.upper)
    solution = solve(model, observations, start, *bounds, loss=loss)
    predictions, slopes = model(solution.theta)
    z = (observations.values - predictions[:, run_table.cells]) / observations.scale
    by_run = weights * curvature_parts(z, loss) / observations.scale**2
    by_cell, variances = observations.by_cell(by_run), np.full(predictions.shape, np.nan)
    for index, fold in enumerate(folds):
        if fold.left_out == "b":
            rows = model.layout.dense(slopes[index : index + 1])[0]
            inverse = np.linalg.pinv(rows.T @ (by_cell[index, :, None] * rows), hermitian=True)
            left_out = rows[fold.cells]
            variances[index, fold.cells] = ((left_out @ inverse) * left_out).sum(axis=1)
    is_known = np.array([_is_predictable(fit, fold) for fold in folds])
    n_left = weights.sum(axis=1)
    criteria = [
        aicc(float(of_fold), int(n), len(fit.theta) + 1, fit.n_units * n / len(run_table.values))
        for of_fold, n in zip(solution.loss, n_left, strict=True)
    ]
    return Refits(np.where(is_known[:, None], predictions, np.nan), variances, np.array(criteria))


def _is_predictable(fit: FormFit, fold: Fold) -> bool:
    run_table, form = fit.run_table, fit.sized_form.form
    if fold.left_out == "b":
        return len(run_table.bs) - 1 >= form.least_bs
    has_slope = any(parameter.name == "slope" for parameter in form.parameters)
    return form.is_general and (not has_slope or len(run_table.sizes) > 2)


def errors_of(run_table: RunTable, predictions: Floats) -> pd.DataFrame:
    """Tabulate what was predicted of cells left out, beside a guess without a law.

    Args:
        run_table: the runs.
        predictions: of all cells without each fold, of shape (folds, C).

    Returns:
        A row per cell and fold: ``left_out`` (``b`` or ``size``), ``size``, ``b``, ``measured``,
        ``predicted``, ``error``; ``guess`` and ``guess_error``: without one b, of a straight line
        in log b between its neighbours; without a size, of E_M and the mean gain of the others.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.held_out import errors_of, refit
        >>> fit = example_fit()
        >>> errors_of(fit.run_table, refit(fit.best).predictions)["left_out"].unique().tolist()
        ['b', 'size']
    """
    means, rows = run_table.cell_means(), []
    gains = _gains(run_table, means)
    for fold, of_fold in zip(folds_of(run_table), predictions, strict=True):
        for cell in fold.cells:
            guess = (
                _line_between_neighbours(run_table, means, int(cell))
                if fold.left_out == "b"
                else gains[cell]
            )
            rows.append(
                {
                    "left_out": fold.left_out,
                    "size": run_table.sizes[run_table.cell_size[cell]],
                    "b": run_table.cell_b[cell],
                    "measured": means[cell],
                    "predicted": of_fold[cell],
                    "error": of_fold[cell] - means[cell],
                    "guess": guess,
                    "guess_error": guess - means[cell],
                }
            )
    return pd.DataFrame(rows)


def _line_between_neighbours(run_table: RunTable, means: Floats, cell: int) -> float:
    size, b = run_table.cell_size[cell], run_table.cell_b[cell]
    neighbours = np.flatnonzero((run_table.cell_size == size) & (run_table.cell_b != b))
    if len(neighbours) < 2:
        return math.nan
    log_b = np.log2(run_table.cell_b[neighbours])
    # the two about it; beyond the largest b, the last two
    after = min(max(int(np.searchsorted(log_b, np.log2(b))), 1), len(neighbours) - 1)
    first, second = neighbours[after - 1], neighbours[after]
    slope = (means[second] - means[first]) / (log_b[after] - log_b[after - 1])
    return float(means[first] + slope * (np.log2(b) - log_b[after - 1]))


def _gains(run_table: RunTable, means: Floats) -> Floats:
    """Return each cell's E_M with the mean gain of the other sizes at its b, of shape (C,)."""
    ones = np.flatnonzero(run_table.cell_b == 1)
    at_one = np.empty(len(run_table.sizes))
    at_one[run_table.cell_size[ones]] = means[ones]
    gains = means - at_one[run_table.cell_size]
    index = np.searchsorted(run_table.bs, run_table.cell_b)
    counts = np.bincount(index)[index] - 1
    sums = np.bincount(index, gains)[index] - gains
    mean_gains = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return np.asarray(at_one[run_table.cell_size] + mean_gains)


def held_out_errors(fit: FormFit) -> pd.DataFrame:
    """Predict each cell from the other_cells by one form; see ``errors_of`` for the columns.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.held_out import held_out_errors
        >>> table = held_out_errors(example_fit().best)
        >>> table[["left_out", "size", "b", "predicted", "guess"]].round(2).head(2)
          left_out   size    b  predicted  guess
        0        b   tiny  2.0        1.5    1.5
        1        b  small  2.0        2.5    2.5
    """
    return errors_of(fit.run_table, refit(fit).predictions)


def root_mean_squares(run_table: RunTable, predictions: Floats) -> dict[str, float]:
    """Return the root mean square of errors in bits by what was left out; NaN if one is missing.

    Args:
        run_table: the runs.
        predictions: of all cells without each fold, of shape (folds, C).

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.held_out import refit, root_mean_squares
        >>> fit = example_fit()
        >>> roots = root_mean_squares(fit.run_table, refit(fit.best).predictions)
        >>> {kind: round(root, 3) for kind, root in roots.items()}
        {'b': 0.0, 'size': 0.0}
    """
    errors: dict[str, list[Floats]] = {}
    means = run_table.cell_means()
    for fold, of_fold in zip(folds_of(run_table), predictions, strict=True):
        errors.setdefault(fold.left_out, []).append(of_fold[fold.cells] - means[fold.cells])
    return {
        kind: float(np.sqrt((np.concatenate(parts) ** 2).mean())) for kind, parts in errors.items()
    }
