"""Draws how costs grow: time and memory against each axis, both scales logarithmic."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from entrypoints.benchmarks.growth import upper_half
from entrypoints.benchmarks.results import Results, preface
from looped.drawing import BLUE, GREY, styled

LABELS = {
    "b": "b, loops",
    "N": "N, in-context examples",
    "batch": "batch, prompts",
    "width": "width, n_embd",
    "replicas": "replicas",
    "cells": "cells of a grid that is planned",
}
UNITS = {"ms": "time", "mib": "memory"}
COLUMNS = 3


@styled
def draw(results: Results, path: Path) -> None:
    """Draw the part ``scaling`` of a benchmark.

    Raises:
        ValueError: it has none.
    """
    rows = results["parts"].get("scaling", [])
    if not rows:
        raise ValueError("a figure needs a benchmark with part scaling, got one without")
    n_bands = -(-len(rows) // COLUMNS)
    figure = Figure(figsize=(9, 4.6 * n_bands), layout="constrained")
    grid = figure.subplots(2 * n_bands, COLUMNS, squeeze=False)
    for column in range(len(rows) - COLUMNS * (n_bands - 1), COLUMNS):
        for axes in grid[-2:, column]:
            axes.remove()
    for index, row in enumerate(rows):
        band, column = divmod(index, COLUMNS)
        for offset, unit in enumerate(UNITS):
            _panel(grid[2 * band + offset, column], row, unit)
    about = "grey: the power law that fits the upper half of the range"
    figure.suptitle(f"{preface(results['about'])}\n{about}", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _panel(axes: Axes, row: dict[str, Any], unit: str) -> None:
    xs, costs = (np.asarray(row[name], dtype=float) for name in ("xs", unit))
    what = UNITS[unit]
    value, se = row[f"{what}_exponent"], row[f"{what}_se"]
    fitted_range = upper_half(row["xs"])
    upper = xs[fitted_range]
    centre = np.exp(np.log(costs[fitted_range] / upper**value).mean())
    axes.plot(upper, centre * upper**value, color=GREY, linewidth=4, alpha=0.4)
    axes.plot(xs, costs, "o-", color=BLUE, markersize=4, linewidth=1)
    title = f"{what}: exponent {value:.2f} ± {se:.2f}"
    if unit == "ms" and "flops_exponent" in row:
        title += f"\nFLOPs: {row['flops_exponent']:.2f}"
    axes.set_title(title, fontsize=9)
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel(LABELS.get(row["against"], row["against"]), fontsize=8)
    axes.set_ylabel({"ms": "ms", "mib": "MiB"}[unit], fontsize=8)
    axes.tick_params(labelsize=7)
    for axis, values in ((axes.xaxis, xs), (axes.yaxis, costs)):
        is_long = max(values) > 50 * min(values)
        axis.set_major_locator(LogLocator(10, subs=(1,) if is_long else (1, 2, 5)))
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter(NullFormatter())
