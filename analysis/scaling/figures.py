"""Figures of a fitted law, drawn from the fit alone."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from analysis.scaling import choice
from analysis.scaling.fit import FitStatus, ScalingFit
from analysis.scaling.run_table import RunTable
from looped.drawing import COLOURS, GREY, MARKERS, styled

BAND = "runs; line: law, band: 95 % for the mean over seeds"
MOST_DRAWN = 40
"""Runs of a cell that are drawn: those of its first seeds."""


@styled
def law(fit: ScalingFit, bayes: float | None = None) -> Figure:
    """Draw the law over the runs with its 95 % band, which is for the mean over seeds.

    Args:
        fit: the law.
        bayes: expressivity of the Bayes predictor, where the task has one.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.figures import law
        >>> figure = law(example_fit(), bayes=5.0)
        >>> figure.axes[0].get_title()
        'E_M + gain (log2(b))  (logarithmic/shared_gain)'
    """
    figure, axes = _panel(_title(fit))
    run_table, (is_drawn, remark) = fit.run_table, _drawn(fit.run_table)
    farthest = 2 * run_table.bs[-1]
    # loops are whole: between 1 and 2 forms may do what no model can
    bs = np.union1d(np.round(np.geomspace(1, farthest, 200)), run_table.bs)
    for index, size in enumerate(run_table.sizes):
        colour, is_shown = COLOURS[index % len(COLOURS)], (run_table.size == index) & is_drawn
        marker = MARKERS[index % len(MARKERS)]
        cells = {"size": [size] * len(bs), "b": bs}
        lower, upper = fit.interval(cells)
        style = "-" if fit.status is FitStatus.OK else "--"
        axes.fill_between(bs, lower, upper, color=colour, alpha=0.18, linewidth=0)
        axes.plot(bs, fit.predict(cells), style, color=colour, linewidth=1.4)
        axes.plot(run_table.b[is_shown], run_table.values[is_shown], marker, color=colour,
                  markersize=4, fillstyle="none", label=size)  # fmt: skip
    if bayes is not None:
        axes.axhline(bayes, color=GREY, linestyle=":", label="Bayes predictor")
    axes.axvspan(run_table.bs[-1], farthest, color="0.96", zorder=0)
    axes.annotate(
        "beyond what\nwas trained",
        (run_table.bs[-1], 0.02),
        (4, 2),
        fontsize=8,
        color=GREY,
        textcoords="offset points",
        xycoords=("data", "axes fraction"),
    )
    if fit.status is not FitStatus.OK:
        about = ", ".join(fit.best.blamed_parameters) or fit.status.value
        warning = f"{fit.status.name}: {about}"
        axes.annotate(warning, (0.02, 0.02), fontsize=8, xycoords="axes fraction", color="#d55e00")
    _loops_axis(axes, [*run_table.bs, farthest])
    axes.set(ylabel="expressivity E, bits", xlim=(0.93, farthest))
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, loc="outside lower center",
                  ncols=len(run_table.sizes) + 1, title=f"{BAND}{remark}")  # fmt: skip
    return figure


def _title(fit: ScalingFit) -> str:
    form = f"{fit.best.sized_form.form.formula}  ({fit.best_form})"
    n_forms = len(fit.weights)
    if not fit.averages:
        return form
    return f"average of {n_forms} forms; first: {form}" if n_forms > 1 else form


@styled
def residuals(fit: ScalingFit) -> Figure:
    """Draw what each run is above the law, beside how runs scatter.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.figures import residuals
        >>> residuals(example_fit()).axes[0].get_ylabel()
        'residual, bits'
    """
    figure, axes = _panel(f"runs less the law ({fit.best_form})")
    run_table, spread = fit.run_table, fit.best.residual_sd
    values, (is_drawn, remark) = run_table.values - fit.best.fitted_bits, _drawn(run_table)
    axes.axhspan(-2 * spread, 2 * spread, color="0.93")
    axes.axhline(0, color="black", linewidth=0.8)
    n_sizes = len(run_table.sizes)
    for index, size in enumerate(run_table.sizes):
        is_shown = (run_table.size == index) & is_drawn
        aside = 1 + 0.05 * (index - (n_sizes - 1) / 2)  # sizes side by side
        axes.plot(run_table.b[is_shown] * aside, values[is_shown],
                  MARKERS[index % len(MARKERS)], color=COLOURS[index % len(COLOURS)],
                  markersize=4, fillstyle="none", label=size)  # fmt: skip
    _loops_axis(axes, run_table.bs)
    axes.set(ylabel="residual, bits")
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, ncols=n_sizes,
                  loc="outside lower center",
                  title=f"band: ± 2 standard deviations{remark}")  # fmt: skip
    return figure


@styled
def held_out(fit: ScalingFit) -> Figure:
    """Draw what the law says of cells that it was not fitted to against what was measured.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.figures import held_out
        >>> [axes.get_title() for axes in held_out(example_fit()).axes]
        ['one b left out: rms 0.000 bits', 'one size beyond b = 1 left out: rms 0.031 bits']
    """
    table = fit.held_out
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    titles = {"b": "one b left out", "size": "one size beyond b = 1 left out"}
    for axes, (kind, title) in zip(panels, titles.items(), strict=True):
        fold = table[table["left_out"] == kind]
        for index, size in enumerate(fit.run_table.sizes):
            rows = fold[(fold["size"] == size) & fold["predicted"].notna()]
            marker, colour = MARKERS[index % len(MARKERS)], COLOURS[index % len(COLOURS)]
            axes.plot(rows["measured"], rows["predicted"], marker, color=colour,
                      fillstyle="none", label=size)  # fmt: skip
            for row in rows.itertuples():
                axes.annotate(f"{row.b:g}", (row.measured, row.predicted), (4, -3), fontsize=7,
                              textcoords="offset points", color=GREY)  # fmt: skip
        root = float(np.sqrt((fold["error"] ** 2).mean()))
        error_text = "cannot be predicted" if np.isnan(root) else f"rms {root:.3f} bits"
        axes.set(title=f"{title}: {error_text}", xlabel="measured E, mean of a cell, bits")
        axes.axline((fold["measured"].mean(),) * 2, slope=1, color="black", linewidth=0.8)
        axes.title.set_fontsize(9)
    # a law may go far astray where a size is left out: what was measured sets the scale
    measured_bits = table["measured"]
    room = 0.4 * max(measured_bits.max() - measured_bits.min(), 0.5)
    ends = (measured_bits.min() - room, measured_bits.max() + room)
    for axes, kind in zip(panels, titles, strict=True):
        predicted_bits = table[table["left_out"] == kind]["predicted"]
        n_outside = int(((predicted_bits < ends[0]) | (predicted_bits > ends[1])).sum())
        axes.set(xlim=ends, ylim=ends)
        if n_outside:
            axes.annotate(f"{n_outside} outside", (0.97, 0.03), xycoords="axes fraction",
                          ha="right", fontsize=8)  # fmt: skip
    panels[0].set_ylabel("predicted E, bits")
    panels[0].legend(frameon=False, title="number: b")
    return figure


@styled
def forms(fit: ScalingFit) -> Figure:
    """Draw the forms' criteria side by side.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.figures import forms
        >>> [label.get_text() for label in forms(example_fit()).axes[0].get_yticklabels()]
        ['power', 'logarithmic/shared_gain']
    """
    table = fit.comparison.iloc[::-1]
    figure = Figure(figsize=(8.4, 0.8 + 0.32 * len(table)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rows = np.arange(len(table))
    colours = ["#0072b2" if status == "OK" else "0.75" for status in table["status"]]
    left.barh(rows, table["delta"], color=colours, height=0.6)
    left.axvline(choice.PLAUSIBLE_WITHIN, color="black", linewidth=0.8, linestyle=":")
    left.set_xscale("symlog", linthresh=10)
    left.set(xlabel="AICc above the least\n(grey: at a bound, or not identified)", xlim=(0, None))
    left.set_yticks(rows, table["form"], fontsize=8)
    for name, marker, label in (
        ("leave_one_b_out", "o", "one b left out"),
        ("leave_one_size_out", "s", "one size left out"),
        ("rmse", "|", "of cells fitted to"),
    ):
        right.plot(table[name], rows, marker, label=label, fillstyle="none")
    right.set(xlabel="root mean square error, bits", xscale="log")
    right.margins(x=0.15)
    right.xaxis.set_major_formatter(ScalarFormatter())
    right.grid(axis="x", color="0.92")
    right.legend(frameon=False, fontsize=8)
    return figure


def _drawn(run_table: RunTable) -> tuple[npt.NDArray[np.bool_], str]:
    """Choose the runs to draw, as a mask of shape (n,); say so where these are not all."""
    seeds = pd.Series(pd.factorize(run_table.rows["seed"], sort=True)[0])
    places = seeds.groupby(run_table.cells).rank(method="dense").to_numpy()
    is_drawn = places <= MOST_DRAWN
    return is_drawn, "" if is_drawn.all() else f"; of a cell the first {MOST_DRAWN} seeds"


def _panel(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=9)
    axes.grid(axis="y", color="0.92")
    return figure, axes


def _loops_axis(axes: Axes, bs: Iterable[float]) -> None:
    axes.set(xscale="log", xlabel="loops b that the model was trained at")
    ticks = list(bs)
    axes.set_xticks(ticks, [f"{b:g}" for b in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
