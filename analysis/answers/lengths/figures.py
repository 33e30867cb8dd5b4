"""Figures of training length: E against the FLOPs of the training, and phi against its steps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from analysis.answers.joint_law import PUBLISHED_PHI
from analysis.answers.lengths.lengths import Lengths
from analysis.answers.lengths.phi import PhiByLength
from looped.drawing import COLOURS, GREY, MARKERS, tick_text


def draw(lengths: Lengths) -> Figure:
    """Draw a panel per size, E of each b against FLOPs, and one of phi where it is known."""
    sizes = list(dict.fromkeys(lengths.curves["size"]))
    phi = lengths.phi if isinstance(lengths.phi, PhiByLength) else None
    n_panels = len(sizes) + (phi is not None)
    n_columns = min(2, n_panels)
    n_rows = -(-n_panels // n_columns)
    figure = Figure(figsize=(3.8 * n_columns, 3.1 * n_rows), layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    bs = sorted(lengths.curves["b"].unique())
    for axes, size in zip(panels, sizes, strict=False):
        _size_panel(axes, lengths.curves[lengths.curves["size"] == size], bs)
        axes.set(title=size, xlabel="FLOPs of the training", ylabel="expressivity E, bits")
    if phi is not None:
        _phi_panel(panels[len(sizes)], phi.table)
    for axes in panels[n_panels:]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    for axes in panels[1 : len(sizes)]:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles, labels = [*handles, handle], [*labels, label]
    order = sorted(range(len(labels)), key=lambda i: int(labels[i].removeprefix("b = ")))
    figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside lower center",
        ncols=len(order), frameon=False, title="trained at",
    )  # fmt: skip
    return figure


def _size_panel(axes: Axes, table: pd.DataFrame, bs: list[int]) -> None:
    for b, rows in table.groupby("b"):
        index = bs.index(b)
        groups = rows.groupby("flops")["expressivity"]
        mean, least, most = groups.mean(), groups.min(), groups.max()
        colour = COLOURS[index % len(COLOURS)]
        axes.fill_between(mean.index, least, most, color=colour, alpha=0.13, linewidth=0)
        axes.plot(mean.index, mean, color=colour, marker=MARKERS[index % len(MARKERS)],
                  markersize=3, linewidth=1.1, label=f"b = {b}")  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(tick_text))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(color="0.94")


def _phi_panel(axes: Axes, table: pd.DataFrame) -> None:
    value, low, high = PUBLISHED_PHI
    axes.axhspan(low, high, color=GREY, alpha=0.25, linewidth=0)
    axes.axhline(value, color=GREY, linewidth=1, linestyle="--")
    axes.annotate("language models", (1, value), xycoords=("axes fraction", "data"),
                  xytext=(-3, 3), textcoords="offset points", ha="right", fontsize=7)  # fmt: skip
    ends = np.abs(table[["lower_runs", "upper_runs"]].to_numpy(float).T - table["phi"].to_numpy())
    axes.errorbar(table["steps"], table["phi"], ends, color=COLOURS[0], marker="o", markersize=4,
                  linewidth=1.2, elinewidth=0.8)  # fmt: skip
    axes.set(xscale="log", title="phi", xlabel="gradient steps", ylabel="phi: a loop in parameters")
    axes.set_xticks(table["steps"], [f"{steps:,.0f}" for steps in table["steps"]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="0.94")
