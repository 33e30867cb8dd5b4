"""Which b to train at when the arithmetic is equal: fewer loops for more steps, or the reverse."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import pandas as pd

from analysis.answers.lengths import online
from analysis.claims.by_seed import BySeed, interval
from analysis.runs.logged_run import LoggedRun

PER_DECADE = (1.0, 2.0, 5.0)


def budgets(runs: Sequence[LoggedRun]) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten from the cheapest shorter training to the dearest.

    Args:
        runs: with their training curves.
    """
    with_curves = list(filter(online.has_lengths, runs))
    if not with_curves:
        return []
    least = min(run.config.step_flops * (run.config.warmup + 1) for run in with_curves)
    most = max(map(online.whole_flops, with_curves))
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    marks = [factor * 10.0**power for power in powers for factor in PER_DECADE]
    return [mark for mark in marks if least <= mark <= most]


def at_budgets(runs: Sequence[LoggedRun], flops: Sequence[float]) -> pd.DataFrame:
    """Tabulate what each run had reached when it had spent some FLOPs.

    Args:
        runs: with their training curves.
        flops: budgets.

    Returns:
        As ``online.tabulate``, with ``budget`` in FLOPs.
    """
    rows = [
        row | {"budget": budget}
        for run in filter(online.has_lengths, runs)
        for budget, steps in ((each, each / run.config.step_flops) for each in flops)
        for row in online.rows_of(run, [steps])
    ]
    return pd.DataFrame(rows)


def best_by_budget(table: pd.DataFrame, runs: Sequence[LoggedRun]) -> pd.DataFrame:
    """Find the best b of each size at each budget, and those not shown to be worse.

    Args:
        table: from ``at_budgets``.
        runs: those that it was made of.

    Returns:
        ``size``, ``budget``, ``asked`` (how many b), ``b`` (of the greatest mean E over seeds),
        ``steps`` that it trained for, ``mean``, ``as_good`` (the b whose difference from it, by
        seed, has a 95 % t interval that holds 0, or no interval), ``ended`` (the b whose trainings
        had ended before, and could not be asked), ``too_short`` (those that the budget takes
        through too few steps).
    """
    whole: dict[tuple[str, int], float] = {}
    for run in filter(online.has_lengths, runs):
        key = run.config.size, run.config.b
        whole[key] = max(whole.get(key, 0.0), online.whole_flops(run))
    rows = []
    for (size, budget), group in table.groupby(["size", "budget"], sort=False):
        means = group.groupby("b")["expressivity"].mean()
        best = int(means.idxmax())
        bs = [b for size_there, b in whole if size_there == size]
        ended_bs = [b for b in bs if whole[size, b] < budget and b not in means]
        rows.append(
            {
                "size": size,
                "budget": budget,
                "asked": len(means),
                "b": best,
                "steps": float(group.loc[group["b"] == best, "steps"].mean()),
                "mean": float(means[best]),
                "as_good": [b for b in means.index if b != best and _may_equal(group, best, b)],
                "ended": sorted(ended_bs),
                "too_short": sorted(set(bs) - set(means.index) - set(ended_bs)),
            }
        )
    return pd.DataFrame(rows)


class Pair(NamedTuple):
    """A b beside a larger one of its size, at the FLOPs of the smaller's whole training.

    Attributes:
        size: of both.
        b: the smaller.
        larger_b: the larger.
        flops: of either training.
        steps: that the smaller b trains for.
        larger_steps: that the larger b does.
        bits: E of the smaller b less that of the larger, by seed.
    """

    size: str
    b: int
    larger_b: int
    flops: float
    steps: float
    larger_steps: float
    bits: BySeed


def differences(runs: Sequence[LoggedRun]) -> list[Pair]:
    """Compare each b with each larger b of its size at the FLOPs of its whole training, by seed.

    Args:
        runs: with their training curves.

    Returns:
        The pairs that have a seed in common.
    """
    with_curves = list(filter(online.has_lengths, runs))
    pairs = []
    for size in dict.fromkeys(run.config.size for run in with_curves):
        of_size = [run for run in with_curves if run.config.size == size]
        for b, larger_b in combinations(sorted({run.config.b for run in of_size}), 2):
            of_pair = [run for run in of_size if run.config.b in (b, larger_b)]
            flops = min(online.whole_flops(run) for run in of_pair if run.config.b == b)
            table = at_budgets(of_pair, [flops])
            bits = _by_seed(table, b, larger_b)
            if len(bits):
                steps = table.groupby("b")["steps"].mean()
                lengths = float(steps[b]), float(steps[larger_b])
                by_seed = {int(seed): float(value) for seed, value in bits.items()}
                pairs.append(Pair(size, b, larger_b, flops, *lengths, by_seed))
    return pairs


def compare(runs: Sequence[LoggedRun]) -> pd.DataFrame:
    """Tabulate ``differences``.

    Args:
        runs: with their training curves.

    Returns:
        The columns of ``Pair`` with, in place of ``bits``, ``seeds`` (that both have), and
        ``difference`` (the mean over seeds) with ``lower`` and ``upper`` (95 % t interval over
        seeds; NaN with one seed).
    """
    rows = []
    for pair in differences(runs):
        middle, low, high = _t_interval(pd.Series(pair.bits))
        row = pair._asdict() | {"seeds": len(pair.bits), "difference": middle}
        del row["bits"]
        rows.append(row | {"lower": low, "upper": high})
    return pd.DataFrame(rows)


def _by_seed(table: pd.DataFrame, b: int, other_b: int) -> "pd.Series[float]":
    """E at one b less E at another, by seed, where a seed has both."""
    if not len(table):
        return pd.Series(dtype=float)
    bits = table.pivot_table(index="seed", columns="b", values="expressivity")
    if b not in bits or other_b not in bits:
        return pd.Series(dtype=float)
    return (bits[b] - bits[other_b]).dropna()


def _may_equal(table: pd.DataFrame, b: int, other_b: int) -> bool:
    _, low, high = _t_interval(_by_seed(table, b, other_b))
    return not (low > 0 or high < 0)


def _t_interval(values: "pd.Series[float]") -> tuple[float, float, float]:
    middle = float(values.mean()) if len(values) else math.nan
    if len(values) < 2:
        return middle, math.nan, math.nan
    return middle, *interval(dict(values.items()))
