"""Overfitting to b: what a large model loses where b is fixed and where it is drawn, in bits."""

from analysis.claims.by_seed import BySeed, Parts, less, mean_of, needs
from analysis.claims.cells import Cells
from analysis.claims.measures.compared import at_flops, flops_of, mean_lost, with_several


def of_several_draws(cells: Cells) -> Cells:
    """Return the sizes that were trained with b fixed and drawn; all if none were."""
    return with_several(cells, "b_draw")


def fixed_loss(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses beyond b where b is fixed."""
    cells = of_several_draws(cells)
    drawn_cells = cells.where(lambda run: run.config.b_draw != "fixed")
    return mean_lost(_of_distribution(cells, "fixed"), drawn_cells)


def change_with_draw(cells: Cells, distribution: str) -> Parts:
    """Return the change of that loss where b is drawn, at equal mean b."""
    cells = of_several_draws(cells)
    size, (fixed_cells, drawn_cells) = cells.largest, _fixed_and_drawn(cells, distribution)
    change = [
        less(drawn_cells.bits_lost(size, b), fixed_cells.bits_lost(size, b))
        for b in drawn_cells.beyond(size)
    ]
    return {_draw_name(cells, distribution): mean_of(change)}


def quality_with_draw(cells: Cells, distribution: str) -> Parts:
    """Return the bits gained by drawing b, at the mean b and at the farthest loop."""
    cells = of_several_draws(cells)
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
    cells = of_several_draws(cells)
    size, (fixed_cells, drawn_cells) = cells.largest, _fixed_and_drawn(cells, distribution)
    fixed_bs, lost_if_fixed = fixed_cells.beyond(size), fixed_cells.bits_lost
    change = [
        less(
            drawn_cells.bits_lost(size, b),
            at_flops(fixed_cells, size, fixed_bs, lost_if_fixed, flops_of(drawn_cells, size, b)),
        )
        for b in drawn_cells.beyond(size)
    ]
    return {_draw_name(cells, distribution): mean_of(change)}


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


def _of_distribution(cells: Cells, distribution: str) -> Cells:
    return cells.where(lambda run: run.config.b_draw == distribution)


def _draw_name(cells: Cells, distribution: str) -> str:
    largest, loop = cells.largest, cells.farthest_loop
    return f"{largest}, b drawn ({distribution}) against fixed, loop {loop}"
