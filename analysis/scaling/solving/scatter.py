"""How runs scatter about a law, and what else errs beside its mean: prompts, an E_M given."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import fdtrc

from analysis.scaling.run_table import RunTable
from analysis.scaling.solving.blocks import Floats
from analysis.scaling.solving.scales import SHARED_RUNS

KINDS = ("mean", "new_run")
"""What an interval is for: the mean over seeds, or what one new training would measure."""


_SHUFFLES = 500


def lack_of_fit(run_table: RunTable, fitted: Floats, scale: Floats, n_parameters: int) -> float:
    """Test the cells' means about the law against the runs about their means.

    Args:
        run_table: the runs.
        fitted: what the law says of each, in bits, of shape (n,).
        scale: standard deviation of each, of shape (n,).
        n_parameters: of the law.

    Returns:
        The chance of means as far off if the law holds; NaN without runs to spare.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.solving.scatter import lack_of_fit
        >>> run_table = read_run_table(example_runs())
        >>> round(lack_of_fit(run_table, run_table.values - 0.5, np.ones(16), 3), 6)
        0.0
    """
    means = run_table.cell_means()[run_table.cells]
    spare = len(run_table.cell_b) - n_parameters
    n_pure = len(run_table.values) - len(run_table.cell_b)
    if spare < 1 or n_pure < 1:
        return math.nan
    misfit = (((means - fitted) / scale) ** 2).sum() / spare
    noise = (((run_table.values - means) / scale) ** 2).sum() / n_pure
    return float(fdtrc(spare, n_pure, misfit / noise)) if noise > 0 else math.nan


def seed_correlation(run_table: RunTable, z: Floats) -> tuple[float, float]:
    """Say how alike the runs of one size and seed err at different b, and the chance of it.

    Args:
        run_table: the runs.
        z: standardised residuals, of shape (n,).

    Returns:
        The mean correlation of two such runs; and how often it is as high when the seeds of each
        cell are shuffled. NaN where no seed has runs at two b.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.solving.scatter import seed_correlation
        >>> run_table = read_run_table(example_runs())
        >>> seed_correlation(run_table, np.where(run_table.rows["seed"] == 1, 1.0, -1.0))
        (1.0, 0.022)
    """
    groups = run_table.clusters("seed")
    counts = np.bincount(groups)
    pairs = (counts * (counts - 1)).sum()
    if pairs == 0 or not z.any():
        return math.nan, math.nan
    keys = np.random.default_rng(0).random((_SHUFFLES, len(z)))
    keys[0] = np.arange(len(z)) / len(z)  # the first is as it was
    shuffled_z = z[np.argsort(run_table.cells + keys, axis=1)]
    sums = np.array([np.bincount(groups, row) for row in shuffled_z])
    correlations = ((sums**2).sum(axis=1) - (z**2).sum()) / pairs / (z**2).mean()
    return float(correlations[0]), float((correlations >= correlations[0] - 1e-12).mean())


def run_variances(
    run_table: RunTable, residuals: Floats, n_parameters: int, likeness: float
) -> tuple[Floats, Floats]:
    """Estimate how a single run varies about the law, for each size and for one never trained.

    A size's own estimate is drawn towards that of all runs as its scale is: see ``seed_scales``.

    Args:
        run_table: the runs.
        residuals: about the law in bits, with what the fit took out of them undone, (n,).
        n_parameters: of the law.
        likeness: correlation of a size's runs of one seed; they count for fewer.

    Returns:
        Variances in square bits and their degrees of freedom, of shape (sizes + 1,).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.solving.scatter import run_variances
        >>> variances, degrees = run_variances(
        ...     read_run_table(example_runs()), np.full(16, 0.05), n_parameters=3, likeness=0.0
        ... )
        >>> variances.round(4), degrees.round(1)
        (array([0.0025, 0.0025, 0.0025]), array([12.5, 12.5, 13. ]))
    """
    n_runs = len(residuals)
    n_of_size = np.bincount(run_table.size)
    of_all = float((residuals**2).mean())
    of_size = np.bincount(run_table.size, residuals**2) / n_of_size
    per_seed = n_runs / (run_table.clusters("seed").max() + 1)
    worth = 1 / (1 + (per_seed - 1) * likeness**2)  # of a run, where some err alike
    spare = max(n_runs - n_parameters, 1) * worth
    own_spare = spare * n_of_size / n_runs
    variances = (own_spare * of_size + SHARED_RUNS * of_all) / (own_spare + SHARED_RUNS)
    degrees = np.minimum(own_spare + SHARED_RUNS, spare)
    return np.r_[variances, of_all], np.maximum(np.r_[degrees, spare], 1.0)


def prompt_errors(run_table: RunTable, size: npt.NDArray[np.intp] | None, b: Floats) -> Floats:
    """Return the standard error over held-out prompts, in bits, for some sizes and b.

    All runs are judged on the same prompts, so this error is common to them: it is no part of
    how runs differ, and no number of seeds averages it out. Between the trained b it goes
    straight in log b, and is the nearest one's beyond.

    Args:
        run_table: the runs with their errors, 0 where these are unknown.
        size: index of each size, of shape (Q,); None for one that was never trained.
        b: loops, of shape (Q,).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.solving.scatter import prompt_errors
        >>> runs = example_runs().assign(standard_error=[0.02, 0.02, 0.04, 0.04] * 4)
        >>> prompt_errors(read_run_table(runs), np.array([0, 0]), np.array([2.0, 100.0]))
        array([0.04, 0.04])
    """
    errors = pd.DataFrame({"size": run_table.size, "b": run_table.b, "error": run_table.errors})
    if size is None:
        errors, size = errors.assign(size=0), np.zeros(len(b), dtype=np.intp)
    means = errors.groupby(["size", "b"])["error"].mean()
    found_errors = np.zeros(len(b))
    for index in np.unique(size):
        of_size = means.loc[index]
        is_of_size = size == index
        found_errors[is_of_size] = np.interp(
            np.log(b[is_of_size]), np.log(of_size.index.to_numpy(float)), of_size.to_numpy()
        )
    return found_errors


def combine(variances: Floats, degrees: Floats) -> tuple[Floats, Floats]:
    """Add independent variances, each known to so many degrees of freedom (Satterthwaite).

    Args:
        variances: of each part, of shape (parts, Q).
        degrees: of freedom, of the same shape; infinite where a variance is known.

    Returns:
        Standard deviations and their degrees of freedom, of shape (Q,).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.scatter import combine
        >>> combine(np.array([[1.0], [1.0]]), np.array([[4.0], [np.inf]]))
        (array([1.41421356]), array([16.]))
    """
    total = variances.sum(axis=0)
    weight = (variances**2 / degrees).sum(axis=0)
    is_known = weight <= 0
    return np.sqrt(total), np.where(is_known, np.inf, total**2 / np.where(is_known, 1.0, weight))


def holding(
    ends: tuple[Floats, Floats], inner_ends: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Return an interval that holds another, to which it adds an error.

    An error known to more degrees of freedom than the first gives their sum more of them, and of
    one or two seeds so many that Student's t falls by more than the error adds.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.scatter import holding
        >>> holding((np.array([0.0]), np.array([3.0])), (np.array([-1.0]), np.array([2.0])))
        (array([-1.]), array([3.]))
    """
    return np.minimum(ends[0], inner_ends[0]), np.maximum(ends[1], inner_ends[1])
