"""Figures of loops run after training: each model's curve, and the law of all of them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, NullLocator

from analysis.answers.loops import loop_curves
from analysis.answers.loops.loop_law import LoopLawFit
from looped.drawing import COLOURS, GREY, styled


@styled
def loop_curves_by_size(
    curves: Mapping[tuple[str, int], Sequence[float]], fitted_curves: pd.DataFrame
) -> Figure:
    """Draw E after every loop of one model per (size, b), with the curve fitted to it.

    Args:
        curves: E in bits after loop 1, 2, ... of one model per (size, b).
        fitted_curves: a row per curve, in their order, from ``loop_curves.fit_curves``.
    """
    sizes = list(dict.fromkeys(size for size, _ in curves))
    bs = sorted({b for _, b in curves})
    figure = Figure(figsize=(3.6 * len(sizes), 3.6), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
    for (key, curve), (_, row) in zip(curves.items(), fitted_curves.iterrows(), strict=True):
        size, b = key
        axes, colour = panels[sizes.index(size)], COLOURS[bs.index(b) % len(COLOURS)]
        loops = np.arange(1, len(curve) + 1.0)
        axes.plot(loops, curve, ".", color=colour, markersize=3, label=f"b = {b}")
        parameters = row[list(loop_curves.PARAMETERS)].to_numpy(float)
        if not np.isnan(parameters).any():
            fitted_bits = loop_curves.curve(loops, parameters[None])[0]
            axes.plot(loops, fitted_bits, color=colour, linewidth=1)
        axes.axvline(b, color=colour, linewidth=0.6, linestyle=":")
    for axes, size in zip(panels, sizes, strict=True):
        axes.set(title=size, xlabel="loops run")
        axes.grid(color="0.94")
    panels[0].set_ylabel("expressivity E, bits")
    legend_entries = [panel.get_legend_handles_labels() for panel in panels]
    by_b = {label: handle for pair in legend_entries for handle, label in zip(*pair, strict=True)}
    labels = [f"b = {b}" for b in bs]
    figure.legend([by_b[label] for label in labels], labels, loc="outside lower center",
                  ncols=len(bs), frameon=False,
                  title="trained at (dots: measured, line: fitted)")  # fmt: skip
    return figure


@styled
def loop_law(fit: LoopLawFit) -> Figure:
    """Draw the mean curve of each cell, the law of all, and the law that has not seen its b.

    Args:
        fit: of the law.
    """
    table = fit.table
    sizes = list(dict.fromkeys(table.sizes))
    bs = [int(b) for b in np.unique(table.bs)]
    figure = Figure(figsize=(3.6 * len(sizes), 3.8), layout="constrained")
    panels = dict(zip(sizes, figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0],
                      strict=True))  # fmt: skip
    stack = np.stack(list(table.by_seed.values()))
    least, most = np.nanmin(stack, axis=0), np.nanmax(stack, axis=0)
    loops = np.geomspace(1, table.shape[1], 200)
    for cell, (size, b) in enumerate(zip(table.sizes, table.bs.astype(int), strict=True)):
        axes, colour = panels[size], COLOURS[bs.index(b) % len(COLOURS)]
        axes.fill_between(table.loops, least[cell], most[cell], color=colour, alpha=0.13, lw=0)
        axes.plot(table.loops, table.mean[cell], ".", color=colour, markersize=3)
        place = table.n_params[[cell]], table.bs[[cell]], loops
        axes.plot(loops, fit.law.predict(*place)[0], color=colour, linewidth=1.1)
        axes.plot(loops, fit.without_b[b].predict(*place)[0], "--", color=colour, linewidth=0.9)
    ticks = [mark for mark in (1, 2, 5, 10, 20, 50, 100, 200, 500) if mark <= table.shape[1]]
    for size, axes in panels.items():
        axes.set(title=size, xlabel="loops run", xscale="log")
        axes.set_xticks(ticks, [str(mark) for mark in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(color="0.94")
    panels[sizes[0]].set_ylabel("expressivity E, bits")
    colours = [COLOURS[bs.index(b) % len(COLOURS)] for b in bs]
    handles = [Line2D([], [], color=colour, marker=".", linestyle="") for colour in colours]
    kinds = [Line2D([], [], color=GREY, linestyle=style) for style in ("-", "--")]
    figure.legend(
        handles + kinds, [f"b = {b}" for b in bs] + ["law of all", "law without this b"],
        loc="outside lower center", ncols=len(bs) + 2, frameon=False,
        title="dots: mean over seeds, band: from the least to the greatest",
    )  # fmt: skip
    return figure
