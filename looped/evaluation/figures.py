"""Figures, drawn from numbers alone."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import TICKLEFT
from matplotlib.ticker import NullLocator

from looped.drawing import BASELINE_STYLES, BLUE, GREY, styled

LEGEND_ROW, XLABEL = 0.167, 0.62
"""Inches that a row of the legend takes, and what stands between it and the axes."""


@styled
def extrapolation(
    title: str,
    b: int,
    loops: Mapping[str, Sequence[float]],
    baselines: Mapping[str, Mapping[str, Sequence[float]]],
    band: tuple[int, int] | None = None,
    remark: str = "",
) -> Figure:
    """Draw a model's error after every loop beside what the baselines reach.

    Args:
        title: what the model is.
        b: the loop count that it was trained at.
        loops: the curves of ``Evaluation.by_loop``.
        baselines: the scores of ``score_baselines``.
        band: the first and last loop that are as good as the best.
        remark: what the state does beyond b.
    """
    height = 4.8
    figure = Figure(figsize=(7.2, height))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    n_loops = len(loops["nmse"])
    steps = range(1, n_loops + 1)
    upper.fill_between(
        steps, loops["nmse_q05"], loops["nmse_q95"], color=BLUE, alpha=0.12, linewidth=0,
        label="model, 5 % to 95 % of prompts",
    )  # fmt: skip
    upper.plot(steps, loops["nmse_median"], color=BLUE, linewidth=0.8, label="model, median")
    upper.errorbar(
        steps, loops["nmse"], [2 * se for se in loops["nmse_se"]], color=BLUE, linewidth=1.8,
        elinewidth=0.8, label="model, mean ± 2 standard errors",
    )  # fmt: skip
    if band is not None:
        upper.axvspan(band[0] - 0.5, band[1] + 0.5, color="0.5", alpha=0.12, linewidth=0,
                      label=f"as good as the best: loops {band[0]} to {band[1]}")  # fmt: skip
    floor = min(loops["nmse_median"]) / 30
    for style, (name, score) in zip(BASELINE_STYLES, baselines.items(), strict=False):
        label, curve = name.replace("_", " "), list(score["nmse"][:n_loops])
        if len(curve) > 1:
            label += ", a step per loop"
        else:
            curve *= n_loops
        if curve[0] < floor:  # it would press the model's curve against the top
            label, curve = f"{label}: {curve[0]:.1g}, below the axis", []
        upper.plot(steps[: len(curve)], curve, color=GREY, linestyle=style, label=label)
    top = max(2.0, *(1.3 * value for value in loops["nmse"]))
    upper.set(yscale="log", ylim=(floor, top), ylabel="squared error / Var(y)", title=title)
    lower.plot(steps[1:], loops["state_change"], color=BLUE, label="state, |Δz| / |z|")
    predictions = loops.get("prediction_change", ())  # older evaluations have none
    if len(predictions):
        lower.plot(steps[1:], predictions, color=GREY, label="prediction, |Δŷ| / sd(y)")
        lower.legend(loc="upper right", ncols=2, fontsize=7, frameon=False)
    label = "change a loop" if len(predictions) else "|Δz| / |z|"
    lower.set(yscale="log", xlabel="loops run", ylabel=label, xlim=(0.5, n_loops + 0.5))
    lower.set_title(remark, fontsize=8)
    for axes in (upper, lower):
        axes.yaxis.set_major_formatter("{x:g}")  # powers of ten take a fifth of the drawing
        _tick_between(axes)
        axes.axvline(b, color="black", linewidth=0.8)
        axes.grid(axis="y", color="0.92")
    upper.annotate(f"trained at b = {b}", (b, 1), (4, -12), textcoords="offset points",
                   xycoords=("data", "axes fraction"), fontsize=8)  # fmt: skip
    handles, labels = upper.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False, fontsize=8)
    # margins by hand: to have them found takes half of the drawing, and each training draws one
    rows = -(-len(labels) // 2)
    below = LEGEND_ROW * rows + XLABEL
    figure.subplots_adjust(left=0.12, right=0.98, top=0.945, bottom=below / height, hspace=0.26)
    return figure


def _tick_between(axes: Axes) -> None:
    """Mark a log axis between the powers of ten by one line, of which each mark is a tick.

    matplotlib makes five objects of every tick, which take a third of the drawing.
    """
    bottom, top = axes.get_ylim()
    powers = range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)))
    places = [digit * 10.0**power for power in powers for digit in range(2, 10)]
    places = [place for place in places if bottom <= place <= top]
    axes.yaxis.set_minor_locator(NullLocator())
    axes.plot(
        [0] * len(places), places, transform=axes.get_yaxis_transform(), color="black",
        linestyle="", marker=TICKLEFT, markersize=2, markeredgewidth=0.6, clip_on=False,
        scaley=False,
    )  # fmt: skip


@styled
def tables(
    b: int, curves: Mapping[str, Sequence[float]], level: Mapping[str, Mapping[str, float]]
) -> Figure:
    """Draw a model's error on real tables after every loop, a panel per table.

    Args:
        b: the loop count that the model was trained at.
        curves: NMSE after each loop, by table.
        level: NMSE of each baseline, by table.
    """
    figure = Figure(figsize=(3.4 * len(curves), 3.4), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (table, curve) in zip(panels, curves.items(), strict=True):
        axes.plot(range(1, len(curve) + 1), curve, color=BLUE, linewidth=1.8, label="model")
        for style, (name, nmse) in zip(BASELINE_STYLES, level[table].items(), strict=False):
            axes.axhline(nmse, color=GREY, linestyle=style, label=name.replace("_", " "))
        axes.axvline(b, color="black", linewidth=0.8)
        axes.set(title=table.replace("_", " "), xlabel=f"loops run (trained at b = {b})")
    panels[0].set_ylabel("squared error / that of the mean")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure
