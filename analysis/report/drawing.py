"""What all figures of the report share: style, marks, axes, legends."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ParamSpec

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from looped import drawing
from looped.drawing import COLOURS, MARKERS

STYLE = Path(__file__).with_name("style.mplstyle")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)))
BAND: Mapping[str, Any] = {"alpha": 0.13, "linewidth": 0}

_TICKS = {6: (1, 1.5, 2, 3, 4, 5, 7), 100: (1, 2, 5), 1000: (1, 3)}
"""Where ticks go in a decade, by the largest range of an axis that takes so many."""

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


def _tick_text(value: float, _: int | None = None) -> str:
    """Write a tick: 0.002, and a power of ten only where the zeros would not be counted."""
    if 1e-4 <= value < 1e5:
        return f"{value:g}"
    digits, power = f"{value:.0e}".split("e")
    return rf"${digits}\times10^{{{int(power)}}}$"


def error_axis(axes: Axes, label: str) -> None:
    """Make the y-axis logarithmic, with few enough ticks to read."""
    axes.set(yscale="log", ylabel=label)
    low, high = axes.get_ylim()
    tick_choices = [subs for range_, subs in _TICKS.items() if high / low <= range_]
    if tick_choices:
        axes.yaxis.set_major_locator(LogLocator(subs=tick_choices[0]))
        axes.yaxis.set_major_formatter(FuncFormatter(_tick_text))
    axes.yaxis.set_minor_locator(NullLocator())


def frame(axes: Axes, values: pd.Series, room: float = 1.6) -> None:
    """Let a logarithmic y-axis hold values, and not the whole of every band."""
    if len(values):
        axes.set_ylim(values.min() / room, values.max() * room)


def legend_below(
    figure: Figure, panels: Iterable[Axes], n_columns: int, title: str | None = None
) -> None:
    """Say below the panels what each line of any of them is, once."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=n_columns,
        title=title, handlelength=3.2,
    )  # fmt: skip


def panels_of(
    figure: Figure, titles: Sequence[str], rows: int = 1, **options: Any
) -> Mapping[str, list[Axes]]:
    """Make a column of panels for each title; return them by title, from the top."""
    grid = figure.subplots(rows, len(titles), squeeze=False, **options)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    return {title: list(grid[:, column]) for column, title in enumerate(titles)}
