"""What the measures of the hypotheses share: the sizes that compare, and equal FLOPs of training.

Equal FLOPs means linear interpolation, in the logarithm of the FLOPs of the whole training, between
the cells of the other kind; where they end within a quarter of what is wanted, their end.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from analysis.claims.by_seed import BySeed, less, mean_of, scaled
from analysis.claims.cells import Cells

_TOLERANCE = math.log(1.25)

OfCell = Callable[[str, int], BySeed]


def with_several(cells: Cells, setting: str) -> Cells:
    """Return the sizes whose looped trainings take several values of a setting; all if none do."""
    values: dict[str, set[object]] = {}
    for config in (run.config for run in cells.runs):
        if config.b > 1:
            values.setdefault(config.size, set()).add(getattr(config, setting))
    sizes = {size for size, values_of_size in values.items() if len(values_of_size) > 1}
    return cells.where(lambda run: run.config.size in sizes) if sizes else cells


def mean_lost(cells: Cells, other_cells: Cells) -> BySeed:
    """Average what the largest size loses over the b that it has in both; over its own if none."""
    size = cells.largest
    bs = [b for b in cells.beyond(size) if b in other_cells.bs(size)]
    return mean_of([cells.bits_lost(size, b) for b in bs or cells.beyond(size)])


def of_steps(cells: Cells, steps: int) -> Cells:
    """Return the trainings of one length."""
    return cells.where(lambda run: run.config.steps == steps)


def lengths_of(cells: Cells) -> list[int]:
    """Return the lengths of training of the largest size."""
    return sorted({run.config.steps for run in cells.runs if run.config.size == cells.largest})


def flops_of(cells: Cells, size: str, b: int) -> float:
    """Return the FLOPs that training a cell took."""
    config = next(iter(cells.of_cell(size, b).values())).config
    return float(config.steps * config.step_flops)


def at_flops(cells: Cells, size: str, bs: Sequence[int], number: OfCell, flops: float) -> BySeed:
    """Interpolate a number of a size's cells to some FLOPs of training; empty where they end."""
    bs_by_flops = sorted((flops_of(cells, size, b), b) for b in bs)
    for (low, b), (high, next_b) in pairwise(bs_by_flops):
        if low <= flops <= high:
            share = math.log(flops / low) / math.log(high / low)
            return less(scaled(number(size, b), 1 - share), scaled(number(size, next_b), -share))
    distance, b = min((abs(math.log(flops / cost)), b) for cost, b in bs_by_flops)
    return number(size, b) if distance <= _TOLERANCE else {}
