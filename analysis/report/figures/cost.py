"""What a further loop costs - time, arithmetic, memory - and the error that it buys."""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from statistics import median

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.report import drawing, seeds
from analysis.report.exhibit import Exhibit
from analysis.report.figures import performance
from analysis.report.subject import Subject
from analysis.runs.logged_run import LoggedRun
from looped.counting import counted
from looped.names import Metric


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
        "is the better buy. What a doubling of the FLOPs buys is the bits from one trained b to "
        f"the next over the doublings between them, within seeds, with their {seeds.WHAT}. "
        "FLOPs are those of one run's matrix products; seconds and memory are "
        "measured, the median over the training and over seeds."
    )
    sentences = []
    shared_rows = table[table["clock"] == "shared"]
    if len(shared_rows):
        sentences.append(
            "Runs that trained as one program have their seconds and memory together, which say "
            "nothing of a single b: "
            + ", ".join(
                f"{size} {rows['seconds'].iloc[0]:.2g} s a step for "
                f"{counted(rows['sharing'].iloc[0], 'run')}"
                for size, rows in shared_rows.groupby("size", sort=False)
            )
            + "."
        )
    for size, rows_of_size in table.groupby("size", sort=False):
        first, last = rows_of_size.iloc[0], rows_of_size.iloc[-1]
        if first["b"] != last["b"]:
            factor = last["flops"] / first["flops"]
            sentences.append(f"{size}: b = {last['b']} takes {factor:.3g} times the FLOPs of "
                         f"b = {first['b']}{_bought(first, last)}"
                         f"{_doublings(rows_of_size)}.")  # fmt: skip
    lacks = []
    if table["seconds"].isna().all():
        lacks.append("time of a step: no run logged its speed")
    elif (table["clock"] != "own").all():
        lacks.append("time and memory of a step at each b: the runs trained as one program")
    if table["peak_mib"].isna().all():
        lacks.append("memory: no run logged memory/peak_mib (runs of older versions did not)")
    return Exhibit(
        name="cost",
        title="Cost of raising b",
        look_for=look_for,
        result=" ".join(sentences),
        table=table,
        figure=draw(table),
        lacks=tuple(lacks),
    )


def costs(subject: Subject) -> pd.DataFrame:
    """Tabulate what a step of each (size, b) costs.

    Runs of one program share their clock. Which program a run trained in is its tag
    ``looped.program``; runs made before there was that tag are taken to be one program where they
    have the same size and the same speed to the last digit, which no two programs have.

    Returns:
        ``size``, ``b``, ``runs``, ``flops``, ``seconds``, ``peak_mib``, ``clock`` (``own``, or
        ``shared`` where runs of several b trained as one program), ``sharing`` (how many runs
        had that clock), ``nmse`` (geometric mean of the seeds that learned), and
        ``doubling_bits``, ``doubling_lower``, ``doubling_upper``: what a doubling of the FLOPs
        bought from the b before; see ``doublings``.
    """
    bs_by_program: dict[Hashable, list[int]] = defaultdict(list)
    programs, rows = [], []
    for run in subject.runs:
        speed = median(run.speed) if run.speed else run.metrics.get(Metric.STEPS_PER_S, np.nan)
        programs.append(_program(run, speed))
        bs_by_program[programs[-1]].append(run.config.b)
        rows.append(
            {
                "size": run.config.size,
                "b": run.config.b,
                "flops": float(run.config.step_flops),
                "seconds": 1 / speed,
                "peak_mib": run.metrics.get(Metric.PEAK_MIB, np.nan),
            }
        )
    table = pd.DataFrame(rows)
    bs_sharing = [[] if program is None else bs_by_program[program] for program in programs]
    table["clock"] = ["shared" if len(set(bs)) > 1 else "own" for bs in bs_sharing]
    table["sharing"] = [len(bs) for bs in bs_sharing]
    groups = table.groupby(["size", "b"], sort=False)
    cells = groups.agg(
        runs=("flops", "size"), flops=("flops", "first"), seconds=("seconds", "median"),
        peak_mib=("peak_mib", "median"), clock=("clock", "max"), sharing=("sharing", "max"),
    ).reset_index()  # fmt: skip
    if not len(subject.learned_rows):
        return cells.assign(nmse=np.nan, doubling_bits=np.nan)
    errors = performance.cells(subject.table)[["size", "b", "nmse"]]
    cells = cells.merge(errors, on=["size", "b"], how="left")
    return cells.merge(doublings(subject.learned_rows), on=["size", "b"], how="left")


