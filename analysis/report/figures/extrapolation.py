"""The error after every evaluated loop: on the way to b, and beyond it."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.report import drawing, seeds
from analysis.report.exhibit import Exhibit
from analysis.report.figures import dynamics
from analysis.report.subject import Subject
from analysis.runs.logged_run import LoggedRun
from looped.counting import counted
from looped.evaluation.behaviour import LEAST_STEPS

BY = ["size", "b", "loop"]
CHANGES = {"state_change": "|Δz| / |z|", "prediction_change": "|Δŷ| / sd(y)"}
"""Of the state and of the prediction, as the axis says it."""


def exhibits(subject: Subject) -> list[Exhibit]:
    """Draw both extrapolation figures of a task."""
    table = curves(subject.evaluated_runs)
    if not len(table):
        return []
    states = dynamics.states(subject)
    absolute = (
        "Error after every loop, one line per trained b, which a mark shows. Left of the mark the "
        "model is on its way; a line that stays level right of it keeps what it has, one that "
        "rises loses it. Below: how much a further loop still changes the state, and where it is "
        "known the prediction; a line that falls towards 0 comes to a fixed point."
    )
    if states["band_first"].notna().any():
        absolute += (
            " A pale stretch of a line is the band of loops as good as the best, from the median "
            "over seeds of its first loop to that of its last."
        )
    relative = (
        "Error beyond b over the error at b: above 1 further loops hurt, below 1 they help. "
        "Compare the panels to see which size keeps its quality."
    )
    band = f" Bands: {seeds.WHAT}, of the logarithm, cut where they leave the panel."
    lacks: list[str] = []
    if table["state_change"].isna().all():
        lacks.append("fixed point: the state's change was not measured")
    elif states["state"].isna().all():
        lacks.append(
            "what the state does beyond b: no run says it; evaluate-extrapolation finds out, "
            f"where there are {LEAST_STEPS} loops beyond b and the blocks are tied"
        )
    n_plateaued = sum(run.is_plateau for run in subject.evaluated_runs)
    if n_plateaued:
        band += f" {counted(n_plateaued, 'plateaued run')} left out."
    drawn_account = seeds.drawn_account(table)
    first = Exhibit(
        name="extrapolation",
        title="Extrapolation 1: over evaluated loops",
        look_for=absolute + band + drawn_account,
        result=" ".join(filter(None, (_absolute_result(table), dynamics.result(states)))),
        table=table,
        figure=draw_absolute(table, states),
        lacks=tuple(lacks),
        details={dynamics.WHAT: states} if len(states) else {},
    )
    later_rows = rows_beyond(table)
    if not (later_rows["loop"] > later_rows["b"]).any():
        reason = "extrapolation beyond b: no run was evaluated for more loops than its b"
        return [
            first,
            Exhibit(
                name="beyond", title="Extrapolation 2: beyond b", look_for=relative, lacks=(reason,)
            ),
        ]
    return [
        first,
        Exhibit(
            name="beyond",
            title="Extrapolation 2: beyond b, relative to b",
            look_for=relative + band,
            result=_relative_result(later_rows),
            table=later_rows,
            figure=draw_relative(later_rows),
        ),
    ]


def curves(runs: Iterable[LoggedRun]) -> pd.DataFrame:
    """Tabulate ``size``, ``b``, ``seed``, ``loop``, ``nmse``, ``ratio`` and ``CHANGES``.

    ``ratio`` is the NMSE over that at b; changes begin at the second loop. Plateaued
    runs are left out.
    """
    rows = []
    for run in runs:
        if not run.is_plateau:
            errors, b = run.loops["nmse"], run.config.b
            changes = [dict(enumerate(getattr(run, name), 2)) for name in CHANGES]
            rows += [
                (run.config.size, b, run.config.seed, loop, nmse, nmse / errors[b - 1],
                 *(change.get(loop) for change in changes))
                for loop, nmse in enumerate(errors, 1)
            ]  # fmt: skip
    columns = ["size", "b", "seed", "loop", "nmse", "ratio", *CHANGES]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(CHANGES, float))


def rows_beyond(table: pd.DataFrame) -> pd.DataFrame:
    """Keep what is at b or beyond it."""
    return table[table["loop"] >= table["b"]].drop(columns=["nmse", *CHANGES])


@drawing.styled
def draw_absolute(table: pd.DataFrame, states: pd.DataFrame) -> Figure:
    """Draw the errors with the loops as good as the best, and below how much a loop changes.

    Args:
        table: of ``curves``.
        states: of ``dynamics.states``.
    """
    sizes = list(table["size"].unique())
    changes = [name for name in CHANGES if table[name].notna().any()]
    rows = 1 + len(changes)
    figure = drawing.figure_of(len(sizes), 4.2 + 1.8 * len(changes))
    heights = [5, *[2] * len(changes)]
    panels = drawing.panels_of(figure, sizes, rows, is_shared=True, height_ratios=heights)
    draw_means(panels, table, "nmse", 0)
    _draw_loops_as_good(panels, table, states)
    drawing.frame(panels[sizes[0]][0], table["nmse"])
    # seeds differ by orders of magnitude here: each is drawn, without a band
    for row, name in enumerate(changes, 1):
        draw_means(panels, table[table[name] > 0], name, row, has_band=False)
    for row, label in enumerate(["NMSE", *(CHANGES[name] for name in changes)]):
        drawing.error_axis(panels[sizes[0]][row], label)
        drawing.label_left(panels, row, label)
    for column in panels.values():
        drawing.loops_axis(column[-1], int(table["loop"].max()))
    more = "; below: thin lines are seeds" if changes else ""
    if states["band_first"].notna().any():
        more += "\nbroad and pale: loops as good as the best"
    _legend(figure, panels, table, more)
    return figure


@drawing.styled
def draw_relative(table: pd.DataFrame) -> Figure:
    """Draw the errors beyond b over that at b; see ``beyond``.

    Models trained at b = 1 lose so much that the others would be one line: those are drawn once
    more, below.
    """
    sizes = list(table["size"].unique())
    looped_rows = table[table["b"] > 1]
    is_split = 0 < len(looped_rows) < len(table)
    rows = 2 if is_split else 1
    figure = drawing.figure_of(len(sizes), 6.0 if is_split else 4.2)
    panels = drawing.panels_of(figure, sizes, rows, is_shared=True)
    bs = sorted(table["b"].unique())
    for row, (panel_rows, label) in enumerate(
        [(table, "NMSE after t loops / after b"), (looped_rows, "the same, b > 1 alone")][:rows]
    ):
        draw_means(panels, panel_rows, "ratio", row, bs)
        drawing.frame(panels[sizes[0]][row], panel_rows["ratio"], 1.1)
        drawing.error_axis(panels[sizes[0]][row], label)
        drawing.label_left(panels, row, label)
    for column in panels.values():
        for axes in column:
            axes.axhline(1, color="black", linewidth=0.8)
        drawing.loops_axis(column[-1], int(table["loop"].max()))
    _legend(figure, panels, table)
    return figure


def _legend(
    figure: Figure, panels: Mapping[str, Sequence[Axes]], table: pd.DataFrame, more: str = ""
) -> None:
    """Say below which line is of which b, in the order of b."""
    labels = [f"b = {b}" for b in sorted(table["b"].unique())]
    title = f"trained at (mark); band: {seeds.WHAT}{more}"
    drawing.legend_below(figure, [column[0] for column in panels.values()], 6, title, labels)


def draw_means(
    panels: Mapping[str, Sequence[Axes]],
    table: pd.DataFrame,
    column: str,
    row: int,
    bs: Sequence[int] | None = None,
    has_band: bool = True,
) -> None:
    """Draw a column's mean over seeds in the row of panels, with its band or the seeds."""
    looks = drawing.marks(bs or sorted(table["b"].unique()))
    means = seeds.geometric_over_seeds(table, BY, column)
    for (size, b), mean in means.groupby(["size", "b"], sort=False):
        axes, look = panels[size][row], looks[b]
        if has_band:
            axes.fill_between(mean["loop"], mean["lower"], mean["upper"], color=look["color"],
                              **drawing.BAND)  # fmt: skip
        else:
            rows_of_cell = table[(table["size"] == size) & (table["b"] == b)]
            for seed, curve in seeds.drawn(rows_of_cell).groupby("seed"):
                axes.plot(curve["loop"], curve[column], color=look["color"], linewidth=0.5,
                          alpha=0.5, label=f"_b = {b}, seed {seed}")  # fmt: skip
        mark_indices = [index for index, loop in enumerate(mean["loop"]) if loop == b]
        axes.plot(mean["loop"], mean["mean"], color=look["color"], linestyle=look["linestyle"],
                  marker=look["marker"], markevery=mark_indices, markersize=7,
                  label=f"b = {b}")  # fmt: skip


