"""What is left of each trained cell after the last evaluated loop, as tables of the pages."""

from collections.abc import Sequence

from analysis.claims import by_seed
from analysis.claims.cells import Cells
from analysis.findings.markdown import Lines, header, heading, interval, number, row
from analysis.findings.recipes import Recipe


def beyond_table(recipes: Sequence[Recipe]) -> Lines:
    """Write the NMSE after the last evaluated loop over that after b, by size and b.

    Each is the geometric mean over seeds with its 95 % interval, from the same bits as the claims.
    Trainings that never left the plateau are in it too, as their errors are.

    Args:
        recipes: a table is written for each.
    """
    lines: Lines = []
    for recipe in recipes:
        cells = Cells.of(recipe.runs)
        bs = cells.bs()
        lines += heading(f"{recipe.letter}: {recipe.title}, {recipe.weights} weights, "
                         f"after {cells.farthest_loop} loops")  # fmt: skip
        lines += header(["", *(f"b = {b}" for b in bs)])
        lines += [row([size, *(_ratio(cells, size, b) for b in bs)]) for size in cells.sizes]
    return lines[1:]


def _ratio(cells: Cells, size: str, b: int) -> str:
    bits = cells.bits_lost(size, b) if b in cells.bs(size) else {}
    if not bits:
        return "-"
    low, high = by_seed.interval(bits)
    return f"{number(4 ** by_seed.mean(bits))} {interval(4**low, 4**high)}"
