"""Figures of what follows from a law."""

import pandas as pd
from matplotlib.figure import Figure

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
