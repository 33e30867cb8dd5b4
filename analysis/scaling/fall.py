"""Whether expressivity falls with b anywhere, by more than seeds explain."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.scaling.run_table import RunTable
from analysis.scaling.solving.scales import seed_scales

CHANCE = 0.05
"""That a table of runs whose law never falls is said to fall somewhere."""

MEDIAN_ERROR = (np.pi / 2) ** 0.5
"""Standard error of a median over that of a mean, of many Gaussian values; of few it is less."""


@dataclass(frozen=True, kw_only=True)
class Fall:
    """A size whose median run is lower at the larger of two b.

    Attributes:
        size: its name.
        b: the smaller one.
        larger_b: the larger one.
        bits: how far the median falls.
        chance: of a fall as clear anywhere in the table if E never fell.
    """

    size: str
    b: float
    larger_b: float
    bits: float
    chance: float

    def __str__(self) -> str:
        return (
            f"E falls with b here: {self.size} has {self.bits:.2f} bits less at b = "
            f"{self.larger_b:g} than at b = {self.b:g} (chance {self.chance:.2g} if it never fell)"
        )


def clearest_fall(run_table: RunTable) -> Fall | None:
    """Find the clearest fall between two b of a size; None where none is clear.

    A t test of each pair of cells of a size, of their medians, which one failed run does not move
    far, with what seeds scatter by in that size. The chance is multiplied by the number of pairs
    (Bonferroni), so that it holds for the table as a whole.

    Example:
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.fall import clearest_fall
        >>> from analysis.scaling.run_table import read_run_table
        >>> runs = example_runs()
        >>> clearest_fall(read_run_table(runs)) is None
        True
        >>> falls_at_8 = runs["expressivity"] - 3.0 * (runs["b"] == 8)
        >>> fall = clearest_fall(read_run_table(runs.assign(expressivity=falls_at_8)))
        >>> round(fall.bits, 2), fall.larger_b
        (2.5, 8.0)
    """
    scales = seed_scales(run_table)
    if scales is None:
        return None
    counts = np.bincount(run_table.cells)
    cells_runs = np.split(run_table.values, counts.cumsum()[:-1])
    medians, lows, highs = (
        np.array([find(runs) for runs in cells_runs]) for find in (np.median, np.min, np.max)
    )
    falls = []
    for size, name in enumerate(run_table.sizes):
        cells = np.flatnonzero(run_table.cell_size == size)  # by rising b
        first, second = (cells[part] for part in np.triu_indices(len(cells), 1))
        error = MEDIAN_ERROR * scales[size] * np.sqrt(1 / counts[first] + 1 / counts[second])
        bits = medians[first] - medians[second]
        # of two runs one that failed moves the median: then the nearest two have to be apart
        are_few = np.minimum(counts[first], counts[second]) < 3
        gaps = np.where(are_few, lows[first] - highs[second], bits)
        chances = stdtr(run_table.n_replicates, -gaps / error)
        falls += [
            (chance, name, run_table.cell_b[i], run_table.cell_b[j], fall)
            for chance, i, j, fall in zip(chances, first, second, bits, strict=True)
        ]
    chance, name, b, larger_b, bits = min(falls)
    chance = min(1.0, chance * len(falls))
    if chance >= CHANCE:
        return None
    return Fall(size=name, b=float(b), larger_b=float(larger_b), bits=float(bits), chance=chance)
