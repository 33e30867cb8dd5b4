"""Looped models beside their untied twins: what tying costs, and what a loop is worth."""

import math

import pandas as pd

from analysis.answers.joint_law import PUBLISHED_PHI, fit_joint
from analysis.answers.tying import tying
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.runs.selection import tabulate_runs
from analysis.scaling.run_table import RunTableError

LOOK_FOR = (
    "Each looped model beside its untied twin, which has b stacks of its own, all else equal. "
    "equal_loops: bits of the untied over the looped of the same size and b, which is what tying "
    "costs. equal_weights: bits of a looped model of as many weights over the untied, interpolated "
    "between sizes, which is what tying pays. phi: b loops of one stack are worth b^phi stacks of "
    "their own, measured. Means over seeds with 95 % intervals, paired by seed. The twin has b "
    "loops and none beyond."
)


def exhibits(subject: Subject) -> list[Exhibit]:
    """Tabulate the comparison; nothing where no model was trained both ways."""
    table = tying(subject.runs_of_task)
    if not len(table):
        return []
    return [
        Exhibit(
            name="tying",
            title="What tying costs",
            look_for=LOOK_FOR,
            result=_fitted(subject),
            table=table,
            shown_table=pd.DataFrame(map(_row, table.to_dict("records"))),
        )
    ]


def _row(row: dict[str, object]) -> dict[str, object]:
    return {
        "size": row["size"],
        "b": row["b"],
        "weights, looped": f"{row['looped_weights']:,}",
        "untied": f"{row['untied_weights']:,}",
        "equal_loops, bits": _interval(row, "equal_loops"),
        "equal_weights, bits": _interval(row, "equal_weights"),
        "phi": row["phi_bound"] or _interval(row, "phi"),
    }


def _interval(row: dict[str, object], name: str) -> str:
    value, low, high = (float(str(row[name + end])) for end in ("", "_low", "_high"))
    if math.isnan(value):
        return "not measured"
    return f"{value:.3g}{'' if math.isnan(low) else f' [{low:.3g}, {high:.3g}]'}"


def _fitted(subject: Subject) -> str:
    """Say what phi the joint law has, of the looped models of the same recipe."""
    runs = [run for run in subject.evaluated_runs if run.has_learned and run.config.policy["tied"]]
    value, low, high = PUBLISHED_PHI
    published = f"language models: {value} [{low}, {high}] (arXiv:2604.21106)."
    try:
        fit = fit_joint(tabulate_runs(runs, {}) if runs else pd.DataFrame())
    except RunTableError as error:
        return f"No phi is fitted beside it: {error}; {published}"
    value, low, high = fit.phi
    words = f"The joint law fitted to the looped runs has phi {value:.3g} [{low:.3g}, {high:.3g}]"
    return f"{words}; {published}"
