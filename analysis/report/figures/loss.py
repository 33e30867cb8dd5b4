"""Training curves: where they part, and whether they then differ by a factor alone."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from analysis.report import drawing
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject

Floats = npt.NDArray[np.float64]

SHARE = 25
"""A sample of a smoothed curve is the geometric mean of one 25th of all samples."""
MOST_PANELS = 6
"""Seeds that are drawn, a panel each."""


def exhibits(subject: Subject) -> list[Exhibit]:
    """Draw the training curves of each size of a task."""
    table = curves(subject)
    n_without_curve = sum(not run.training.get("step") for run in subject.runs)
    lacks = (
        (f"training curves: {n_without_curve} of {len(subject.runs)} runs have none",)
        if n_without_curve
        else ()
    )
    look_for = (
        "Loss of the training (mean over the loops that it sees), a panel per seed, pale: as "
        "logged, full: smoothed. Curves of one seed start from the same weights. Below, the "
        "smoothed curves over that of b = 1: a level line differs from it by a factor alone."
    )
    if not len(table):
        return [Exhibit(name="loss", title="Loss", look_for=look_for, lacks=lacks)]
    exhibits_of_sizes: list[Exhibit] = []
    for size, rows_of_size in table.groupby("size", sort=False):
        result = _result(rows_of_size) + (
            "" if (rows_of_size["b"] == 1).any() else " No run at b = 1 to compare with."
        )
        shown_seeds = sorted(rows_of_size["seed"].unique())[:MOST_PANELS]
        n_seeds = rows_of_size["seed"].nunique()
        which_seeds = (
            f" Drawn are the first {MOST_PANELS} of {n_seeds:,} seeds; the table holds all."
        )
        exhibits_of_sizes.append(
            Exhibit(
                name=f"loss-{size}",
                title=f"Loss: {size}",
                look_for=look_for + (which_seeds if n_seeds > MOST_PANELS else ""),
                result=result,
                table=rows_of_size,
                figure=draw(rows_of_size[rows_of_size["seed"].isin(shown_seeds)]),
                lacks=lacks if not exhibits_of_sizes else (),
            )
        )
    return exhibits_of_sizes


def curves(subject: Subject) -> pd.DataFrame:
    """Tabulate the training.

    Returns:
        ``size``, ``b``, ``seed``, ``step``, ``loss``, ``smoothed``, and ``ratio`` of the smoothed
        curve to that of the same seed at b = 1, missing where there is none.
    """
    runs = [run for run in subject.runs if run.training.get("step")]
    if not runs:
        return pd.DataFrame()
    losses = [np.array(run.training["loss"], float) for run in runs]
    lengths = [len(loss) for loss in losses]
    table = pd.DataFrame(
        {name: np.repeat([getattr(run.config, name) for run in runs], lengths)
         for name in ("size", "b", "seed")}
    ).assign(
        step=np.concatenate([run.training["step"] for run in runs]),
        loss=np.concatenate(losses),
        smoothed=np.concatenate(_smoothed(losses)),
    )  # fmt: skip
    key = ["size", "seed", "step"]
    base = table.loc[table["b"] == 1, [*key, "smoothed"]].rename(columns={"smoothed": "base"})
    table = table.merge(base, on=key, how="left")
    return table.assign(ratio=table["smoothed"] / table["base"]).drop(columns="base")


@drawing.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw one size's curves; see ``curves``."""
    numbers = sorted(table["seed"].unique())
    titles = [f"seed {seed}" for seed in numbers]
    has_ratio = bool(table["ratio"].notna().any())
    rows, heights = (2, [3, 2]) if has_ratio else (1, [1])
    figure = drawing.figure_of(len(numbers), 5.2 if has_ratio else 3.6)
    panels = drawing.panels_of(figure, titles, rows, is_shared=True, height_ratios=heights)
    looks = drawing.marks(sorted(table["b"].unique()))
    for (seed, b), curve in table.groupby(["seed", "b"]):
        column, look = panels[f"seed {seed}"], looks[b]
        line = {"color": look["color"], "linestyle": look["linestyle"]}
        column[0].plot(curve["step"], curve["loss"], color=look["color"], linewidth=0.5, alpha=0.35,
                       label=f"_b = {b}, as logged")  # fmt: skip
        column[0].plot(curve["step"], curve["smoothed"], **line, label=f"b = {b}")
        if has_ratio:
            column[1].plot(curve["step"], curve["ratio"], **line, label=f"b = {b}")
    labels = ["loss: squared error / Var(y)", "loss / loss at b = 1"][:rows]
    for row, label in enumerate(labels):
        drawing.error_axis(panels[titles[0]][row], label)
        drawing.label_left(panels, row, label)
    for column in panels.values():
        column[-1].set_xlabel("gradient steps")
    drawing.legend_below(figure, [column[0] for column in panels.values()], 6, "trained at",
                         [f"b = {b}" for b in looks])  # fmt: skip
    return figure


def _smoothed(losses: Sequence[Floats]) -> list[Floats]:
    """Average the logarithm of each curve over a window, shorter at both ends."""
    places_by_length: dict[int, list[int]] = {}
    for place, loss in enumerate(losses):
        places_by_length.setdefault(len(loss), []).append(place)
    curves: dict[int, Floats] = {}
    for length, places in places_by_length.items():
        half = length // SHARE // 2
        stacked = np.stack([losses[place] for place in places], axis=1)  # (step, run)
        logs = pd.DataFrame(np.log(np.maximum(stacked, np.finfo(float).tiny)))
        window = logs.rolling(2 * half + 1, center=True, min_periods=1)
        curves |= dict(zip(places, np.exp(window.mean().to_numpy(float)).T, strict=True))
    return [curves[place] for place in range(len(losses))]


def _result(table: pd.DataFrame) -> str:
    last_rows = table[table["step"] == table.groupby(["b", "seed"])["step"].transform("max")]
    ends = np.exp(np.log(last_rows["smoothed"]).groupby(last_rows["b"]).mean())
    ratios = np.exp(np.log(last_rows["ratio"]).groupby(last_rows["b"]).mean())
    end_values = ", ".join(
        f"{value:.2g} at b = {b}"
        + (f" ({ratios[b]:.2g} of that at b = 1)" if b != 1 and ratios[b] == ratios[b] else "")
        for b, value in ends.items()
    )
    return f"At the end, geometric mean over seeds: {end_values}."
