"""The function **b** on one data set and the next: what loops add to a model's own E_M."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.answers.exchange import difference
from analysis.report import drawing, seeds
from analysis.report.exhibit import Exhibit
from analysis.report.law import Law
from analysis.report.subject import Subject

LOOK_FOR = (
    "What looping adds: E trained at b less E_M, the same seed's E at b = 1, in bits, one line per "
    f"task. Marks are means over seeds with their {seeds.WHAT}; the thin line and its band are the "
    "task's fitted law. If **b** were the same on all data sets, the lines would lie on each other."
)


def exhibit(studied: Mapping[str, tuple[Subject, Law]]) -> Exhibit:
    """Draw the gain of loops on every task; by task, its runs and its law."""
    gains = [measured(subject) for subject, _ in studied.values()]
    table = pd.concat([gain for gain in gains if len(gain)] or [pd.DataFrame()], ignore_index=True)
    if not len(table):
        lacks = ("b across tasks: no size has evaluated runs at b = 1 and beyond",)
        return Exhibit("across_tasks", "b across tasks", LOOK_FOR, missing=lacks)
    laws = [_fitted(task, law) for task, (_, law) in studied.items() if law.fit is not None]
    curves = pd.concat(laws, ignore_index=True) if laws else pd.DataFrame()
    absent = tuple(
        f"b across tasks: {task} has no size with evaluated runs at b = 1 and beyond"
        for task, gain in zip(studied, gains, strict=True)
        if not len(gain)
    )
    return Exhibit(
        "across_tasks", "b across tasks", LOOK_FOR, _found(table), _joined(table, curves),
        draw(table, curves), absent,
    )  # fmt: skip


def measured(subject: Subject) -> pd.DataFrame:
    """Tabulate ``task``, ``size``, ``b`` and the gain over b = 1, paired by seed."""
    points = subject.learned
    if not len(points):
        return pd.DataFrame()
    base = points[points["b"] == 1].set_index(["size", "seed"])["expressivity"]
    paired = points[points["b"] > 1].join(base.rename("own"), on=["size", "seed"], how="inner")
    if not len(paired):
        return pd.DataFrame()
    paired = paired.assign(gain=paired["expressivity"] - paired["own"])
    means = seeds.over_seeds(paired, ["size", "b"], "gain")
    return means.assign(task=subject.task, what="measured")


@drawing.styled
def draw(table: pd.DataFrame, laws: pd.DataFrame) -> Figure:
    """Draw a panel per size with a line per task; see ``measured``, and ``laws`` alike."""
    sizes = list(table["size"].unique())
    tasks = list(table["task"].unique())
    width = max(5.0, 3.6 * len(sizes))
    n_columns = max(1, int(11 * width / (max(map(len, tasks)) + 8)))  # of the legend: what fits
    figure = Figure(figsize=(width, 3.9 + 0.2 * -(-len(tasks) // n_columns)))
    panels = drawing.panels_of(figure, sizes, sharex=True, sharey=True)
    looks = drawing.marks(tasks)
    bs = sorted({1, *table["b"]})
    for (size, task), own in table.groupby(["size", "task"], sort=False):
        (axes,), look = panels[size], looks[task]
        bars = [own["mean"] - own["lower"], own["upper"] - own["mean"]]
        has_law = len(laws) and ((laws["size"] == size) & (laws["task"] == task)).any()
        axes.errorbar(own["b"], own["mean"], bars, color=look["color"], marker=look["marker"],
                      linestyle="none" if has_law else look["linestyle"], elinewidth=0.8,
                      label=task)  # fmt: skip
        if has_law:
            law = laws[(laws["size"] == size) & (laws["task"] == task)]
            axes.fill_between(law["b"], law["lower"], law["upper"], color=look["color"],
                              **drawing.BAND)  # fmt: skip
            axes.plot(law["b"], law["mean"], color=look["color"], linestyle=look["linestyle"],
                      linewidth=1, label=f"_{task}, law")  # fmt: skip
    for (axes,) in panels.values():
        axes.axhline(0, color="black", linewidth=0.8)
        drawing.trained_axis(axes, bs)
    panels[sizes[0]][0].set_ylabel("E trained at b, less E_M, bits")
    title = f"marks: measured, {seeds.WHAT}; line and band: law"
    drawing.legend_below(figure, [column[0] for column in panels.values()], n_columns, title)
    return figure


def _fitted(task: str, law: Law) -> pd.DataFrame:
    assert law.fit is not None
    points = law.fit.points
    bs = np.geomspace(1, points.bs[-1], 40)
    cells = pd.DataFrame([{"size": size, "b": b} for size in points.sizes for b in bs])
    mean, lower, upper = difference(law.fit.best, cells, cells.assign(b=1.0), seeds.LEVEL)
    return cells.assign(mean=mean, lower=lower, upper=upper, task=task, what="law")


def _joined(table: pd.DataFrame, laws: pd.DataFrame) -> pd.DataFrame:
    columns = ["task", "size", "b", "what", "seeds", "mean", "lower", "upper"]
    parts = [part for part in (table, laws) if len(part)]
    return pd.concat(parts, ignore_index=True).reindex(columns=columns)


def _found(table: pd.DataFrame) -> str:
    last = table.loc[table.groupby(["task", "size"], sort=False)["b"].idxmax()]
    said = [
        f"{row.task}, {row.size}: {seeds.shown(row.mean, row.lower, row.upper, 3)} bits "
        f"at b = {row.b}"
        for row in last.itertuples()
    ]
    tasks = table["task"].nunique()
    lone = " One task alone: nothing to compare it with yet." if tasks == 1 else ""
    return f"Gain over b = 1: {'; '.join(said)}.{lone}"