def doublings(table: pd.DataFrame) -> pd.DataFrame:
    """Say how many bits a doubling of the FLOPs bought on the way to each b from the one before.

    Args:
        table: runs that learned; see ``selection.tabulate_runs``.

    Returns:
        ``size``, ``b``, ``doubling_bits`` and the ends of its t interval over seeds that have
        both b, ``doubling_lower`` and ``doubling_upper``.
    """
    by_seed = table.sort_values("b").assign(flops=np.log2(table["train_flops"]))
    bs = by_seed.groupby("size")["b"].transform(lambda of_size: of_size.rank(method="dense"))
    by_seed["place"] = bs
    before = by_seed.assign(place=bs + 1)
    pairs = by_seed.merge(before, on=["size", "seed", "place"], suffixes=("", "_before"))
    pairs["doubling"] = (pairs["expressivity"] - pairs["expressivity_before"]) / (
        pairs["flops"] - pairs["flops_before"]
    )
    means = seeds.over_seeds(pairs, ["size", "b"], "doubling").drop(columns="seeds")
    names = {"mean": "doubling_bits", "lower": "doubling_lower", "upper": "doubling_upper"}
    return means.rename(columns=names)


def _program(run: LoggedRun, speed: float) -> Hashable | None:
    """Say what identifies the program that a run trained in; None where nothing does."""
    if run.program is not None:
        return run.program
    return None if np.isnan(speed) else (run.config.size, speed)


@drawing.styled
def draw(table: pd.DataFrame) -> Figure:
    """Draw a column of panels for each kind of cost that is known; see ``costs``."""
    has_own = bool((table["clock"] == "own").any())
    kinds = [
        kind
        for kind in KINDS
        if table[kind.column].notna().any() and (has_own or not kind.is_of_program)
    ]
    figure = drawing.figure_of(len(kinds), 6.2)
    panels = drawing.panels_of(figure, [kind.name for kind in kinds], 2)
    looks = drawing.marks(table["size"].unique())
    for kind in kinds:
        upper, lower = panels[kind.name]
        for size, rows_of_size in table.groupby("size", sort=False):
            is_shared = kind.is_of_program and (rows_of_size["clock"] == "shared").any()
            _draw_size(upper, lower, rows_of_size, kind.column, looks[size], is_shared)
        drawing.trained_axis(upper, sorted(table["b"].unique()))
        drawing.error_axis(upper, kind.label)
        drawing.cost_axis(lower, kind.label)
        if lower.lines:
            drawing.error_axis(lower, "NMSE")
        else:
            lower.set_axis_off()
    drawing.legend_below(figure, [column[0] for column in panels.values()], 4)
    return figure


def _draw_size(
    upper: Axes, lower: Axes, rows_of_size: pd.DataFrame, column: str, look: dict[str, object],
    is_shared: bool,
) -> None:  # fmt: skip
    size = rows_of_size["size"].iloc[0]
    colour = look["color"]
    if is_shared:
        upper.plot(rows_of_size["b"], rows_of_size[column], "--", color=colour, linewidth=1,
                   label=f"{size}: one program for all b")  # fmt: skip
        return
    upper.plot(rows_of_size["b"], rows_of_size[column], color=colour, marker=look["marker"],
               linestyle=look["linestyle"], label=size)  # fmt: skip
    rows_with_error = rows_of_size.dropna(subset=[column, "nmse"])
    if len(rows_with_error):
        lower.plot(rows_with_error[column], rows_with_error["nmse"], color=colour,
                   marker=look["marker"], linestyle=look["linestyle"], label=size)  # fmt: skip


def _doublings(rows_of_size: pd.DataFrame) -> str:
    rows_bought = rows_of_size.dropna(subset=["doubling_bits"])
    ends = ("doubling_bits", "doubling_lower", "doubling_upper")
    parts = [
        f"{seeds.with_interval(*(row[end] for end in ends))} up to b = {row['b']}"
        for row in rows_bought.to_dict("records")
    ]
    return f"; bits that a doubling of the FLOPs buys: {', '.join(parts)}" if parts else ""


def _bought(first: pd.Series, last: pd.Series) -> str:
    if np.isnan(first["nmse"]) or np.isnan(last["nmse"]):
        return ""
    return f" and leaves {last['nmse'] / first['nmse']:.2g} of its error"
