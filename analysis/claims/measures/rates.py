"""Rates of learning beside the size's own, in bits by seed; see ``treatments`` and ``rates``.

Rates are told apart by how many times the size's own they are, however they were asked for.
"""

from collections.abc import Mapping
from functools import partial

from analysis.claims.by_seed import BySeed, Parts, less, needs
from analysis.claims.cells import Cells
from analysis.runs.logged_run import LoggedRun

VARIES = ("learning_rate", "learning_rate_factor")
"""Settings that runs of several rates may differ in."""

OWN = 1.0


def factor_of(run: LoggedRun) -> float:
    """Return how many times the size's own rate a run's is."""
    return float(f"{run.config.rate / run.config.model_config.size.learning_rate:.6g}")


def by_factor(cells: Cells) -> Mapping[float, Cells]:
    """Return the runs of each factor, the least first."""
    factors = sorted(set(map(factor_of, cells.runs)))
    return {factor: cells.where(partial(_has, factor=factor)) for factor in factors}


def _has(run: LoggedRun, factor: float) -> bool:
    return factor_of(run) == factor


def over_own(of_factors: Mapping[float, Cells], size: str, b: int) -> dict[float, BySeed]:
    """Return the bits over those at the size's own rate, by other factor and seed.

    Args:
        of_factors: see ``by_factor``.
        size: of the cell.
        b: of the cell.
    """
    if OWN not in of_factors:
        return {}
    own_bits = of_factors[OWN].bits(size, b)
    gains = {
        factor: less(cells.bits(size, b), own_bits)
        for factor, cells in of_factors.items()
        if factor != OWN
    }
    return {factor: gain for factor, gain in gains.items() if gain}


def gains_over_own(cells: Cells) -> Parts:
    """Return for every cell and every rate tried the bits over those at the size's own rate."""
    of_factors = by_factor(cells)
    parts = {
        f"{size} at b = {b}, {factor:g} times its own rate": gain
        for size in cells.sizes
        for b in cells.bs(size)
        for factor, gain in over_own(of_factors, size, b).items()
    }
    needs(parts, "runs of another rate beside the size's own")
    return parts
