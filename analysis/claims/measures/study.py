"""The numbers by seed that the study's claims come to, in bits; see ``Cells``.

Where the study looked at a b or a loop that was not trained or evaluated, the nearest thing is
taken, which the verdict names (see ``scope``); where a claim names its b, and none of them was
trained, it is not measured.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from analysis.claims.by_seed import Parts, less, mean_of, needs, scaled
from analysis.claims.cells import STUDIED_B, Cells, loss_bits
from analysis.runs.logged_run import LoggedRun

NAMED_BS = (10, 15)
"""At which the study says that small improves, or keeps what it has."""


def gain(cells: Cells) -> Parts:
    """Return the bits that the largest b brings over b = 1, per size."""
    needs(1 in cells.bs() and len(cells.bs()) > 1, "b = 1 and a larger b")
    return {
        f"{size} at b = {max(cells.bs(size))}": less(
            cells.bits(size, max(cells.bs(size))), cells.bits(size, 1)
        )
        for size in cells.sizes
        if max(cells.bs(size)) > 1
    }


def lead_over_larger(cells: Cells) -> Parts:
    """Return the bits of the smaller at its largest b over the larger at b = 1, per pair."""
    needs(1 in cells.bs() and len(cells.bs()) > 1, "b = 1 and a larger b")
    return {
        f"{small} at b = {max(cells.bs(small))} over {large}": less(
            cells.bits(small, max(cells.bs(small))), cells.bits(large, 1)
        )
        for small, large in cells.pairs
        if max(cells.bs(small)) > 1
    }


def last_gain(cells: Cells) -> Parts:
    """Return the bits that the last step of b brings per doubling, per size."""
    needs(len(cells.bs()) > 2, "3 values of b")
    return _gain_per_doubling(cells, -2)


def first_gain(cells: Cells) -> Parts:
    """Return the bits that the first step of b brings per doubling, per size."""
    return _gain_per_doubling(cells, 0)


def _gain_per_doubling(cells: Cells, step: int) -> Parts:
    gains = {}
    for size in cells.sizes:
        if len(bs := cells.bs(size)) > 2:
            low, high = bs[step], bs[step + 1]
            gain = less(cells.bits(size, high), cells.bits(size, low))
            gains[f"{size} from {low} to {high}"] = scaled(gain, 1 / math.log2(high / low))
    return gains


def lead_of_larger(cells: Cells) -> Parts:
    """Return the bits of the larger over the smaller at equal b, per pair."""
    return {
        f"{large} over {small}": mean_of(
            [less(cells.bits(large, b), cells.bits(small, b)) for b in cells.bs()]
        )
        for small, large in cells.pairs
    }


def both_sides(cells: Cells) -> Parts:
    """Return the bits of the larger over the smaller at the first and the farthest loop."""
    return {
        f"{small} over {large} at loop {loop}": mean_of(
            [less(cells.bits(large, b, loop), cells.bits(small, b, loop)) for b in cells.beyond()]
        )
        for loop in (1, cells.farthest_loop)
        for small, large in cells.pairs
    }


def _of_size(cells: Cells, size: str) -> list[int]:
    """Return the b at which a size is judged beyond them."""
    needs(size in cells.sizes, size)
    bs = cells.beyond(size)
    needs(bs, f"{size} at b > 1, evaluated to twice its b")
    return bs


def lost_by_loop(cells: Cells, loop: int) -> Parts:
    """Return the bits that small trained at 10 and 15 has lost by a loop, per b."""
    named_bs = [b for b in _of_size(cells, "small") if b in NAMED_BS]
    needs(named_bs, f"small trained at {_listed(NAMED_BS)}, evaluated to twice its b")
    return {
        f"small, trained at {b}, loop {loop}": cells.bits_lost("small", b, loop) for b in named_bs
    }


def mean_later_loss(cells: Cells) -> Parts:
    """Return the bits that tiny at its largest b loses on average over the loops beyond."""
    b = _of_size(cells, "tiny")[-1]
    bits_lost = [cells.bits_lost("tiny", b, loop) for loop in range(b + 1, cells.farthest_loop + 1)]
    return {f"tiny, trained at {b}, loops {b + 1} to {cells.farthest_loop}": mean_of(bits_lost)}


def lost_beyond(cells: Cells, size: str) -> Parts:
    """Return the bits that a size loses by the farthest loop, the mean over b."""
    bs = _of_size(cells, size)
    return {
        f"{size}, trained at {_listed(bs)}, loop {cells.farthest_loop}": cells.mean_bits_lost(size)
    }


def lost_by_b(cells: Cells) -> Parts:
    """Return the slope on b of the bits that medium loses by equally many loops after b.

    They are as many as the largest b was run for: to the farthest loop a small b has longer to go.
    """
    bs = _of_size(cells, "medium")
    loops = cells.farthest_loop - bs[-1]
    bits_lost = {b: cells.bits_lost("medium", b, b + loops) for b in bs}
    bs = [b for b, part in bits_lost.items() if part]
    needs(len(bs) > 1, "medium at two b > 1")
    slope = {
        seed: float(np.polyfit(bs, [bits_lost[b][seed] for b in bs], 1)[0])
        for seed in bits_lost[bs[0]]
        if all(seed in bits_lost[b] for b in bs)
    }
    return {f"medium, trained at {_listed(bs)}, {loops} loops on": slope}


def excess_of_larger(cells: Cells) -> Parts:
    """Return the bits that the larger loses beyond b more than the smaller, per pair."""
    return {
        f"{large} over {small}, loop {cells.farthest_loop}": mean_of(
            [less(cells.bits_lost(large, b), cells.bits_lost(small, b)) for b in cells.beyond()]
        )
        for small, large in cells.pairs
    }


def loss_of_sizes(cells: Cells) -> Parts:
    """Return the bits that each size loses by the farthest loop, the mean over b."""
    return {f"lost by {size}": cells.mean_bits_lost(size) for size in cells.sizes}


def starts(cells: Cells) -> Parts:
    """Return the bits by which the first loss differs from that at b = 1, per size and b."""
    _check_curves(cells)
    needs(1 in cells.bs() and len(cells.bs()) > 1, "b = 1 and a larger b")
    return {
        f"{size} at b = {b}": less(cells.loss(size, b, False), cells.loss(size, 1, False))
        for size in cells.sizes
        for b in cells.bs(size)[1:]
    }


def early_fall(cells: Cells) -> Parts:
    """Return the share of the loss's fall that the first fifth of the steps brings, per size."""
    _check_curves(cells)

    def share(run: LoggedRun) -> float:
        bits, steps = loss_bits(run), np.asarray(run.training.get("step", ()))
        if len(bits) < 10 or len(steps) != len(bits):
            return float("nan")
        fall = bits[-len(bits) // 10 :].mean() - bits[0]
        return float((bits[steps <= steps[-1] / 5][-1] - bits[0]) / fall)

    return {
        size: mean_of([cells.numbers_by_seed(size, b, share) for b in cells.bs(size)])
        for size in cells.sizes
    }


def drifts(cells: Cells) -> Parts:
    """Return the drift of the loss against that at b = 1, per size; see ``Cells.parting``."""
    _check_curves(cells)
    needs(1 in cells.bs() and len(cells.bs()) > 1, "b = 1 and a larger b")
    return {
        size: mean_of([cells.parting(size, b)[0] for b in cells.bs(size) if b > 1])
        for size in cells.sizes
    }


def scatters(cells: Cells) -> Parts:
    """Return the scatter about that drift, per size."""
    return {
        f"scatter of {size}": mean_of([cells.parting(size, b)[1] for b in cells.bs(size) if b > 1])
        for size in cells.sizes
    }


def shrinking_gaps(cells: Cells) -> Parts:
    """Return by how much each gap in the final loss exceeds the next one."""
    gaps = _mean_gaps(cells)
    return {
        f"{earlier} over {later}": less(gaps[earlier], gaps[later])
        for earlier, later in pairwise(gaps)
    }


def last_gap(cells: Cells) -> Parts:
    """Return the bits by which the loss at the last b is below that at the one before."""
    name, gap = list(_mean_gaps(cells).items())[-1]
    return {name: gap}


def bs_of_gaps(bs: Sequence[int]) -> list[int]:
    """Return the b between which gaps are taken: the study's, or without three of those all."""
    studied_bs = [b for b in bs if b <= STUDIED_B]
    return studied_bs if len(studied_bs) > 2 else list(bs)


def _mean_gaps(cells: Cells) -> Parts:
    """Return the gaps between neighbouring b, the mean of the sizes that have all."""
    _check_curves(cells)
    bs = bs_of_gaps(cells.bs())
    needs(len(bs) > 2, "3 values of b")
    sizes = [size for size in cells.sizes if set(bs) <= set(cells.bs(size))]
    needs(sizes, f"a size at every b of {_listed(bs)}")
    return {
        f"{low}-{high}": mean_of([cells.gap(size, low, high) for size in sizes])
        for low, high in pairwise(bs)
    }


def _check_curves(cells: Cells) -> None:
    needs(any(run.training.get("loss") for run in cells.runs), "the curves of the training")


def _listed(bs: Sequence[int]) -> str:
    return ", ".join(map(str, bs))
