"""Figures of what follows from a law, and of loops far beyond b."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.answers import loop_curves
from looped.drawing import COLOURS, MARKERS, styled


@styled
def costs(table: pd.DataFrame, length: str) -> Figure:
    """Draw what the law predicts against what it costs.

    Args:
        table: from ``costs.costs``.
        length: of the trainings, as ``7,500 steps``.
    """
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    labels = {"train": f"FLOPs of a training of {length}", "infer": "FLOPs of one prompt"}
    for axes, (kind, label) in zip(panels, labels.items(), strict=True):
        for index, (size, rows_of_size) in enumerate(table.groupby("size", sort=False)):
            colour = COLOURS[index % len(COLOURS)]
            cost = rows_of_size[f"{kind}_flops"]
            axes.plot(cost, rows_of_size["bits"], color=colour, linewidth=0.8)
            axes.fill_between(
                cost, rows_of_size["lower"], rows_of_size["upper"], color=colour, alpha=0.15, lw=0
            )
            trained_rows = rows_of_size[~rows_of_size["beyond"]]
            marker = MARKERS[index % len(MARKERS)]
            axes.plot(trained_rows[f"{kind}_flops"], trained_rows["bits"], marker, color=colour,
                      markersize=3, label=size)  # fmt: skip
        front = table[table[f"{kind}_front"]].sort_values(f"{kind}_flops")
        axes.step(front[f"{kind}_flops"], front["bits"], where="post", color="black",
                  linewidth=1.2, label="Pareto front")  # fmt: skip
        axes.set(xscale="log", xlabel=label)
        axes.grid(color="0.94")
    panels[0].set_ylabel("predicted E, bits (a marker per b)")
    panels[0].legend(frameon=False)
    return figure


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
