"""How runs scatter about their cell's mean: the scale that their errors are weighed by."""

import numpy as np

from analysis.scaling.run_table import Floats, Indices, RunTable

SHARED_RUNS = 6
"""As many runs the common scale counts for beside those of a size."""

LEAST_SCALE = 1e-3
"""In bits: no measurement of expressivity is better."""


def seed_scales(run_table: RunTable) -> Floats | None:
    """Standard deviation of a run about its cell, in bits, of shape (sizes,); None without pairs.

    Example:
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.solving.scales import seed_scales
        >>> seed_scales(read_run_table(example_runs())).round(3)  # one per size
        array([0.105, 0.105])
    """
    return scales_by_size(run_table.values, run_table.cells, run_table.size)


def scales_by_size(values: Floats, cells: Indices, size: Indices) -> Floats | None:
    """Standard deviation of a run about its cell, in bits, of shape (sizes,).

    From the median difference of two runs of a cell, so that a few outliers do not widen it;
    at least a thousandth of a bit. It holds what seeds do and prompts' noise. A size's own
    estimate is drawn towards that of all sizes, which counts as ``SHARED_RUNS`` further runs.

    Args:
        values: of the runs, of shape (n,).
        cells: cell of each, of shape (n,).
        size: index of each run's size, every one from 0 on occurring, of shape (n,).

    Returns:
        None where no cell has two runs.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.scales import scales_by_size
        >>> values, cells = np.array([1.0, 1.2, 2.0, 2.2]), np.array([0, 0, 1, 1])
        >>> scales_by_size(values, cells, size=cells).round(3)
        array([0.21, 0.21])
    """
    scale_of_all = pair_scale(values, cells)
    if scale_of_all is None:
        return None
    scales = []
    for index in range(int(size.max()) + 1):
        is_of_size = size == index
        scale_of_size = pair_scale(values[is_of_size], cells[is_of_size])
        n_spare = is_of_size.sum() - len(np.unique(cells[is_of_size]))
        squares = n_spare * (scale_of_size or 0.0) ** 2 + SHARED_RUNS * scale_of_all**2
        scales.append(np.sqrt(squares / (n_spare + SHARED_RUNS)))
    return np.array(scales)


def run_scales(run_table: RunTable) -> Floats | None:
    """Standard deviation that each run is weighed by, of shape (n,); None without any pair.

    Example:
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.solving.scales import run_scales
        >>> run_scales(read_run_table(example_runs())).shape
        (16,)
    """
    scales = seed_scales(run_table)
    return None if scales is None else np.maximum(scales[run_table.size], run_table.errors)


def pair_scale(values: Floats, cells: Indices) -> float | None:
    """Standard deviation of values about their cell's mean, from the median difference of two.

    At least ``LEAST_SCALE``; None where no cell has two values.

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.scales import pair_scale
        >>> pair_scale(np.array([1.0, 1.2]), np.array([0, 1])) is None
        True
        >>> round(pair_scale(np.array([1.0, 1.2]), np.array([0, 0])), 3)
        0.21
    """
    differences = [np.empty(0)]
    for cell in np.unique(cells):
        cell_values = values[cells == cell]
        first, second = np.triu_indices(len(cell_values), 1)
        differences.append(np.abs(cell_values[first] - cell_values[second]))
    pairs = np.concatenate(differences)
    if not len(pairs):
        return None
    # a difference of two has sqrt(2) times the deviation; 0.6745 is a Gaussian's median size
    return max(float(np.median(pairs)) / 2**0.5 / 0.6745, LEAST_SCALE)
