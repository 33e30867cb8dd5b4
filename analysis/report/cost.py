"""What a further loop costs - time, arithmetic, memory - and the error that it buys."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis.report import drawing, performance
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject


@dataclass(frozen=True)
class _Kind:
    column: str
    label: str
    name: str
    is_of_program: bool = True
    """Measured, so that runs which train as one program have it together."""


KINDS = (
    _Kind("seconds", "seconds a step", "time"),
    _Kind("flops", "FLOPs of a step", "arithmetic", is_of_program=False),
    _Kind("peak_mib", "peak memory, MiB", "memory"),
)


def exhibit(subject: Subject) -> Exhibit:
    """Draw what training costs against b, and the error against what it costs."""
    table = costs(subject)
    look_for = (
        "Above: what a gradient step costs against b. Below: the error that it buys, a mark per "
        "b; where a line turns level further cost buys nothing, and of two sizes the lower line "
        "is the better buy. FLOPs are those of one run's matrix products; seconds and memory are "
        "measured, the median over the training and over seeds."
    )
    found = []
    shared = table[table["clock"] == "shared"]
    if len(shared):
        found.append(
            "Runs that trained as one program have their seconds and memory together, which say "
            "nothing of a single b: "
            + ", ".join(
                f"{size} {own['seconds'].iloc[0]:.2g} s a step for {own['sharing'].iloc[0]} runs"
                for size, own in shared.groupby("size", sort=False)
            )
            + "."
        )
    for size, own in table.groupby("size", sort=False):
        first, last = own.iloc[0], own.iloc[-1]
        if first["b"] != last["b"]:
            factor = last["flops"] / first["flops"]
            found.append(f"{size}: b = {last['b']} takes {factor:.3g} times the FLOPs of "
                         f"b = {first['b']}{_bought(first, last)}.")  # fmt: skip
    missing = []
    if table["seconds"].isna().all():
        missing.append("time of a step: no run logged its speed")
    elif (table["clock"] != "own").all():
        missing.append("time and memory of a step at each b: the runs trained as one program")
    if table["peak_mib"].isna().all():
        missing.append("memory: no run logged memory/peak_mib (runs of older versions did not)")
    return Exhibit("cost", "Cost of raising b", look_for, " ".join(found), table, draw(table),
                   tuple(missing))  # fmt: skip


def costs(subject: Subject) -> pd.DataFrame:
    """Tabulate what a step of each (size, b) costs.

    Returns:
        ``size``, ``b``, ``runs``, ``flops``, ``seconds``, ``peak_mib``, ``clock`` (``own``, or
        ``shared`` where runs of several b trained as one program), ``sharing`` (how many runs
        had that clock), and ``nmse`` (geometric mean of the seeds that learned).
    """
    clocks: dict[tuple[str, float], list[int]] = defaultdict(list)  # b of the runs that share one
    rows = []
    for run in subject.runs:
        speed = median(run.speed) if run.speed else run.metrics.get("speed/steps_per_s", np.nan)
        clocks[run.config.size, speed].append(run.config.b)
        rows.append(
            {
                "size": run.config.size,
                "b": run.config.b,
                "flops": float(run.config.step_flops),
                "seconds": 1 / speed,
                "peak_mib": run.metrics.get("memory/peak_mib", np.nan),
                "speed": speed,
            }
        )
    table = pd.DataFrame(rows)
    # no two programs have the same speed to the last digit: runs that do were one program
    used = [clocks[clock] for clock in zip(table["size"], table["speed"], strict=True)]
    table["clock"] = ["shared" if len(set(bs)) > 1 else "own" for bs in used]
    table["sharing"] = [len(bs) for bs in used]
    groups = table.groupby(["size", "b"], sort=False)
    cells = groups.agg(
        runs=("flops", "size"), flops=("flops", "first"), seconds=("seconds", "median"),
        peak_mib=("peak_mib", "median"), clock=("clock", "max"), sharing=("sharing", "max"),
    ).reset_index()  # fmt: skip
    if not len(subject.learned):
        return cells.assign(nmse=np.nan)
    errors = performance.cells(subject.points)[["size", "b", "nmse"]]
    return cells.merge(errors, on=["size", "b"], how="left")


@drawing.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a column of panels for each kind of cost that is known; see ``costs``."""
    has_own = bool((table["clock"] == "own").any())
    kinds = [
        kind
        for kind in KINDS
        if table[kind.column].notna().any() and (has_own or not kind.is_of_program)
    ]
    figure = Figure(figsize=(max(5.0, 3.6 * len(kinds)), 6.2))
    panels = drawing.panels_of(figure, [kind.name for kind in kinds], 2)
    looks = drawing.marks(table["size"].unique())
    for kind in kinds:
        upper, lower = panels[kind.name]
        for size, own in table.groupby("size", sort=False):
            is_shared = kind.is_of_program and (own["clock"] == "shared").any()
            _draw_size(upper, lower, own, kind.column, looks[size], is_shared)
        drawing.trained_axis(upper, sorted(table["b"].unique()))
        drawing.error_axis(upper, kind.label)
        lower.set(xscale="log", xlabel=kind.label)
        lower.xaxis.set_minor_locator(NullLocator())
        if lower.lines:
            drawing.error_axis(lower, "NMSE")
        else:
            lower.set_axis_off()
    drawing.legend_below(figure, [column[0] for column in panels.values()], 4)
    return figure


def _draw_size(
    upper: Axes, lower: Axes, own: pd.DataFrame, column: str, look: dict[str, object],
    is_shared: bool,
) -> None:  # fmt: skip
    size = own["size"].iloc[0]
    colour = look["color"]
    if is_shared:
        upper.plot(own["b"], own[column], "--", color=colour, linewidth=1,
                   label=f"{size}: one program for all b")  # fmt: skip
        return
    upper.plot(own["b"], own[column], color=colour, marker=look["marker"],
               linestyle=look["linestyle"], label=size)  # fmt: skip
    known = own.dropna(subset=[column, "nmse"])
    if len(known):
        lower.plot(known[column], known["nmse"], color=colour, marker=look["marker"],
                   linestyle=look["linestyle"], label=size)  # fmt: skip


def _bought(first: pd.Series, last: pd.Series) -> str:
    if np.isnan(first["nmse"]) or np.isnan(last["nmse"]):
        return ""
    return f" and leaves {last['nmse'] / first['nmse']:.2g} of its error"
