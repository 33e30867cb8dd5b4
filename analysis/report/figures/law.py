"""The scaling law of a task's runs, or why they allow none."""

from typing import NamedTuple

from matplotlib.figure import Figure

from analysis.report import drawing
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.runs.selection import left_out_words, sizes_without_base
from analysis.scaling import figures
from analysis.scaling.fit import ScalingFit, fit_scaling
from analysis.scaling.run_table import RunTableError

LOOK_FOR = (
    "The function b of E_LM = b(E_M), fitted to the runs (marks) that learned, with its 95 % band "
    "for the mean over seeds (a single training lies about it as the marks do); right of the last "
    "mark it is a forecast. fit_scaling says more, and registers the law."
)

FORM_COLUMNS = (
    *("form", "parameters", "delta", "weight", "leave_one_b_out", "leave_one_size_out", "status"),
)
"""What is shown of each form: ``delta`` is AICc above the least, errors are in bits."""


class FitOrReason(NamedTuple):
    """A fitted law, or the reason why there is none."""

    fit: ScalingFit | None
    reason: str = ""
    """Why there is no fit, or which sizes it leaves out."""


def fit(subject: Subject, resamples: int, clusters: str = "auto") -> FitOrReason:
    """Fit the law to the runs that learned, of sizes with such a run at b = 1."""
    rows = subject.learned_rows
    if not len(rows):
        return FitOrReason(None, "a law needs evaluated runs that learned, got none")
    sizes = sizes_without_base(rows)
    rows = rows[~rows["size"].isin(sizes)]
    try:
        law = fit_scaling(rows, clusters=clusters, resamples=resamples)
        return FitOrReason(law, left_out_words(sizes))
    except RunTableError as error:
        return FitOrReason(None, str(error))


def exhibit(subject: Subject, fit_or_reason: FitOrReason) -> Exhibit:
    """Draw the law."""
    law, reason = fit_or_reason
    if law is None:
        return Exhibit(name="law", title="Law", look_for=LOOK_FOR, lacks=(f"law: {reason}",))
    return Exhibit(
        name="law",
        title="Law",
        look_for=LOOK_FOR,
        result=law.verdict,
        table=law.best.parameters(),
        figure=draw(law, subject.ceiling_bits),
        lacks=(f"law: {reason}",) if reason else (),
        text=law.report(),
        details={f"the {len(law.fits)} forms compared": law.comparison[[*FORM_COLUMNS]]},
    )


@drawing.styled
def draw(law: ScalingFit, ceiling_bits: float | None) -> Figure:
    """Draw the law as large as it is shown first; which forms it is made of the caption says."""
    figure = figures.law(law, ceiling_bits)
    figure.set_size_inches(5.2, 3.9)
    figure.axes[0].set_title("")
    return figure