def _draw_loops_as_good(
    panels: Mapping[str, Sequence[Axes]], table: pd.DataFrame, states: pd.DataFrame
) -> None:
    """Lay a broad pale stroke below each cell's mean, from its median first loop to its last."""
    looks = drawing.marks(sorted(table["b"].unique()))
    means = seeds.geometric_over_seeds(table, BY, "nmse")
    bands = states.dropna(subset=["band_first"]).groupby(["size", "b"], sort=False)
    for (size, b), ends in bands[["band_first", "band_last"]].median().iterrows():
        is_within = means["loop"].between(ends["band_first"], ends["band_last"])
        stretch = means[(means["size"] == size) & (means["b"] == b) & is_within]
        panels[size][0].plot(
            stretch["loop"], stretch["mean"], color=looks[b]["color"], linewidth=9, alpha=0.3,
            solid_capstyle="round", label=f"_as good as the best of b = {b}",
        )  # fmt: skip


def _absolute_result(table: pd.DataFrame) -> str:
    means = seeds.geometric_over_seeds(table, BY, "nmse")
    sentences = []
    for size, means_of_size in means.groupby("size", sort=False):
        best = means_of_size.loc[means_of_size["mean"].idxmin()]
        sentences.append(
            f"{size}: least {best['mean']:.2g}, trained at b = {best['b']}, "
            f"after {counted(best['loop'], 'loop')}."
        )
    return " ".join(sentences)


def _relative_result(table: pd.DataFrame) -> str:
    last_rows = table[
        table["loop"] == table.groupby(["size", "b", "seed"])["loop"].transform("max")
    ]
    last_rows = last_rows[last_rows["loop"] > last_rows["b"]]
    means = seeds.geometric_over_seeds(last_rows, ["size", "b"], "ratio")
    sentences = []
    for size, means_of_size in means.groupby("size", sort=False):
        ratios = ", ".join(f"{row.mean:#.3g} (b = {row.b})" for row in means_of_size.itertuples())
        sentences.append(f"{size}: {ratios}.")
    loops = sorted(last_rows["loop"].unique())
    loops_text = f"{loops[0]}" if len(loops) == 1 else f"{loops[0]} to {loops[-1]}"
    return f"After {loops_text} loops the error is so many times that at b: " + " ".join(sentences)
