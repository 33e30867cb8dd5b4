"""The pictures of the pages of findings, drawn from the kept trainings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.findings.recipes import Recipe, distinct, recipes_of
from analysis.report import drawing, seeds
from analysis.report.figures import extrapolation
from analysis.runs.expressivity import expressivity
from analysis.runs.logged_run import LoggedRun
from looped.names import Weights

HYPOTHESES_FOLDER = "cpu-hypotheses"
"""Of results, whose trainings ask why a model loses beyond its b."""


def pictures_of(results: Path) -> dict[str, Figure]:
    """Draw every picture, by its name.

    Args:
        results: the folder of kept trainings.
    """
    recipes = [recipe for recipe in recipes_of(results) if recipe.weights == Weights.LAST]
    usual = distinct([each for each in recipes if each.is_plain and each.sees_all_loops])
    pictures = {"findings-quality": draw_quality(usual), "findings-beyond": draw_beyond(usual)}
    asked_recipes = [recipe for recipe in recipes if recipe.folder == HYPOTHESES_FOLDER]
    if asked_recipes:
        pictures["findings-hypotheses"] = draw_hypotheses(asked_recipes)
    return pictures


@drawing.styled
def draw_quality(recipes: Sequence[Recipe]) -> Figure:
    """Draw the error after b loops against b, a line for each size, a panel for each recipe."""
    tables = {_title(recipe): _errors(recipe) for recipe in recipes}
    figure, panels = _figure_of(tables)
    looks = drawing.marks(_sizes_of(tables))
    for title, table in tables.items():
        (axes,) = panels[title]
        means = seeds.over_seeds(table, ["size", "b"], "bits")
        for size, of_size in means.groupby("size", sort=False):
            look = looks[size]
            low, mean, high = (0.25 ** of_size[end] for end in ("upper", "mean", "lower"))
            axes.fill_between(of_size["b"], low, high, color=look["color"], **drawing.BAND)
            axes.plot(of_size["b"], mean, color=look["color"], linestyle=look["linestyle"],
                      marker=look["marker"], markersize=5, label=size)  # fmt: skip
        drawing.trained_axis(axes, sorted(table["b"].unique()))
        drawing.error_axis(axes, "NMSE after b loops")
        drawing.frame(axes, table["nmse"], 1.3)
        axes.set_xlabel("trained loops b")
    drawing.legend_below(
        figure, [axes for (axes,) in panels.values()], 6, f"band: {seeds.WHAT}", [*looks]
    )
    return figure


@drawing.styled
def draw_beyond(recipes: Sequence[Recipe]) -> Figure:
    """Draw the error at the last loop over that at b, a point for each training."""
    tables = {_title(recipe): _lasts(recipe) for recipe in recipes}
    figure, panels = _figure_of(tables)
    looks = drawing.marks(_sizes_of(tables))
    for title, table in tables.items():
        (axes,) = panels[title]
        for size, of_size in table.groupby("size", sort=False):
            look = looks[size]
            means = seeds.geometric_over_seeds(of_size, ["b"], "ratio")
            axes.plot(means["b"], means["mean"], color=look["color"], linestyle=look["linestyle"],
                      label=size)  # fmt: skip
            axes.plot(of_size["b"], of_size["ratio"], look["marker"], color=look["color"],
                      markersize=4, fillstyle="none", label=f"_{size}, seeds")  # fmt: skip
        axes.axhline(1, color="black", linewidth=0.8)
        drawing.trained_axis(axes, sorted(table["b"].unique()))
        drawing.error_axis(axes, f"NMSE after {table['loop'].max()} loops / after b")
        axes.set_xlabel("trained loops b")
    title = "hollow: seeds; line: their geometric mean; above 1 further loops hurt"
    drawing.legend_below(figure, [axes for (axes,) in panels.values()], 6, title, [*looks])
    return figure


@drawing.styled
def draw_hypotheses(recipes: Sequence[Recipe]) -> Figure:
    """Draw what each way of training loses beyond b, a row each, a panel for each size.

    Args:
        recipes: of one prompt; loss and gradient see all loops.
    """
    tables = {}
    for recipe in recipes:
        for b, of_b in _lasts(recipe).groupby("b"):
            tables[recipe.widest.config.steps, recipe.way, b] = of_b
    least_steps = min(steps for steps, _, _ in tables)
    places = {
        key: place for place, key in enumerate(sorted(tables, key=lambda key: (key[2], key[:2])))
    }
    sizes = _sizes_of(tables)
    figure = drawing.figure_of(len(sizes), 1.6 + 0.26 * len(places))
    panels = drawing.panels_of(figure, sizes, is_shared=True)
    looks = drawing.marks(sizes)
    for size, (axes,) in panels.items():
        for key, table in tables.items():
            ratios, look = table.loc[table["size"] == size, "ratio"], looks[size]
            if not len(ratios):
                continue
            axes.plot(ratios, [places[key]] * len(ratios), look["marker"], color=look["color"],
                      markersize=5, fillstyle="none", label="_seeds")  # fmt: skip
            mean = np.exp(np.log(ratios).mean())
            axes.plot(mean, places[key], "|", color=look["color"], markersize=14, label="_mean")
        axes.axvline(1, color="black", linewidth=0.8)
        loop = max(table["loop"].max() for table in tables.values())
        drawing.cost_axis(axes, f"NMSE after {loop} loops / after b")
        axes.set_ylim(len(places) - 0.5, -0.5)
    words = [
        f"b = {b}"
        + f", {steps:,} steps" * (steps > least_steps)
        + way.partition(", ")[2].join([", ", ""] if ", " in way else ["", ""])
        for steps, way, b in places
    ]
    panels[sizes[0]][0].set_yticks(list(places.values()), words)
    figure.supxlabel(
        "hollow: seeds; stroke: their geometric mean; right of 1 further loops hurt",
        fontsize="medium",
    )
    return figure


def _figure_of(tables: Mapping[str, pd.DataFrame]) -> tuple[Figure, Mapping[str, list[Axes]]]:
    """Make a figure with a panel for each table."""
    figure = drawing.figure_of(len(tables), 3.6)
    return figure, drawing.panels_of(figure, list(tables))


def _sizes_of(tables: Mapping[Any, pd.DataFrame]) -> list[str]:
    """List the sizes of all tables, in the order in which they come."""
    return list(dict.fromkeys(size for table in tables.values() for size in table["size"]))


def _title(recipe: Recipe) -> str:
    return f"{recipe.letter}: {recipe.title}"


def _errors(recipe: Recipe) -> pd.DataFrame:
    """Tabulate the errors after b loops of what learned, the smallest size first."""
    rows = [
        (run.config.size, run.config.b, run.config.seed, run.loops["nmse"][run.config.b - 1])
        for run in _by_size(recipe)
    ]
    table = pd.DataFrame(rows, columns=["size", "b", "seed", "nmse"])
    return table.assign(bits=expressivity(table["nmse"].to_numpy()))


def _lasts(recipe: Recipe) -> pd.DataFrame:
    """Tabulate the errors after the last loop over those at b, of b > 1."""
    table = extrapolation.curves(_by_size(recipe))
    is_last = table["loop"] == table.groupby(["size", "b", "seed"])["loop"].transform("max")
    return table[is_last & (table["b"] > 1)]


def _by_size(recipe: Recipe) -> list[LoggedRun]:
    runs = [run for run in recipe.runs if run.has_learned]
    return sorted(runs, key=lambda run: (run.config.model_config.n_params(), run.config.b))
