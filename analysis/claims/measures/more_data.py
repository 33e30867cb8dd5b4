"""Too little data: what a large model loses beyond b after fewer and more steps, by seed."""

from analysis.claims.by_seed import BySeed, Parts, less, mean_of, needs
from analysis.claims.cells import Cells
from analysis.claims.measures.compared import (
    at_flops,
    flops_of,
    lengths_of,
    mean_lost,
    of_steps,
    with_several,
)


def of_several_lengths(cells: Cells) -> Cells:
    """Return the sizes that were trained for several lengths; all if none were."""
    return with_several(cells, "steps")


def shortest_loss(cells: Cells) -> BySeed:
    """Return the bits that the largest size loses beyond b with the fewest steps."""
    cells = of_several_lengths(cells)
    shorter_cells, longer_cells = (of_steps(cells, lengths_of(cells)[end]) for end in (0, -1))
    return mean_lost(shorter_cells, longer_cells)


def change_with_steps(cells: Cells) -> Parts:
    """Return the change of that loss from the fewest to the most steps."""
    cells = of_several_lengths(cells)
    size, steps = cells.largest, lengths_of(cells)
    needs(len(steps) > 1, "two lengths of training")
    shorter_cells, longer_cells = of_steps(cells, steps[0]), of_steps(cells, steps[-1])
    change = [
        less(longer_cells.bits_lost(size, b), shorter_cells.bits_lost(size, b))
        for b in cells.beyond(size)
    ]
    return {f"{size}, {steps[0]} to {steps[-1]} steps, loop {cells.farthest_loop}": mean_of(change)}


def quality_with_steps(cells: Cells) -> Parts:
    """Return the bits gained at b from the fewest to the most steps."""
    cells = of_several_lengths(cells)
    size, steps = cells.largest, lengths_of(cells)
    shorter_cells, longer_cells = of_steps(cells, steps[0]), of_steps(cells, steps[-1])
    gains = [
        less(longer_cells.bits(size, b), shorter_cells.bits(size, b)) for b in cells.beyond(size)
    ]
    return {"gained at b": mean_of(gains)}


def change_at_flops(cells: Cells) -> Parts:
    """Return the bits lost with more steps at smaller b less those with fewest steps."""
    cells = of_several_lengths(cells)
    size, steps = cells.largest, lengths_of(cells)
    needs(len(steps) > 1, "two lengths of training")
    shorter_cells = of_steps(cells, steps[0])
    changes = {}
    for longer_cells in (of_steps(cells, more) for more in steps[1:]):
        for b in shorter_cells.beyond(size):
            cheaper_bs = [smaller_b for smaller_b in longer_cells.beyond(size) if smaller_b < b]
            if cheaper_bs:
                at_equal_flops = at_flops(
                    longer_cells,
                    size,
                    cheaper_bs,
                    longer_cells.bits_lost,
                    flops_of(shorter_cells, size, b),
                )
                changes[lengths_of(longer_cells)[0], b] = less(
                    at_equal_flops, shorter_cells.bits_lost(size, b)
                )
    matched_keys = [key for key, part in changes.items() if part]
    needs(matched_keys, f"longer trainings of {size} that cost what shorter ones do")
    matches = ", ".join(f"{more} for b = {b}" for more, b in matched_keys)
    name = (
        f"{size}, more steps than {steps[0]} at a smaller b: {matches}, loop {cells.farthest_loop}"
    )
    return {name: mean_of(list(changes.values()))}
