"""What a law says about money: loops for size, the last loop worth having, the cheapest cells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.scaling.form_fit import FormFit
from analysis.scaling.shapes import Floats
from looped.config import TrainConfig

WORTHWHILE_BITS = 0.01
FARTHEST = 10_000
"""Loops that are looked through; more are as good as never."""


@dataclass(frozen=True)
class Crossing:
    """The b at which something happens, with an interval; infinity is never.

    Attributes:
        b: where the law says; not whole for an exchange rate.
        lower: end of the interval.
        upper: end of the interval.
    """

    b: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """Say it in words: ``b = 4.2 [3.1, 7.9]``."""
        if math.isinf(self.b):
            hope = f"; within the interval from b = {self.lower:.3g}"
            return "never" + ("" if math.isinf(self.lower) else hope)
        upper = "never]" if math.isinf(self.upper) else f"{self.upper:.3g}]"
        return f"b = {self.b:.3g} [{self.lower:.3g}, {upper}"


def exchange_rate(fit: FormFit, size: str, target: str, level: float = 0.95) -> Crossing:
    """Find the b that lifts one size to what another is at b = 1.

    The interval holds every b at which the difference of the two may be 0: its lower end is where
    the difference's upper limit reaches 0, its upper end where the lower limit does.
    """
    bs = np.geomspace(1, FARTHEST, 600)
    lifted_cells = pd.DataFrame({"size": size, "b": bs})
    target_cells = pd.DataFrame({"size": target, "b": np.ones(len(bs))})
    estimate, lower, upper = difference(fit, lifted_cells, target_cells, level)
    return Crossing(*(_first(bs, curve) for curve in (estimate, upper, lower)))


def last_worthwhile(fit: FormFit, size: str, level: float = 0.95) -> Crossing:
    """Find the b after which one more loop gains less than ``WORTHWHILE_BITS``."""
    bs = np.unique(np.round(np.geomspace(1, FARTHEST, 600)))
    cells_before = pd.DataFrame({"size": size, "b": bs})
    cells_after = cells_before.assign(b=bs + 1)
    curves = difference(fit, cells_after, cells_before, level)
    return Crossing(*(_last(bs, curve) for curve in curves))


def difference(
    fit: FormFit, first: pd.DataFrame, second: pd.DataFrame, level: float
) -> tuple[Floats, Floats, Floats]:
    """Estimate E_LM of one table less that of another: value and ends of the interval."""
    values, gradients = (
        left - right
        for left, right in zip(
            fit.evaluate(first, fit.theta[None]), fit.evaluate(second, fit.theta[None]), strict=True
        )
    )
    draws = fit.uncertainty.draws
    resampled_differences = fit.evaluate(first, draws)[0] - fit.evaluate(second, draws)[0]
    return values[0], *fit.uncertainty.interval(
        values[0], resampled_differences, gradients[0], level
    )


def _first(bs: Floats, curve: Floats) -> float:
    """Where a rising curve first reaches 0, between the b that were looked at."""
    reached_indices = np.flatnonzero(curve >= 0)
    if not len(reached_indices):
        return math.inf
    first_index = reached_indices[0]
    if first_index == 0:
        return float(bs[0])
    share = -curve[first_index - 1] / (curve[first_index] - curve[first_index - 1])
    return float(bs[first_index - 1] + share * (bs[first_index] - bs[first_index - 1]))


def _last(bs: Floats, gains: Floats) -> float:
    """The first b beyond every b whose next loop still gains enough."""
    worthwhile = np.flatnonzero(gains >= WORTHWHILE_BITS)
    if not len(worthwhile):
        return float(bs[0])
    return math.inf if worthwhile[-1] == len(bs) - 1 else float(bs[worthwhile[-1] + 1])


def costs(fit: FormFit, configs: Mapping[str, TrainConfig], bs: Sequence[int]) -> pd.DataFrame:
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
    trainings = [
        replace(configs[size], b=int(b), loop_window=None)
        for size, b in zip(table["size"], table["b"], strict=True)
    ]
    table["train_flops"] = [float(cell.steps * cell.step_flops) for cell in trainings]
    table["infer_flops"] = [float(cell.model_config.forward_flops(cell.b)) for cell in trainings]
    table["beyond"] = table["b"] > fit.run_table.bs[-1]
    for kind in ("train", "infer"):
        table[f"{kind}_front"] = front(table[f"{kind}_flops"], table["bits"])
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


def per_flop(table: pd.DataFrame, kind: str) -> "pd.Series":
    """Return the cell with the most bits per FLOP."""
    return table.loc[(table["bits"] / table[f"{kind}_flops"]).idxmax()]
