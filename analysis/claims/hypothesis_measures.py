"""The numbers by seed that the three hypotheses come to, in bits; see ``hypotheses``.

Equal FLOPs means linear interpolation, in the logarithm of the FLOPs of the whole training, between
the cells of the other kind; where they end within a quarter of what is wanted, their end.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from analysis.claims.by_seed import BySeed, Parts, less, mean_of, needs, scaled
from analysis.claims.cells import STUDIED_B, Cells

_LEAST_BEYOND = 5
_TOLERANCE = math.log(1.25)

OfCell = Callable[[str, int], BySeed]


def _at_flops(cells: Cells, size: str, bs: Sequence[int], number: OfCell, flops: float) -> BySeed:
    """Interpolate a number of a size's cells to some FLOPs of training; empty where they end."""
    bs_by_flops = sorted((_flops(cells, size, b), b) for b in bs)
    for (low, b), (high, next_b) in pairwise(bs_by_flops):
        if low <= flops <= high:
            share = math.log(flops / low) / math.log(high / low)
            return less(scaled(number(size, b), 1 - share), scaled(number(size, next_b), -share))
    distance, b = min((abs(math.log(flops / cost)), b) for cost, b in bs_by_flops)
    return number(size, b) if distance <= _TOLERANCE else {}


def _flops(cells: Cells, size: str, b: int) -> float:
    config = next(iter(cells.of_cell(size, b).values())).config
    return float(config.steps * config.step_flops)


def _of_steps(cells: Cells, steps: int) -> Cells:
    return cells.where(lambda run: run.config.steps == steps)


def _steps(cells: Cells) -> list[int]:
    """Return the lengths of training of the largest size."""
    return sorted({run.config.steps for run in cells.runs if run.config.size == cells.largest})


def _of_larger_b(cells: Cells) -> tuple[Cells, Cells]:
    """Return the sizes whose shortest trainings go to b beyond the study's, and those trainings."""
    configs_beyond = [run.config for run in cells.runs if run.config.b > STUDIED_B]
    needs(configs_beyond, f"b beyond {STUDIED_B}")
    steps = min(config.steps for config in configs_beyond)
    sizes = {config.size for config in configs_beyond if config.steps == steps}
    cells_of_sizes = cells.where(lambda run: run.config.size in sizes)
    return cells_of_sizes, _of_steps(cells_of_sizes, steps)


def _of_distribution(cells: Cells, distribution: str) -> Cells:
    return cells.where(lambda run: run.config.b_draw == distribution)


# 1: too little data


