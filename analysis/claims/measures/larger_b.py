"""Larger models at larger b: what b beyond the study's bring to each size, in bits by seed."""

from collections.abc import Callable, Sequence

from analysis.claims.by_seed import BySeed, Parts, less, mean_of, needs, scaled
from analysis.claims.cells import STUDIED_B, Cells
from analysis.claims.measures.compared import OfCell, at_flops, flops_of, lengths_of, of_steps

_LEAST_BEYOND = 5


def of_larger_b(cells: Cells) -> Cells:
    """Return the sizes whose shortest trainings go to b beyond the study's; all if none do."""
    configs_beyond = [run.config for run in cells.runs if run.config.b > STUDIED_B]
    if not configs_beyond:
        return cells
    steps = min(config.steps for config in configs_beyond)
    sizes = {config.size for config in configs_beyond if config.steps == steps}
    return cells.where(lambda run: run.config.size in sizes)


def _of_larger_b(cells: Cells) -> tuple[Cells, Cells]:
    """Return the sizes that were trained at b beyond the study's, and their shortest trainings."""
    configs_beyond = [run.config for run in cells.runs if run.config.b > STUDIED_B]
    needs(configs_beyond, f"b beyond {STUDIED_B}")
    cells_of_sizes = of_larger_b(cells)
    return cells_of_sizes, of_steps(cells_of_sizes, min(c.steps for c in configs_beyond))


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
    return _lost_after(shorter_cells, larger_bs)[0](shorter_cells.largest, base)


def _against_steps(cells: Cells, number: Callable[[Cells], OfCell], what: str) -> Parts:
    """Compare larger b with more steps at the studied b, by the larger size over the smaller."""
    cells, shorter_cells = _of_larger_b(cells)
    _, larger_bs = _larger_bs(shorter_cells)
    steps = [more for more in lengths_of(cells) if more > shorter_cells.runs[0].config.steps]
    needs(steps, "longer trainings at the studied b")
    of_short = number(shorter_cells)

    def advantage(size: str) -> BySeed:
        differences = []
        for longer_cells in (of_steps(cells, more) for more in steps):
            bs = [b for b in longer_cells.bs(size) if 1 < b <= STUDIED_B]
            for b in larger_bs if bs else []:
                at_equal_flops = at_flops(
                    longer_cells, size, bs, number(longer_cells), flops_of(shorter_cells, size, b)
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


def _listed(bs: Sequence[int]) -> str:
    return ", ".join(map(str, bs))
