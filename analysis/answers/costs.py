"""What FLOPs buy: the cells that are worth their cost, for a budget, and bits per doubling."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.answers.exchange import WORTHWHILE_BITS
from analysis.answers.flops import KINDS, flops_of
from analysis.scaling.fit import ScalingFit
from analysis.scaling.form.shapes import Floats
from looped.config import TrainConfig


def costs(fit: ScalingFit, configs: Mapping[str, TrainConfig], bs: Sequence[int]) -> pd.DataFrame:
    """Set what the law predicts beside what it costs, for every size and b.

    Args:
        fit: the law.
        configs: a training of each size; its b is replaced, with the loss over the last loops as
            by default.
        bs: loop counts, whole.

    Returns:
        Columns ``size``, ``b``, ``bits``, ``lower``, ``upper``, ``train_flops`` (of a whole
        training), ``infer_flops`` (of one prompt), ``beyond`` (b is larger than any trained),
        ``train_front`` and ``infer_front`` (no cheaper cell is as good).
    """
    table = pd.DataFrame([{"size": size, "b": b} for size in configs for b in bs])
    table["bits"] = fit.predict(table)
    table["lower"], table["upper"] = fit.interval(table)
    for kind in KINDS:
        table[f"{kind}_flops"] = [
            flops_of(configs[size], kind, int(b))
            for size, b in zip(table["size"], table["b"], strict=True)
        ]
    table["beyond"] = table["b"] > fit.run_table.bs[-1]
    for kind in KINDS:
        table[f"{kind}_front"] = front(table[f"{kind}_flops"], table["bits"])
    return table


def doublings(
    fit: ScalingFit, configs: Mapping[str, TrainConfig], level: float = 0.95
) -> pd.DataFrame:
    """Say what a doubling of the FLOPs buys from each trained cell: loops, or the next size.

    Args:
        fit: the law.
        configs: a training of each size.
        level: of the intervals.

    Returns:
        A row per way up: ``size`` and ``b``; ``to_size`` and ``to_b``, twice the loops or the
        next larger size at the same b; and, for ``train`` and ``infer``, the bits that the law
        sets between the two, over the doublings of the FLOPs that lie between them, as
        ``train_bits``, ``train_lower``, ``train_upper``, ...; ``beyond``, as in ``costs``.
    """
    sizes = sorted(configs, key=lambda size: flops_of(configs[size], "train", 1))
    bs = [int(b) for b in fit.run_table.bs]
    ways = [(size, b, size, 2 * b) for size in sizes for b in bs]
    ways += [(low, b, high, b) for low, high in itertools.pairwise(sizes) for b in bs]
    table = pd.DataFrame(ways, columns=["size", "b", "to_size", "to_b"])
    ends = table[["to_size", "to_b"]].set_axis(["size", "b"], axis=1)
    bits = fit.difference(ends, table[["size", "b"]], level)
    for kind in KINDS:
        flops = [
            [flops_of(configs[size], kind, b) for size, b in cells]
            for cells in (
                zip(table["size"], table["b"], strict=True),
                zip(table["to_size"], table["to_b"], strict=True),
            )
        ]
        n_doublings = np.log2(np.array(flops[1]) / np.array(flops[0]))
        n_doublings[n_doublings <= 0] = np.nan  # sizes as dear as each other
        for name, values in zip(("bits", "lower", "upper"), bits, strict=True):
            table[f"{kind}_{name}"] = values / n_doublings
    table["beyond"] = table["to_b"] > bs[-1]
    return table


def front(cost: "pd.Series", bits: "pd.Series") -> Floats:
    """Mark the Pareto front: cells that no cell of the same cost or less equals."""
    order = np.lexsort((-bits.to_numpy(), cost.to_numpy()))
    best = np.maximum.accumulate(np.r_[-np.inf, bits.to_numpy()[order][:-1]])
    is_on_front = np.zeros(len(order), dtype=bool)
    is_on_front[order] = bits.to_numpy()[order] > best
    return np.asarray(is_on_front)


def best_for(table: pd.DataFrame, kind: str, budgets: Sequence[float]) -> pd.DataFrame:
    """Find the cell to take for each budget of FLOPs.

    It is the cheapest of those that come within ``WORTHWHILE_BITS`` of the best.

    Args:
        table: from ``costs``.
        kind: ``train`` or ``infer``.
        budgets: FLOPs of a whole training, or of one prompt.
    """
    cost, rows = f"{kind}_flops", []
    for budget in budgets:
        affordable = table[table[cost] <= budget]
        if len(affordable):
            near_best = affordable[affordable["bits"] >= affordable["bits"].max() - WORTHWHILE_BITS]
            best = near_best.loc[near_best[cost].idxmin()]
            rows.append(
                {"budget": budget, **best[["size", "b", "bits", "lower", "upper", "beyond"]]}
            )
    return pd.DataFrame(rows)


def budgets(table: pd.DataFrame, kind: str, count: int = 6) -> list[float]:
    """Choose budgets of FLOPs to show, evenly spaced in their logarithm and rounded up."""
    cost = table[f"{kind}_flops"]
    raw = np.geomspace(cost.min(), cost.max(), count)
    unit = 10 ** np.floor(np.log10(raw))
    return [float(value) for value in np.ceil(raw / unit) * unit]
