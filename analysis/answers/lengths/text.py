"""Training length in words."""

import math

import pandas as pd

from analysis.answers.lengths import stretch
from analysis.answers.lengths.lengths import Lengths
from analysis.answers.lengths.phi import PhiByLength

HOW = (
    "from the training curves: the error on fresh prompts, averaged over the last tenth of the "
    "steps so far; at a constant rate the first steps are the shorter training"
)


def describe(lengths: Lengths | str) -> list[str]:
    """Say what was found, in lines."""
    if isinstance(lengths, str):
        return [lengths]
    return [
        HOW,
        *phi_lines(lengths.phi),
        *pair_lines(lengths.pairs),
        *best_lines(lengths.best),
        stretch.verdict(lengths.shapes),
    ]


def phi_lines(phi: PhiByLength | str) -> list[str]:
    """Say phi at each length, and whether it moved."""
    if isinstance(phi, str):
        return [f"phi at each length: {phi}"]
    lines = ["steps     phi  if every size obeys the law  sizes may lie off it"]
    for row in phi.table.to_dict("records"):
        of_runs = f"[{row['lower_runs']:.2f}, {row['upper_runs']:.2f}]"
        line = f"{row['steps']:>7,.0f}  {row['phi']:>4.2f}  {of_runs:<27}"
        line += f"  [{row['lower']:.2f}, {row['upper']:.2f}]"
        lines.append(line + ("  at the edge of what was searched" if row["at_bound"] else ""))
    if phi.rise is not None:
        value, low, high = phi.rise
        first, last = phi.table["steps"].iloc[[0, -1]]
        verdict = "moves with the length" if low > 0 or high < 0 else "is not shown to move"
        lines.append(
            f"phi {verdict}: from {first:,.0f} to {last:,.0f} steps by {value:+.2f} "
            f"[{low:+.2f}, {high:+.2f}], if every size obeys the law "
            f"(jackknife over {phi.n_clusters} seeds of sizes)"
        )
    return lines


def pair_lines(pairs: pd.DataFrame) -> list[str]:
    """Say of each b and each larger b which reaches more at the FLOPs of the smaller's training."""
    if not len(pairs):
        return ["equal FLOPs: no b has a larger one beside it"]
    lines = ["at equal FLOPs, E of the smaller b less E of the larger, in bits, 95 % over seeds:"]
    for row in pairs.to_dict("records"):
        lines.append(
            f"{row['size']:<9} b = {row['b']} for {row['steps']:,.0f} steps, "
            f"{row['larger_b']} for {row['larger_steps']:,.0f}: "
            f"{row['difference']:+.2f} {_span(row['lower'], row['upper'])}{_winner(row)}"
        )
    return [*lines, pair_result(pairs)]


def pair_result(pairs: pd.DataFrame) -> str:
    """Count the pairs by what is shown of them, in a sentence."""
    smaller, larger = int((pairs["lower"] > 0).sum()), int((pairs["upper"] < 0).sum())
    rest = len(pairs) - smaller - larger
    return (
        f"At equal FLOPs the smaller b reaches more in {smaller} of {len(pairs)} pairs, "
        f"the larger in {larger}, and {rest} are undecided (95 % intervals, each for itself)."
    )


def best_lines(best: pd.DataFrame) -> list[str]:
    """Say which b a budget is best spent at, size by size."""
    lines = ["which b to train for a budget of FLOPs, and those not shown to be worse:"]
    for row in best.to_dict("records"):
        if row["asked"] < 2:
            continue  # nothing to choose from
        line = f"{row['size']:<9} {row['budget']:.0e}: b = {row['b']} for {row['steps']:,.0f} steps"
        line += f", {row['mean']:.2f} bits"
        if row["as_good"]:
            line += f"; or {_listed(row['as_good'])}"
        if row["ended"]:
            line += f"; only larger b reach it: {_listed(row['ended'])} had ended"
        lines.append(line)
    return lines


def _listed(bs: list[int]) -> str:
    return ", ".join(map(str, bs))


def _span(low: float, high: float) -> str:
    return "(one seed: no interval)" if math.isnan(low) else f"[{low:+.2f}, {high:+.2f}]"


def _winner(row: dict[str, float]) -> str:
    if row["lower"] > 0:
        return ", the smaller"
    return ", the larger" if row["upper"] < 0 else ""
