"""The numbers by seed that claims about ways of training come to, in bits; see ``treatments``.

Each is a mean over sizes and b > 1 of differences within a seed, between runs that share all but
the setting asked about. A run counts under every value of it that would have trained it.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from analysis.claims.by_seed import BySeed, Parts, less, mean_of, needs, scaled
from analysis.claims.cells import Cells

OfCells = Callable[[Cells, str, int], BySeed]


def under(cells: Cells, **policy: Any) -> Cells:
    """Return the runs that would be the same training under a policy."""
    return cells.where(lambda run: run.config.follows(policy))


def _change(before: Cells, after: Cells, number: OfCells) -> BySeed:
    return mean_of(
        [
            less(number(after, size, b), number(before, size, b))
            for size in after.sizes
            for b in after.bs(size)
            if b > 1
        ]
    )


def _bits(cells: Cells, size: str, b: int) -> BySeed:
    return cells.bits(size, b)


def _lost(cells: Cells, size: str, b: int) -> BySeed:
    return cells.bits_lost(size, b) if b in cells.beyond(size) else {}


def _after_few(cells: Cells, size: str, b: int) -> BySeed:
    return cells.bits(size, b, math.ceil(b / 4))


def _changed(cells: Cells, setting: str, value: Any, default: Any) -> Cells:
    """Return the runs under a value of a setting that are not the same training by default."""
    return under(cells, **{setting: value}).where(lambda run: run.config.policy[setting] != default)


def _two(cells: Cells, setting: str, value: Any, default: Any) -> tuple[Cells, Cells]:
    before, changed = under(cells, **{setting: default}), _changed(cells, setting, value, default)
    needs(before.runs and changed.runs, f"runs of {setting}={value} beside {default}")
    return before, changed


def full_loss(cells: Cells, share: float) -> BySeed:
    """Return the bits lost beyond b where the loss sees all loops, mean over sizes and b.

    They are those of the cells that a window of this share of the loops was trained in as well;
    of all, where there is none such yet.
    """
    full_cells = under(cells, loss_window="all")
    changed = _changed(cells, "loss_window", share, "all")
    lost = [_lost(full_cells, size, b) for size in changed.sizes for b in changed.bs(size) if b > 1]
    return mean_of(lost) or mean_of([full_cells.mean_bits_lost(size) for size in full_cells.sizes])


def change_of_lost(cells: Cells, setting: str, value: Any, default: Any = "all") -> Parts:
    """Return the change of the bits lost from b to the farthest loop."""
    change = _change(*_two(cells, setting, value, default), _lost)
    return {f"{setting}={value} against {default}, loop {cells.farthest_loop}": change}


def change_of_bits(cells: Cells, setting: str, value: Any, default: Any = "all") -> Parts:
    """Return the change of the bits at b."""
    change = _change(*_two(cells, setting, value, default), _bits)
    return {f"{setting}={value} against {default}, at b": change}


def change_after_few(cells: Cells, distribution: str) -> Parts:
    """Return the bits gained after a quarter of b by drawing for prompts rather than steps."""
    drawn_cells = cells.where(lambda run: run.config.b_draw == distribution)
    change = _change(*_two(drawn_cells, "b_draw_unit", "prompt", "step"), _after_few)
    return {f"{distribution}, by prompt against by step": change}


def cost_at_parameters(cells: Cells) -> Parts:
    """Return the bits of looped models over untied ones of as many weights and the same b."""
    looped_cells, untied_cells = _two(cells, "tied", False, True)
    costs = {
        (size, b): looped_bits_at(looped_cells, weights_of(untied_cells, size, b), b)
        for size in untied_cells.sizes
        for b in untied_cells.bs(size)
    }
    needs(any(costs.values()), "looped sizes between which the untied models' weights lie")
    gains = [less(bits, untied_cells.bits(size, b)) for (size, b), bits in costs.items()]
    where = ", ".join(f"{size} at b = {b}" for (size, b), bits in costs.items() if bits)
    return {f"looped against untied, at the weights of untied {where}": mean_of(gains)}


def weights_of(cells: Cells, size: str, b: int) -> int:
    """Count the weights of a cell's models, position embedding aside."""
    config = next(iter(cells.of_cell(size, b).values())).config
    return config.model_config.n_params(position_embedding=False)


def looped_bits_at(cells: Cells, n_weights: int, b: int) -> BySeed:
    """Interpolate bits at b between sizes, in the logarithm of weights; empty beyond them."""
    known_sizes = [size for size in cells.sizes if cells.of_cell(size, b)]
    for smaller, larger in pairwise(known_sizes):
        low, high = (weights_of(cells, size, b) for size in (smaller, larger))
        if low <= n_weights <= high:
            share = math.log(n_weights / low) / math.log(high / low)
            lower = scaled(cells.bits(smaller, b), 1 - share)
            return less(lower, scaled(cells.bits(larger, b), -share))
    return {}
