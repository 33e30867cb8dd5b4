"""What all figures of the report share: style, marks, axes, legends."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ParamSpec

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from looped import drawing
from looped.drawing import COLOURS, MARKERS, tick_text

STYLE = Path(__file__).with_name("style.mplstyle")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
BAND: Mapping[str, Any] = {"alpha": 0.13, "linewidth": 0}

_TICKS = {10: (1, 1.5, 2, 3, 4, 5, 7), 100: (1, 2, 5), 1000: (1, 3)}
_TICKS_ALONG = {10: (1, 2, 4), 100: (1, 3)}
"""Where ticks go in a decade, by the largest range of an axis that takes so many; on an x-axis
labels stand beside each other, and fewer have room."""

ACROSS = 3
"""So many panels stand beside each other; of more the text would be too small to read."""

Arguments = ParamSpec("Arguments")


def style() -> AbstractContextManager[None]:
    """Draw, and save, in the report's style."""
    return drawing.style(STYLE)


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Make a function draw in the report's style."""
    return drawing.styled(draw, STYLE)


def marks(values: Iterable[Any]) -> dict[Any, dict[str, Any]]:
    """Give each of a series its colour, mark and dashes, in order."""
    return {
        value: {
            "color": COLOURS[index % len(COLOURS)],
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": DASHES[index % len(DASHES)],
        }
        for index, value in enumerate(values)
    }


def trained_axis(axes: Axes, bs: Sequence[int], is_labelled: bool = True) -> None:
    """Make the x-axis that of trained loop counts."""
    axes.set_xscale("log")
    axes.set_xticks(bs, [str(b) for b in bs])
    axes.xaxis.set_minor_locator(NullLocator())
    if len(set(bs)) > 1:
        axes.set_xlim(min(bs) / 1.12, max(bs) * 1.12)
    if is_labelled:
        axes.set_xlabel("loops b that the model was trained at")


def loops_axis(axes: Axes, farthest: int) -> None:
    """Make the x-axis that of loops run."""
    axes.set(xlabel="loops run", xlim=(0, farthest * 1.03))


def error_axis(axes: Axes, label: str) -> None:
    """Make the y-axis logarithmic, with few enough ticks to read."""
    axes.set(yscale="log", ylabel=label)
    _few_ticks(axes.yaxis, _TICKS)


def cost_axis(axes: Axes, label: str) -> None:
    """Make the x-axis logarithmic, with few enough ticks to read."""
    axes.set(xscale="log", xlabel=label)
    _few_ticks(axes.xaxis, _TICKS_ALONG)


def _few_ticks(axis: Axis, ticks: Mapping[int, tuple[float, ...]]) -> None:
    low, high = sorted(axis.get_view_interval())
    tick_choices = [subs for range_, subs in ticks.items() if high / low <= range_]
    if tick_choices:
        axis.set_major_locator(LogLocator(subs=tick_choices[0]))
    axis.set_major_formatter(FuncFormatter(tick_text))
    axis.set_minor_locator(NullLocator())


def frame(axes: Axes, values: pd.Series, room: float = 1.6) -> None:
    """Let a logarithmic y-axis hold values, and not the whole of every band."""
    if len(values):
        axes.set_ylim(values.min() / room, values.max() * room)


def legend_below(
    figure: Figure,
    panels: Iterable[Axes],
    n_columns: int,
    title: str | None = None,
    order: Sequence[str] = (),
) -> None:
    """Say below the panels what each line of any of them is, once.

    Labels come as they are drawn, or in an order that is given, and are read along the rows.
    """
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    ordered_labels = [label for label in order if label in handles]
    labels = [*ordered_labels, *(label for label in handles if label not in ordered_labels)]
    # matplotlib fills a legend column by column
    by_column = [label for column in range(n_columns) for label in labels[column::n_columns]]
    figure.legend(
        [handles[label] for label in by_column], by_column, loc="outside lower center",
        ncols=n_columns, title=title, handlelength=3.2,
    )  # fmt: skip


def figure_of(n_panels: int, height: float) -> Figure:
    """Make a figure for panels beside each other, and below each other where they are many.

    Args:
        n_panels: how many.
        height: in inches, of a row of them.
    """
    width = max(5.0, 3.6 * min(n_panels, ACROSS))
    return Figure(figsize=(width, height * -(-n_panels // ACROSS)))


def panels_of(
    figure: Figure,
    titles: Sequence[str],
    rows: int = 1,
    is_shared: bool = False,
    height_ratios: Sequence[float] | None = None,
) -> Mapping[str, list[Axes]]:
    """Make a column of panels for each title; return them by title, from the top.

    Args:
        figure: from ``figure_of``.
        titles: one each.
        rows: how many panels a column has.
        is_shared: all have one x-axis, and those of a row one y-axis.
        height_ratios: of the panels of a column.
    """
    n_bands = -(-len(titles) // ACROSS)
    ratios = [*(height_ratios or [1] * rows)] * n_bands
    grid = figure.add_gridspec(n_bands * rows, min(len(titles), ACROSS), height_ratios=ratios)
    columns: dict[str, list[Axes]] = {title: [] for title in titles}
    first_column = columns[titles[0]]
    for row in range(rows):
        for index, (title, column) in enumerate(columns.items()):
            band, place = divmod(index, ACROSS)
            partners = {"sharex": first_column[0] if first_column else None,
                      "sharey": first_column[row] if index else None}  # fmt: skip
            cell = grid[band * rows + row, place]
            axes = figure.add_subplot(cell, **(partners if is_shared else {}))
            if is_shared:
                axes.tick_params(labelleft=place == 0, labelbottom=row == rows - 1)
            if row == 0:
                axes.set_title(title)
            column.append(axes)
    return columns


def label_left(panels: Mapping[str, Sequence[Axes]], row: int, label: str) -> None:
    """Name the y-axis that the panels of a row share, at the left of each band of them."""
    for column in [*panels.values()][ACROSS::ACROSS]:
        column[row].set_ylabel(label)
