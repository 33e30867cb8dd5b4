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
    known = sorted((_flops(cells, size, b), b) for b in bs)
    for (low, b), (high, next_b) in pairwise(known):
        if low <= flops <= high:
            share = math.log(flops / low) / math.log(high / low)
            return less(scaled(number(size, b), 1 - share), scaled(number(size, next_b), -share))
    distance, b = min((abs(math.log(flops / cost)), b) for cost, b in known)
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
    beyond = [run.config for run in cells.runs if run.config.b > STUDIED_B]
    needs(beyond, f"b beyond {STUDIED_B}")
    steps = min(config.steps for config in beyond)
    sizes = {config.size for config in beyond if config.steps == steps}
    own = cells.where(lambda run: run.config.size in sizes)
    return own, _of_steps(own, steps)


def _of_law(cells: Cells, law: str) -> Cells:
    return cells.where(lambda run: run.config.b_draw == law)


# 1: too little data


def shortest_loss(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses beyond b with the fewest steps."""
    return _of_steps(cells, _steps(cells)[0]).mean_lost(cells.largest)


def change_with_steps(cells: Cells) -> Parts:
    """Return the change of that loss from the fewest to the most steps."""
    size, steps = cells.largest, _steps(cells)
    needs(len(steps) > 1, "two lengths of training")
    short, long = _of_steps(cells, steps[0]), _of_steps(cells, steps[-1])
    change = [less(long.lost(size, b), short.lost(size, b)) for b in cells.beyond(size)]
    return {f"{size}, {steps[0]} to {steps[-1]} steps, loop {cells.far}": mean_of(change)}


def quality_with_steps(cells: Cells) -> Parts:
    """Return the bits gained at b from the fewest to the most steps."""
    size, steps = cells.largest, _steps(cells)
    short, long = _of_steps(cells, steps[0]), _of_steps(cells, steps[-1])
    gains = [less(long.bits(size, b), short.bits(size, b)) for b in cells.beyond(size)]
    return {"gained at b": mean_of(gains)}


def change_at_flops(cells: Cells) -> Parts:
    """Return the bits lost with more steps at smaller b less those with fewest steps."""
    size, steps = cells.largest, _steps(cells)
    needs(len(steps) > 1, "two lengths of training")
    short = _of_steps(cells, steps[0])
    changes = {}
    for long in (_of_steps(cells, more) for more in steps[1:]):
        for b in short.beyond(size):
            cheaper = [other for other in long.beyond(size) if other < b]
            if cheaper:
                equal = _at_flops(long, size, cheaper, long.lost, _flops(short, size, b))
                changes[_steps(long)[0], b] = less(equal, short.lost(size, b))
    matched = [key for key, part in changes.items() if part]
    needs(matched, f"longer trainings of {size} that cost what shorter ones do")
    shown = ", ".join(f"{more} for b = {b}" for more, b in matched)
    name = f"{size}, more steps than {steps[0]} at a smaller b: {shown}, loop {cells.far}"
    return {name: mean_of(list(changes.values()))}


# 2: larger models at larger b


def _larger_bs(cells: Cells) -> tuple[int, list[int]]:
    """Return the study's largest b that every size has, and those beyond it."""
    shared = [b for b in cells.bs() if all(b in cells.bs(size) for size in cells.sizes)]
    studied = [b for b in shared if 1 < b <= STUDIED_B]
    larger = [b for b in shared if b > STUDIED_B]
    needs(len(cells.sizes) > 1, "2 sizes")
    needs(studied and larger, f"every size at a b up to {STUDIED_B} and at one beyond")
    return studied[-1], larger


def _lost_after(cells: Cells, larger: Sequence[int]) -> tuple[OfCell, int]:
    """Return the bits lost so many loops after b, as many as the largest b was run for."""
    loops = cells.reach - max(larger)
    needs(loops >= _LEAST_BEYOND, f"runs evaluated to loop {max(larger) + _LEAST_BEYOND}")
    return (lambda size, b: cells.lost(size, b, b + loops)), loops


def _over_smaller(cells: Cells, number: Callable[[str], BySeed], what: str) -> Parts:
    own = number(cells.largest)
    return {
        f"{cells.largest} over {size}, {what}": less(own, number(size)) for size in cells.sizes[:-1]
    }


def gain_at_larger_b(cells: Cells) -> Parts:
    """Return the bits gained by larger b, the largest size's less each smaller one's."""
    _, cells = _of_larger_b(cells)
    base, larger = _larger_bs(cells)

    def gain(size: str) -> BySeed:
        return mean_of([less(cells.bits(size, b), cells.bits(size, base)) for b in larger])

    return _over_smaller(cells, gain, f"b = {base} to {_listed(larger)}")


def relief_at_larger_b(cells: Cells) -> Parts:
    """Return how the loss after b falls with b, the largest size's less the others'."""
    _, cells = _of_larger_b(cells)
    base, larger = _larger_bs(cells)
    lost, loops = _lost_after(cells, larger)

    def relief(size: str) -> BySeed:
        return mean_of([less(lost(size, base), lost(size, b)) for b in larger])

    return _over_smaller(cells, relief, f"b = {base} to {_listed(larger)}, {loops} loops on")


def loss_at_studied_b(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses after the study's largest b."""
    _, short = _of_larger_b(cells)
    base, larger = _larger_bs(short)
    return _lost_after(short, larger)[0](cells.largest, base)


def _against_steps(cells: Cells, number: Callable[[Cells], OfCell], what: str) -> Parts:
    """Compare larger b with more steps at the studied b, by the larger size over the smaller."""
    cells, short = _of_larger_b(cells)
    _, larger = _larger_bs(short)
    steps = [more for more in _steps(cells) if more > short.runs[0].config.steps]
    needs(steps, "longer trainings at the studied b")
    of_short = number(short)

    def advantage(size: str) -> BySeed:
        differences = []
        for long in (_of_steps(cells, more) for more in steps):
            bs = [b for b in long.bs(size) if 1 < b <= STUDIED_B]
            for b in larger if bs else []:
                equal = _at_flops(long, size, bs, number(long), _flops(short, size, b))
                differences.append(less(of_short(size, b), equal))
        return mean_of(differences)

    found = _over_smaller(cells, advantage, f"b = {_listed(larger)} against more steps{what}")
    needs(any(map(len, found.values())), "longer trainings that cost what larger b do")
    return found


def gain_against_steps(cells: Cells) -> Parts:
    """Return the bits of larger b over more steps, the largest size less the others."""
    return _against_steps(cells, lambda own: own.bits, "")


def relief_against_steps(cells: Cells) -> Parts:
    """Return the bits that larger b keep over more steps, largest size less others."""
    _, short = _of_larger_b(cells)
    _, larger = _larger_bs(short)
    _, loops = _lost_after(short, larger)

    def kept(own: Cells) -> OfCell:
        return lambda size, b: scaled(own.lost(size, b, b + loops), -1)

    return _against_steps(cells, kept, f", {loops} loops on")


# 3: overfitting to b


def fixed_loss(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses beyond b where b is fixed."""
    return _of_law(cells, "fixed").mean_lost(cells.largest)


def _drawn(cells: Cells, law: str) -> tuple[Cells, Cells]:
    size, fixed, drawn = cells.largest, _of_law(cells, "fixed"), _of_law(cells, law)
    needs(fixed.runs and drawn.runs, f"runs of b fixed and of b drawn ({law})")
    needs(drawn.beyond(size) and fixed.beyond(size), f"{size} at b > 1, fixed and drawn ({law})")
    return fixed, drawn


def change_with_draw(cells: Cells, law: str) -> Parts:
    """Return the change of that loss where b is drawn, at equal mean b."""
    size, (fixed, drawn) = cells.largest, _drawn(cells, law)
    change = [less(drawn.lost(size, b), fixed.lost(size, b)) for b in drawn.beyond(size)]
    return {f"{size}, b drawn ({law}) against fixed, loop {cells.far}": mean_of(change)}


def quality_with_draw(cells: Cells, law: str) -> Parts:
    """Return the bits gained by drawing b, at the mean b and at the farthest loop."""
    size, (fixed, drawn) = cells.largest, _drawn(cells, law)
    bs = drawn.beyond(size)
    return {
        "gained at b": mean_of([less(drawn.bits(size, b), fixed.bits(size, b)) for b in bs]),
        f"gained at loop {cells.far}": mean_of(
            [less(drawn.bits(size, b, cells.far), fixed.bits(size, b, cells.far)) for b in bs]
        ),
    }


def draw_at_flops(cells: Cells, law: str) -> Parts:
    """Return the change of that loss where b is drawn, at equal expected FLOPs."""
    size, (fixed, drawn) = cells.largest, _drawn(cells, law)
    change = [
        less(
            drawn.lost(size, b),
            _at_flops(fixed, size, fixed.beyond(size), fixed.lost, _flops(drawn, size, b)),
        )
        for b in drawn.beyond(size)
    ]
    return {f"{size}, b drawn ({law}) against fixed, loop {cells.far}": mean_of(change)}


def _listed(bs: Sequence[int]) -> str:
    return ", ".join(map(str, bs))
