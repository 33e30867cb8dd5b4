"""The function **b** on one data set and the next: what loops add to a model's own E_M."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.report import drawing, seeds
from analysis.report.exhibit import Exhibit
from analysis.report.figures import dial
from analysis.report.figures.law import FitOrReason
from analysis.report.subject import Subject
from analysis.scaling.fit import ScalingFit

LOOK_FOR = (
    "What looping adds: E trained at b less E_M, the same seed's E at b = 1, in bits, one line per "
    f"task. Marks are means over seeds with their {seeds.WHAT}; the thin line and its band are the "
    "task's fitted law. If the function b were the same on all data sets, the lines would lie on "
    "each other."
)


def exhibit(subjects_and_fits: Mapping[str, tuple[Subject, FitOrReason]]) -> Exhibit:
    """Draw the gain of loops on every task; by task, its runs and its law."""
    subjects = [subject for subject, _ in subjects_and_fits.values()]
    needed = dial.loops_needed(subjects)
    details = {
        "the loops needed as the dial turns": needed,
        "E at each b as the dial turns": dial.bits_at_each_b(subjects),
    }
    about: dict[str, Any] = {
        "name": "across_tasks",
        "title": "b across tasks",
        "look_for": LOOK_FOR + (dial.LOOK_FOR if len(needed) else ""),
        "details": details if len(needed) else {},
    }
    in_words = dial.in_words(needed)
    gains = [measured_gains(subject) for subject, _ in subjects_and_fits.values()]
    table = pd.concat([gain for gain in gains if len(gain)] or [pd.DataFrame()], ignore_index=True)
    if not len(table):
        lacks = ("b across tasks: no size has evaluated runs at b = 1 and beyond",)
        return Exhibit(**about, result=in_words, lacks=lacks)
    laws = [
        _law_curve(task, fit_or_reason.fit)
        for task, (_, fit_or_reason) in subjects_and_fits.items()
        if fit_or_reason.fit is not None
    ]
    curves = pd.concat(laws, ignore_index=True) if laws else pd.DataFrame()
    lacks_of_tasks = tuple(
        f"b across tasks: {task} has no size with evaluated runs at b = 1 and beyond"
        for task, gain in zip(subjects_and_fits, gains, strict=True)
        if not len(gain)
    )
    return Exhibit(
        **about,
        result=" ".join(filter(None, [_result(table), in_words])),
        table=_joined(table, curves),
        figure=draw(table, curves),
        lacks=lacks_of_tasks,
    )


def measured_gains(subject: Subject) -> pd.DataFrame:
    """Tabulate ``task``, ``size``, ``b`` and the gain over b = 1, paired by seed."""
    rows = subject.learned_rows
    if not len(rows):
        return pd.DataFrame()
    base = rows[rows["b"] == 1].set_index(["size", "seed"])["expressivity"]
    paired_rows = rows[rows["b"] > 1].join(base.rename("base"), on=["size", "seed"], how="inner")
    if not len(paired_rows):
        return pd.DataFrame()
    paired_rows = paired_rows.assign(gain=paired_rows["expressivity"] - paired_rows["base"])
    means = seeds.over_seeds(paired_rows, ["size", "b"], "gain")
    return means.assign(task=subject.task, what="measured")


@drawing.styled
def draw(table: pd.DataFrame, laws: pd.DataFrame) -> Figure:
    """Draw a panel per size with a line per task; see ``measured``, and ``laws`` alike."""
    sizes = list(table["size"].unique())
    tasks = list(table["task"].unique())
    figure = drawing.figure_of(len(sizes), 3.9)
    width, height = figure.get_size_inches()
    n_columns = max(1, int(11 * width / (max(map(len, tasks)) + 8)))  # of the legend: what fits
    figure.set_figheight(height + 0.2 * -(-len(tasks) // n_columns))
    panels = drawing.panels_of(figure, sizes, is_shared=True)
    looks = drawing.marks(tasks)
    bs = sorted({1, *table["b"]})
    for (size, task), rows in table.groupby(["size", "task"], sort=False):
        (axes,), look = panels[size], looks[task]
        bars = [rows["mean"] - rows["lower"], rows["upper"] - rows["mean"]]
        has_law = len(laws) and ((laws["size"] == size) & (laws["task"] == task)).any()
        axes.errorbar(rows["b"], rows["mean"], bars, color=look["color"], marker=look["marker"],
                      linestyle="none" if has_law else look["linestyle"], elinewidth=0.8,
                      label=task)  # fmt: skip
        if has_law:
            curve = laws[(laws["size"] == size) & (laws["task"] == task)]
            axes.fill_between(curve["b"], curve["lower"], curve["upper"], color=look["color"],
                              **drawing.BAND)  # fmt: skip
            axes.plot(curve["b"], curve["mean"], color=look["color"], linestyle=look["linestyle"],
                      linewidth=1, label=f"_{task}, law")  # fmt: skip
    for (axes,) in panels.values():
        axes.axhline(0, color="black", linewidth=0.8)
        drawing.trained_axis(axes, bs)
    label = "E trained at b, less E_M, bits"
    panels[sizes[0]][0].set_ylabel(label)
    drawing.label_left(panels, 0, label)
    title = f"marks: measured, {seeds.WHAT}; line and band: law"
    drawing.legend_below(figure, [column[0] for column in panels.values()], n_columns, title)
    return figure


def _law_curve(task: str, fit: ScalingFit) -> pd.DataFrame:
    run_table = fit.run_table
    bs = np.geomspace(1, run_table.bs[-1], 40)
    cells = pd.DataFrame([{"size": size, "b": b} for size in run_table.sizes for b in bs])
    mean, lower, upper = fit.difference(cells, cells.assign(b=1.0), seeds.LEVEL)
    return cells.assign(mean=mean, lower=lower, upper=upper, task=task, what="law")


def _joined(table: pd.DataFrame, laws: pd.DataFrame) -> pd.DataFrame:
    columns = ["task", "size", "b", "what", "seeds", "mean", "lower", "upper"]
    parts = [part for part in (table, laws) if len(part)]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def _result(table: pd.DataFrame) -> str:
    last_rows = table.loc[table.groupby(["task", "size"], sort=False)["b"].idxmax()]
    gains = [
        f"{row.task}, {row.size}: {seeds.with_interval(row.mean, row.lower, row.upper, 3)} bits "
        f"at b = {row.b}"
        for row in last_rows.itertuples()
    ]
    tasks = table["task"].nunique()
    remark = " One task alone: nothing to compare it with yet." if tasks == 1 else ""
    return f"Gain over b = 1: {'; '.join(gains)}.{remark}"
