"""The error after b loops against b: what looping buys, and up to where."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.report import drawing, seeds
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.runs.expressivity import DEFINITION, expressivity
from looped.counting import counted
from looped.drawing import BASELINE_STYLES, GREY

COLUMNS = ["size", "b", "seed", "nmse", "expressivity", "standard_error", "plateau", "convergence"]
FARTHEST = 6.0
"""A baseline is a line if it is within so many times the models' range, else in the legend."""


def exhibit(subject: Subject) -> Exhibit:
    """Draw a task's performance figure."""
    look_for = (
        "Error at the query after b loops against the b that a model was trained at: falling "
        "lines say that loops buy accuracy, a line that flattens has found the model's ceiling, "
        "and a smaller model whose line comes below a larger one's first mark has made up for "
        "its size. Hollow marks are seeds; line and band are their mean and "
        f"{seeds.WHAT} in bits, so the line is the geometric mean of the errors. {DEFINITION}."
    )
    if "gradient_descent" in subject.baselines:
        look_for += " Gradient descent is shown after its last step."
    look_for += seeds.drawn_account(subject.table)
    lacks = []
    if not len(subject.table):
        return Exhibit(name="performance", title="Performance", look_for=look_for, lacks=(
            "performance, extrapolation, law, Pareto front: no run is evaluated "
            "(evaluate-extrapolation does it)",))  # fmt: skip
    if not subject.baselines:
        lacks.append("baselines: none are logged for these prompts")
    n_unevaluated = len(subject.runs) - len(subject.evaluated_runs)
    if n_unevaluated:
        lacks.append(
            f"errors: {n_unevaluated} of {len(subject.runs)} runs are not evaluated "
            "(evaluate-extrapolation does it)"
        )
    if len(subject.sizes) < 2:
        lacks.append(f"more than one size: all runs are {subject.sizes[0]}")
    if len(subject.bs) < 2:
        lacks.append(f"more than one b: all runs were trained at b = {subject.bs[0]}")
    n_lonely = int((subject.learned_rows.groupby(["size", "b"]).size() < 2).sum())
    if n_lonely:
        lacks.append(f"bands over seeds: {n_lonely} of the cells (size, b) have one seed")
    return Exhibit(
        name="performance",
        title="Performance",
        look_for=look_for,
        result=_result(subject),
        table=subject.table[COLUMNS],
        figure=draw(subject.table, subject.baselines, subject.ceiling),
        lacks=tuple(lacks),
    )


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Average the runs that learned over seeds: E in bits with its interval, and the NMSE."""
    means = seeds.over_seeds(table[~table["plateau"]], ["size", "b"], "expressivity")
    return means.assign(
        nmse=0.25 ** means["mean"],
        nmse_lower=0.25 ** means["upper"],
        nmse_upper=0.25 ** means["lower"],
    )


@drawing.styled
def draw(table: pd.DataFrame, baselines: Mapping[str, float], ceiling: str | None) -> Figure:
    """Draw runs, their means over seeds, the baselines and the Bayes ceiling.

    Args:
        table: columns ``COLUMNS``, a row per run.
        baselines: NMSE by name.
        ceiling: the baseline that no predictor can beat, if it makes an error.
    """
    figure = Figure(figsize=(7.6, 5.6))
    axes = figure.subplots()
    means, rows_drawn = cells(table), seeds.drawn(table)
    for size, look in drawing.marks(table["size"].unique()).items():
        rows_of_size, mean = rows_drawn[rows_drawn["size"] == size], means[means["size"] == size]
        learned_rows, plateaued_rows = (
            rows_of_size[~rows_of_size["plateau"]],
            rows_of_size[rows_of_size["plateau"]],
        )
        axes.fill_between(mean["b"], mean["nmse_lower"], mean["nmse_upper"],
                          color=look["color"], **drawing.BAND)  # fmt: skip
        axes.plot(mean["b"], mean["nmse"], color=look["color"], linestyle=look["linestyle"],
                  marker=look["marker"], markersize=6, label=size)  # fmt: skip
        axes.plot(learned_rows["b"], learned_rows["nmse"], look["marker"], color=look["color"],
                  markersize=4, fillstyle="none", label=f"_{size}, seeds")  # fmt: skip
        label = f"{size}, plateaued" if len(plateaued_rows) else f"_{size}, plateaued"
        axes.plot(plateaued_rows["b"], plateaued_rows["nmse"], "x", color=look["color"],
                  markersize=7, label=label)  # fmt: skip
    drawing.trained_axis(axes, sorted(table["b"].unique()))
    low, high = table["nmse"].min(), table["nmse"].max()
    if ceiling is not None:
        bayes = baselines[ceiling]
        label = f"Bayes predictor ({ceiling}), {expressivity(bayes):.2f} bits: the ceiling"
        axes.axhline(bayes, color="black", linewidth=1, label=label)
        low = min(low, bayes)
    other_baselines = {name: nmse for name, nmse in baselines.items() if name != ceiling}
    _draw_baselines(axes, other_baselines, low / FARTHEST, high * FARTHEST)
    drawing.error_axis(axes, "NMSE: squared error / Var(y)")
    axes.set_ylim(axes.get_ylim())  # from here on fixed
    bits = axes.twinx()  # the same axis in bits: linear where the other is logarithmic
    bits.set(ylim=expressivity(axes.get_ylim()), ylabel="expressivity E, bits")
    bits.grid(visible=False)
    bits.spines.right.set_visible(True)
    drawing.legend_below(figure, [axes], 3, f"hollow: seeds; full: their mean; band: {seeds.WHAT}")
    return figure


def _draw_baselines(axes: Axes, baselines: Mapping[str, float], low: float, high: float) -> None:
    for dashes, (name, nmse) in zip(BASELINE_STYLES, baselines.items(), strict=False):
        label = name.replace("_", " ")
        if low <= nmse <= high:
            axes.axhline(nmse, color=GREY, linestyle=dashes, linewidth=1, label=label)
        else:  # it would press the models' lines together
            where = "below" if nmse < low else "above"
            axes.plot([], [], color=GREY, linestyle=dashes, linewidth=1,
                      label=f"{label}: {nmse:.1g}, {where} the axis")  # fmt: skip


def _result(subject: Subject) -> str:
    if not len(subject.learned_rows):
        return "No run left the plateau."
    means = cells(subject.table)
    best = means.loc[means["nmse"].idxmin()]
    learned_rows = subject.learned_rows
    best_run = learned_rows.loc[learned_rows["nmse"].idxmin()]
    error_text = seeds.with_interval(best["nmse"], best["nmse_lower"], best["nmse_upper"])
    sentences = [
        f"Lowest NMSE: {best['size']}, b = {best['b']}, {error_text} over "
        f"{counted(best['seeds'], 'seed')} ({best['mean']:.2f} bits); of a single run "
        f"{best_run['nmse']:.2g} ({best_run['size']}, b = {best_run['b']}, "
        f"seed {best_run['seed']})."
    ]
    for size, mean in means.groupby("size", sort=False):
        first, last = mean.iloc[0], mean.iloc[-1]
        if first["b"] != last["b"]:
            sentences.append(
                f"{size}: {first['nmse']:.2g} at b = {first['b']}, {last['nmse']:.2g} at "
                f"b = {last['b']} ({last['mean'] - first['mean']:+.2f} bits)."
            )
    return " ".join(sentences)
