"""What tying costs, and what a loop is worth by measurement: looped models beside untied twins.

The untied twin has b stacks of its own where the looped model has one (the comparison of Yang et
al., arXiv:2311.12424). A looped model of b loops is as good as an untied one of some m stacks; then
b loops of one stack are worth m = b^phi, as phi is meant in the joint law (arXiv:2604.21106), and

    phi = log m / log b

is measured and not fitted: m is interpolated, in its logarithm, between untied models of the same
size and seed, of which the one of a single stack is the looped model at b = 1.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd

from analysis.claims.by_seed import BySeed, interval, less, mean
from analysis.claims.cells import Cells
from analysis.claims.findings import comparable
from analysis.claims.measures.treatments import looped_bits_at, under, weights_of
from analysis.runs.logged_run import LoggedRun


def tying(runs: Sequence[LoggedRun]) -> pd.DataFrame:
    """Compare looped models with their untied twins, by seed.

    Args:
        runs: of one task.

    Returns:
        A row for each (size, b > 1) that was trained both ways with a common seed: ``size``, ``b``,
        ``seeds``, the ``looped_weights`` and ``untied_weights``, and with ``_low`` and ``_high``
        (Student's t over seeds at 95 %; NaN with one) ``equal_loops``, bits of the untied over the
        looped, ``equal_weights``, bits of a looped model of as many weights over the untied (NaN
        where no two sizes enclose them), and ``phi``; ``phi_bound`` says in words where phi lies
        if some seeds only bound it. Empty where nothing was trained both ways.
    """
    cells, _ = comparable(runs, ("tied",))
    looped_cells, untied_cells = (under(cells, tied=tied) for tied in (True, False))
    rows = []
    for size in untied_cells.sizes:
        for b in untied_cells.bs(size):
            gain = less(untied_cells.bits(size, b), looped_cells.bits(size, b))
            if b == 1 or not gain:
                continue
            untied_weights = weights_of(untied_cells, size, b)
            at_weights = looped_bits_at(looped_cells, untied_weights, b)
            phi = _phi_by_seed(looped_cells, untied_cells, size, b)
            rows.append(
                {
                    "size": size,
                    "b": b,
                    "seeds": len(gain),
                    "looped_weights": weights_of(looped_cells, size, b),
                    "untied_weights": untied_weights,
                }
                | _numbers("equal_loops", gain)
                | _numbers("equal_weights", less(at_weights, untied_cells.bits(size, b)))
                | _numbers("phi", phi if all(map(math.isfinite, phi.values())) else {})
                | {"phi_bound": _bound(phi, untied_cells, size, b)}
            )
    return pd.DataFrame(rows)


def _numbers(name: str, part: BySeed) -> dict[str, float]:
    low, high = interval(part) if len(part) > 1 else (math.nan, math.nan)
    return {name: mean(part) if part else math.nan, f"{name}_low": low, f"{name}_high": high}


def _phi_by_seed(looped: Cells, untied: Cells, size: str, b: int) -> Mapping[int, float]:
    """Measure phi; infinite on the side on which no untied model is as good, or as bad."""
    target = looped.bits(size, b)
    by_stacks = {m: untied.bits(size, m) for m in untied.bs(size)}
    curves = {
        seed: [(m, bits[seed]) for m, bits in by_stacks.items() if seed in bits] for seed in target
    }
    return {
        seed: _stacks_worth(curve, target[seed]) / math.log(b)
        for seed, curve in curves.items()
        if len(curve) > 1
    }


def _stacks_worth(curve: Sequence[tuple[int, float]], bits: float) -> float:
    """Return the logarithm of the stacks at which a curve first has those bits."""
    if bits < curve[0][1]:
        return -math.inf
    for (m, low), (more, high) in pairwise(curve):
        if low <= bits <= high and high > low:
            share = (bits - low) / (high - low)
            return math.log(m) + share * math.log(more / m)
    return math.inf


def _bound(phi: Mapping[int, float], untied: Cells, size: str, b: int) -> str:
    above = [seed for seed, value in phi.items() if value == math.inf]
    below = [seed for seed, value in phi.items() if value == -math.inf]
    greatest = math.log(max(untied.bs(size))) / math.log(b)
    words = [f"above {greatest:.3g} for {len(above)} of {len(phi)} seeds"] if above else []
    words += [f"below 0 for {len(below)} of {len(phi)} seeds"] if below else []
    return ", ".join(words)
