"""The scaling law of a task's runs, or why they allow none."""

from typing import NamedTuple

from analysis.report import drawing
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.scaling import figures
from analysis.scaling.fit import ScalingFit, fit_scaling
from analysis.scaling.points import PointsError

LOOK_FOR = (
    "The function b of E_LM = b(E_M), fitted to the runs (marks) that learned, with its 95 % band; "
    "right of the last mark it is a forecast. fit_scaling says more, and registers the law."
)


class Law(NamedTuple):
    """A fitted law, or the reason why there is none."""

    fit: ScalingFit | None
    reason: str = ""


def fit(subject: Subject, resamples: int) -> Law:
    """Fit the law to the runs that learned."""
    if not len(subject.learned):
        return Law(None, "a law needs evaluated runs that learned, got none")
    try:
        return Law(fit_scaling(subject.learned, resamples=resamples))
    except PointsError as error:
        return Law(None, str(error))


def exhibit(subject: Subject, law: Law) -> Exhibit:
    """Draw the law."""
    if law.fit is None:
        return Exhibit("law", "Law", LOOK_FOR, missing=(f"law: {law.reason}",))
    draw = drawing.styled(figures.law)
    return Exhibit(
        "law", "Law", LOOK_FOR, law.fit.verdict, law.fit.best.parameters(),
        draw(law.fit, subject.ceiling_bits), text=law.fit.report(),
    )  # fmt: skip