def shortest_loss(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses beyond b with the fewest steps."""
    return _of_steps(cells, _steps(cells)[0]).mean_bits_lost(cells.largest)


def change_with_steps(cells: Cells) -> Parts:
    """Return the change of that loss from the fewest to the most steps."""
    size, steps = cells.largest, _steps(cells)
    needs(len(steps) > 1, "two lengths of training")
    shorter_cells, longer_cells = _of_steps(cells, steps[0]), _of_steps(cells, steps[-1])
    change = [
        less(longer_cells.bits_lost(size, b), shorter_cells.bits_lost(size, b))
        for b in cells.beyond(size)
    ]
    return {f"{size}, {steps[0]} to {steps[-1]} steps, loop {cells.farthest_loop}": mean_of(change)}


def quality_with_steps(cells: Cells) -> Parts:
    """Return the bits gained at b from the fewest to the most steps."""
    size, steps = cells.largest, _steps(cells)
    shorter_cells, longer_cells = _of_steps(cells, steps[0]), _of_steps(cells, steps[-1])
    gains = [
        less(longer_cells.bits(size, b), shorter_cells.bits(size, b)) for b in cells.beyond(size)
    ]
    return {"gained at b": mean_of(gains)}


def change_at_flops(cells: Cells) -> Parts:
    """Return the bits lost with more steps at smaller b less those with fewest steps."""
    size, steps = cells.largest, _steps(cells)
    needs(len(steps) > 1, "two lengths of training")
    shorter_cells = _of_steps(cells, steps[0])
    changes = {}
    for longer_cells in (_of_steps(cells, more) for more in steps[1:]):
        for b in shorter_cells.beyond(size):
            cheaper_bs = [smaller_b for smaller_b in longer_cells.beyond(size) if smaller_b < b]
            if cheaper_bs:
                at_equal_flops = _at_flops(
                    longer_cells,
                    size,
                    cheaper_bs,
                    longer_cells.bits_lost,
                    _flops(shorter_cells, size, b),
                )
                changes[_steps(longer_cells)[0], b] = less(
                    at_equal_flops, shorter_cells.bits_lost(size, b)
                )
    matched_keys = [key for key, part in changes.items() if part]
    needs(matched_keys, f"longer trainings of {size} that cost what shorter ones do")
    matches = ", ".join(f"{more} for b = {b}" for more, b in matched_keys)
    name = (
        f"{size}, more steps than {steps[0]} at a smaller b: {matches}, loop {cells.farthest_loop}"
    )
    return {name: mean_of(list(changes.values()))}


# 2: larger models at larger b


def _larger_bs(cells: Cells) -> tuple[int, list[int]]:
    """Return the study's largest b that every size has, and those beyond it."""
    shared_bs = [b for b in cells.bs() if all(b in cells.bs(size) for size in cells.sizes)]
    studied_bs = [b for b in shared_bs if 1 < b <= STUDIED_B]
    larger_bs = [b for b in shared_bs if b > STUDIED_B]
    needs(len(cells.sizes) > 1, "2 sizes")
    needs(studied_bs and larger_bs, f"every size at a b up to {STUDIED_B} and at one beyond")
    return studied_bs[-1], larger_bs


def _lost_after(cells: Cells, larger_bs: Sequence[int]) -> tuple[OfCell, int]:
    """Return the bits lost so many loops after b, as many as the largest b was run for."""
    loops = cells.reach - max(larger_bs)
    needs(loops >= _LEAST_BEYOND, f"runs evaluated to loop {max(larger_bs) + _LEAST_BEYOND}")
    return (lambda size, b: cells.bits_lost(size, b, b + loops)), loops


def _over_smaller(cells: Cells, number: Callable[[str], BySeed], what: str) -> Parts:
    of_largest = number(cells.largest)
    return {
        f"{cells.largest} over {size}, {what}": less(of_largest, number(size))
        for size in cells.sizes[:-1]
    }


def gain_at_larger_b(cells: Cells) -> Parts:
    """Return the bits gained by larger b, the largest size's less each smaller one's."""
    _, cells = _of_larger_b(cells)
    base, larger_bs = _larger_bs(cells)

    def gain(size: str) -> BySeed:
        return mean_of([less(cells.bits(size, b), cells.bits(size, base)) for b in larger_bs])

    return _over_smaller(cells, gain, f"b = {base} to {_listed(larger_bs)}")


def relief_at_larger_b(cells: Cells) -> Parts:
    """Return how the loss after b falls with b, the largest size's less the others'."""
    _, cells = _of_larger_b(cells)
    base, larger_bs = _larger_bs(cells)
    bits_lost, loops = _lost_after(cells, larger_bs)

    def relief(size: str) -> BySeed:
        return mean_of([less(bits_lost(size, base), bits_lost(size, b)) for b in larger_bs])

    return _over_smaller(cells, relief, f"b = {base} to {_listed(larger_bs)}, {loops} loops on")


def loss_at_studied_b(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses after the study's largest b."""
    _, shorter_cells = _of_larger_b(cells)
    base, larger_bs = _larger_bs(shorter_cells)
    return _lost_after(shorter_cells, larger_bs)[0](cells.largest, base)


def _against_steps(cells: Cells, number: Callable[[Cells], OfCell], what: str) -> Parts:
    """Compare larger b with more steps at the studied b, by the larger size over the smaller."""
    cells, shorter_cells = _of_larger_b(cells)
    _, larger_bs = _larger_bs(shorter_cells)
    steps = [more for more in _steps(cells) if more > shorter_cells.runs[0].config.steps]
    needs(steps, "longer trainings at the studied b")
    of_short = number(shorter_cells)

    def advantage(size: str) -> BySeed:
        differences = []
        for longer_cells in (_of_steps(cells, more) for more in steps):
            bs = [b for b in longer_cells.bs(size) if 1 < b <= STUDIED_B]
            for b in larger_bs if bs else []:
                at_equal_flops = _at_flops(
                    longer_cells, size, bs, number(longer_cells), _flops(shorter_cells, size, b)
                )
                differences.append(less(of_short(size, b), at_equal_flops))
        return mean_of(differences)

    parts = _over_smaller(cells, advantage, f"b = {_listed(larger_bs)} against more steps{what}")
    needs(any(map(len, parts.values())), "longer trainings that cost what larger b do")
    return parts


def gain_against_steps(cells: Cells) -> Parts:
    """Return the bits of larger b over more steps, the largest size less the others."""
    return _against_steps(cells, lambda some_cells: some_cells.bits, "")


def relief_against_steps(cells: Cells) -> Parts:
    """Return the bits that larger b keep over more steps, largest size less others."""
    _, shorter_cells = _of_larger_b(cells)
    _, larger_bs = _larger_bs(shorter_cells)
    _, loops = _lost_after(shorter_cells, larger_bs)

    def bits_kept(some_cells: Cells) -> OfCell:
        return lambda size, b: scaled(some_cells.bits_lost(size, b, b + loops), -1)

    return _against_steps(cells, bits_kept, f", {loops} loops on")


# 3: overfitting to b


def fixed_loss(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses beyond b where b is fixed."""
    return _of_distribution(cells, "fixed").mean_bits_lost(cells.largest)


def _fixed_and_drawn(cells: Cells, distribution: str) -> tuple[Cells, Cells]:
    size = cells.largest
    fixed_cells = _of_distribution(cells, "fixed")
    drawn_cells = _of_distribution(cells, distribution)
    needs(fixed_cells.runs and drawn_cells.runs, f"runs of b fixed and of b drawn ({distribution})")
    needs(
        drawn_cells.beyond(size) and fixed_cells.beyond(size),
        f"{size} at b > 1, fixed and drawn ({distribution})",
    )
    return fixed_cells, drawn_cells


def change_with_draw(cells: Cells, distribution: str) -> Parts:
    """Return the change of that loss where b is drawn, at equal mean b."""
    size, (fixed_cells, drawn_cells) = cells.largest, _fixed_and_drawn(cells, distribution)
    change = [
        less(drawn_cells.bits_lost(size, b), fixed_cells.bits_lost(size, b))
        for b in drawn_cells.beyond(size)
    ]
    return {_draw_name(cells, distribution): mean_of(change)}


def quality_with_draw(cells: Cells, distribution: str) -> Parts:
    """Return the bits gained by drawing b, at the mean b and at the farthest loop."""
    size, (fixed_cells, drawn_cells) = cells.largest, _fixed_and_drawn(cells, distribution)

    def gain(b: int, loop: int | None) -> BySeed:
        return less(drawn_cells.bits(size, b, loop), fixed_cells.bits(size, b, loop))

    bs, farthest = drawn_cells.beyond(size), cells.farthest_loop
    return {
        "gained at b": mean_of([gain(b, None) for b in bs]),
        f"gained at loop {farthest}": mean_of([gain(b, farthest) for b in bs]),
    }


def draw_at_flops(cells: Cells, distribution: str) -> Parts:
    """Return the change of that loss where b is drawn, at equal expected FLOPs."""
    size, (fixed_cells, drawn_cells) = cells.largest, _fixed_and_drawn(cells, distribution)
    fixed_bs, lost_if_fixed = fixed_cells.beyond(size), fixed_cells.bits_lost
    change = [
        less(
            drawn_cells.bits_lost(size, b),
            _at_flops(fixed_cells, size, fixed_bs, lost_if_fixed, _flops(drawn_cells, size, b)),
        )
        for b in drawn_cells.beyond(size)
    ]
    return {_draw_name(cells, distribution): mean_of(change)}


def _draw_name(cells: Cells, distribution: str) -> str:
    largest, loop = cells.largest, cells.farthest_loop
    return f"{largest}, b drawn ({distribution}) against fixed, loop {loop}"


def _listed(bs: Sequence[int]) -> str:
    return ", ".join(map(str, bs))
