"""The error after b loops against b: what looping buys, and up to where."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.report import drawing, seeds
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.runs.expressivity import expressivity
from looped.drawing import BASELINE_STYLES, GREY

COLUMNS = ["size", "b", "seed", "nmse", "expressivity", "standard_error", "plateau", "unconverged"]
FARTHEST = 6.0
"""A baseline is a line if it is within so many times the models' range, else in the legend."""


def exhibit(subject: Subject) -> Exhibit:
    """Draw a task's performance figure."""
    look_for = (
        "Error at the query after b loops against the b that a model was trained at: falling "
        "lines say that loops buy accuracy, a line that flattens has found the model's ceiling, "
        "and a smaller model whose line comes below a larger one's first point has made up for "
        "its size. Hollow marks are seeds; line and band are their mean and "
        f"{seeds.WHAT} in bits, so the line is the geometric mean of the errors."
    )
    if "gradient_descent" in subject.baselines:
        look_for += " Gradient descent is shown after its last step."
    missing = []
    if not len(subject.points):
        return Exhibit("performance", "Performance", look_for, missing=(
            "performance, extrapolation, law, Pareto front: no run is evaluated "
            "(evaluate-extrapolation does it)",))  # fmt: skip
    if not subject.baselines:
        missing.append("baselines: none are logged for these prompts")
    untold = len(subject.runs) - len(subject.evaluated)
    if untold:
        missing.append(
            f"errors: {untold} of {len(subject.runs)} runs are not evaluated "
            "(evaluate-extrapolation does it)"
        )
    if len(subject.sizes) < 2:
        missing.append(f"more than one size: all runs are {subject.sizes[0]}")
    if len(subject.bs) < 2:
        missing.append(f"more than one b: all runs were trained at b = {subject.bs[0]}")
    lonely = int((subject.learned.groupby(["size", "b"]).size() < 2).sum())
    if lonely:
        missing.append(f"bands over seeds: {lonely} of the cells (size, b) have one seed")
    return Exhibit(
        "performance", "Performance", look_for, _found(subject), subject.points[COLUMNS],
        draw(subject.points, subject.baselines, subject.ceiling), tuple(missing),
    )  # fmt: skip


def cells(points: pd.DataFrame) -> pd.DataFrame:
    """Average the runs that learned over seeds: E in bits with its interval, and the NMSE."""
    means = seeds.over_seeds(points[~points["plateau"]], ["size", "b"], "expressivity")
    return means.assign(
        nmse=0.25 ** means["mean"],
        nmse_lower=0.25 ** means["upper"],
        nmse_upper=0.25 ** means["lower"],
    )


@drawing.styled
def draw(points: pd.DataFrame, baselines: Mapping[str, float], ceiling: str | None) -> Figure:
    """Draw runs, their means over seeds, the baselines and the Bayes ceiling.

    Args:
        points: columns ``COLUMNS``, a row per run.
        baselines: NMSE by name.
        ceiling: the baseline that no predictor can beat, if it makes an error.
    """
    figure = Figure(figsize=(7.6, 5.6))
    axes = figure.subplots()
    means = cells(points)
    for size, look in drawing.marks(points["size"].unique()).items():
        own, mean = points[points["size"] == size], means[means["size"] == size]
        learned, stuck = own[~own["plateau"]], own[own["plateau"]]
        axes.fill_between(mean["b"], mean["nmse_lower"], mean["nmse_upper"],
                          color=look["color"], **drawing.BAND)  # fmt: skip
        axes.plot(mean["b"], mean["nmse"], color=look["color"], linestyle=look["linestyle"],
                  marker=look["marker"], markersize=6, label=size)  # fmt: skip
        axes.plot(learned["b"], learned["nmse"], look["marker"], color=look["color"],
                  markersize=4, fillstyle="none", label=f"_{size}, seeds")  # fmt: skip
        axes.plot(stuck["b"], stuck["nmse"], "x", color=look["color"], markersize=7,
                  label=f"{size}, plateaued" if len(stuck) else f"_{size}, plateaued")  # fmt: skip
    drawing.trained_axis(axes, sorted(points["b"].unique()))
    low, high = points["nmse"].min(), points["nmse"].max()
    if ceiling is not None:
        bayes = baselines[ceiling]
        label = f"Bayes predictor ({ceiling}), {expressivity(bayes):.2f} bits: the ceiling"
        axes.axhline(bayes, color="black", linewidth=1, label=label)
        low = min(low, bayes)
    others = {name: nmse for name, nmse in baselines.items() if name != ceiling}
    _draw_baselines(axes, others, low / FARTHEST, high * FARTHEST)
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


def _found(subject: Subject) -> str:
    if not len(subject.learned):
        return "No run left the plateau."
    means = cells(subject.points)
    best = means.loc[means["nmse"].idxmin()]
    own = subject.learned
    least = own.loc[own["nmse"].idxmin()]
    reached = seeds.shown(best["nmse"], best["nmse_lower"], best["nmse_upper"])
    said = [
        f"Lowest NMSE: {best['size']}, b = {best['b']}, {reached} over {best['seeds']} seeds "
        f"({best['mean']:.2f} bits); of a single run {least['nmse']:.2g} "
        f"({least['size']}, b = {least['b']}, seed {least['seed']})."
    ]
    for size, mean in means.groupby("size", sort=False):
        first, last = mean.iloc[0], mean.iloc[-1]
        if first["b"] != last["b"]:
            said.append(
                f"{size}: {first['nmse']:.2g} at b = {first['b']}, {last['nmse']:.2g} at "
                f"b = {last['b']} ({last['mean'] - first['mean']:+.2f} bits)."
            )
    return " ".join(said)
