"""The size's own rate of learning beside others: what it costs, and what the law is at the best."""

import math

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from analysis.answers.rates import LawAtBest, Rates, law_line, read_rates
from analysis.report import drawing
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject

LOOK_FOR = (
    "E over that at the size's own rate, by seed, against the rate as so many times that one: "
    "means over seeds with 95 % intervals, a line per b. regret: bits that the best of the "
    "rates tried has over the own rate, 0 where the own one is best. It is measured on each "
    "seed at the rate that the other seeds choose, and said as 0 where that comes out below; "
    "its interval is the greatest of the rates' upper ends, and the greatest of their lower "
    "ends corrected for the number of rates, and not below 0. Where the greatest mean is at an "
    "end of what was tried the regret is a lower bound. For language models a regret of 0.005 "
    "nats of cross-entropy, 0.007 bits, was shown before a law was believed (arXiv:2604.21106)."
)


def exhibits(subject: Subject, resamples: int) -> list[Exhibit]:
    """Draw the comparison; nothing where a cell was trained at one rate.

    Args:
        subject: the runs of a task.
        resamples: of the joint laws' bootstrap.
    """
    rates = read_rates(subject.runs_of_task, resamples)
    if rates is None:
        return []
    details = {"E over the own rate, by factor": rates.gains}
    if isinstance(rates.law, LawAtBest):
        details["what the law expects at the own rate and at the best"] = rates.law.cells
    return [
        Exhibit(
            name="rates",
            title="The learning rate",
            look_for=LOOK_FOR,
            result=" ".join(_remarks(rates)),
            table=rates.regrets,
            shown_table=pd.DataFrame(map(_row, rates.regrets.to_dict("records"))),
            figure=draw(rates.gains),
            details=details,
        )
    ]


@drawing.styled
def draw(gains: pd.DataFrame) -> Figure:
    """Draw bits over the own rate against the factor, a panel per size."""
    sizes, bs = list(dict.fromkeys(gains["size"])), sorted(gains["b"].unique())
    n_columns = min(drawing.ACROSS, len(sizes))
    n_rows = -(-len(sizes) // n_columns)
    figure = Figure(figsize=(3.4 * n_columns, 2.8 * n_rows + 0.4), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).flat
    marks_of_b = drawing.marks(bs)
    factors = sorted({1.0, *gains["factor"]})
    for axes, size in zip(panels, sizes, strict=False):
        for index, b in enumerate(bs):
            rows = gains[(gains["size"] == size) & (gains["b"] == b)]
            own_row = pd.DataFrame({"factor": [1.0], "gain": [0.0], "low": [0.0], "high": [0.0]})
            rows = pd.concat([rows[list(own_row)], own_row]).sort_values("factor")
            shift = 1.03 ** (index - (len(bs) - 1) / 2)
            ends = [rows["gain"] - rows["low"], rows["high"] - rows["gain"]]
            axes.errorbar(rows["factor"] * shift, rows["gain"], ends, **marks_of_b[b],
                          markersize=4, linewidth=1.1, elinewidth=0.8,
                          label=f"b = {b}")  # fmt: skip
        axes.axhline(0, color="0.6", linewidth=0.8)
        axes.set(xscale="log", title=size, xlabel="rate over the size's own")
        axes.set_xticks(factors, [f"{factor:g}" for factor in factors])
        axes.xaxis.set_minor_locator(NullLocator())
    for axes in list(panels):
        axes.set_axis_off()
    figure.axes[0].set_ylabel("E over the own rate, bits")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(bs), title="trained at")
    return figure


def _row(row: dict[str, float]) -> dict[str, object]:
    regret, low, high = row["regret"], row["regret_low"], row["regret_high"]
    ends = " (one seed, no interval)" if math.isnan(low) else f" [{low:.2g}, {high:.2g}]"
    edge = f", the {row['edge']} tried" if row["edge"] else ""
    return {
        "size": row["size"],
        "b": row["b"],
        "regret, bits": "not measured" if math.isnan(regret) else f"{max(regret, 0):.2g}{ends}",
        "rate of the greatest mean, over the own": f"{row['best_factor']:g}{edge}",
    }


def _remarks(rates: Rates) -> list[str]:
    n_edges, n_cells = int((rates.regrets["edge"] != "").sum()), len(rates.regrets)
    remarks = []
    if n_edges:
        remarks.append(
            f"In {n_edges} of {n_cells} cells the greatest mean is at an end of what was tried: "
            "the regret there is a lower bound."
        )
    if rates.left_out:
        words = ", ".join(remark.removesuffix(" left out") for remark in rates.left_out)
        remarks.append(f"Runs left out: {words}.")
    return [*remarks, law_line(rates.law)]
