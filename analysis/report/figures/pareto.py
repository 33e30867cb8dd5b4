"""Which (size, b) to take for a budget of arithmetic: the Pareto front of what was trained."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullLocator

from analysis.answers.costs import front
from analysis.answers.flops import length_of
from analysis.report import drawing, seeds
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from looped.drawing import tick_text

KINDS = {"train": "FLOPs of a training", "infer": "FLOPs of one prompt, run for b loops"}
"""A training's are said with its length."""

CROWDED = 5
"""With so many cells on the front, every other label goes to the other side."""


def exhibit(subject: Subject) -> Exhibit:
    """Draw a task's Pareto fronts."""
    look_for = (
        "Expressivity against arithmetic, a mark per trained (size, b), labelled size:b: up and "
        "to the left is better. The black line is the front: no cell under it is worth its cost, "
        "as a cheaper one is as good. Means over seeds, bars their "
        f"{seeds.WHAT}; which of two near cells is on the front may be chance."
    )
    if not len(subject.learned_rows):
        return Exhibit(
            name="pareto",
            title="Pareto front",
            look_for=look_for,
            result="No run left the plateau.",
        )
    table, length = cells(subject.table), length_of(subject.runs)
    return Exhibit(
        name="pareto",
        title="Pareto front",
        look_for=look_for,
        result=_result(table, length),
        table=table,
        figure=draw(table, length),
    )


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Tabulate cells: ``mean`` E with its interval, costs, and whether they are on the front."""
    learned_rows = table[~table["plateau"]]
    means = seeds.over_seeds(learned_rows, ["size", "b"], "expressivity")
    costs = learned_rows.groupby(["size", "b"], sort=False)[["train_flops", "infer_flops"]].first()
    averages = means.merge(costs.reset_index(), on=["size", "b"])
    for kind in KINDS:
        averages[f"{kind}_front"] = front(averages[f"{kind}_flops"], averages["mean"])
    return averages


@drawing.styled
def draw(table: pd.DataFrame, length: str) -> Figure:
    """Draw a panel for training, of that length, and one for inference; see ``cells``."""
    figure = Figure(figsize=(7.6, 8.4))
    upper, lower = figure.subplots(2, 1)
    panels = {"train": upper, "infer": lower}
    looks = drawing.marks(table["size"].unique())
    for kind, label in KINDS.items():
        axes, cost = panels[kind], f"{kind}_flops"
        on_front = table[table[f"{kind}_front"]].sort_values(cost)
        axes.step(on_front[cost], on_front["mean"], where="post", color="black", linewidth=1,
                  label="Pareto front")  # fmt: skip
        for size, rows_of_size in table.groupby("size", sort=False):
            look = looks[size]
            mean = rows_of_size["mean"]
            bars = [mean - rows_of_size["lower"], rows_of_size["upper"] - mean]
            axes.errorbar(rows_of_size[cost], mean, bars, color=look["color"], linewidth=0,
                          elinewidth=0.7, marker=look["marker"], label=size)  # fmt: skip
        _label(axes, table[~table[f"{kind}_front"]], cost, is_left=False)
        _label(axes, on_front.iloc[::2], cost, is_left=True)
        _label(axes, on_front.iloc[1::2], cost, is_left=len(on_front) < CROWDED)
        is_training = kind == "train"
        axes.set(xscale="log", xlabel=f"{label} of {length}" if is_training else label,
                 title="training" if is_training else "inference")  # fmt: skip
        axes.set_ylabel("expressivity E, bits")
        axes.xaxis.set_major_formatter(FuncFormatter(tick_text))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.1)
    drawing.legend_below(figure, [upper], 4)
    return figure


def _label(axes: Axes, table: pd.DataFrame, cost: str, is_left: bool) -> None:
    """Write size:b above each mark and to its left, or below and to its right."""
    for row in table.itertuples():
        axes.annotate(
            f"{row.size}:{row.b}", (getattr(row, cost), row.mean), (-4, 4) if is_left else (4, -9),
            textcoords="offset points", fontsize=7, ha="right" if is_left else "left",
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip


def _result(table: pd.DataFrame, length: str) -> str:
    sentences = []
    for kind, name in (("train", f"training, at {length}"), ("infer", "inference")):
        on_front = table[table[f"{kind}_front"]].sort_values(f"{kind}_flops")
        cells_on_front = ", ".join(f"{row.size}:{row.b}" for row in on_front.itertuples())
        sentences.append(f"On the front for {name}: {cells_on_front}.")
    return " ".join(sentences)
