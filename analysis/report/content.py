"""The whole report: a section per task, and what goes across them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.answers.lengths.claims import judge_lengths
from analysis.answers.lengths.lengths import Lengths, read_lengths
from analysis.claims.claims import Finding, Verdict, findings_table, judge
from analysis.claims.hypotheses import HYPOTHESES
from analysis.claims.treatments import judge_treatments
from analysis.report.exhibit import Exhibit
from analysis.report.figures import (
    across_tasks,
    cost,
    extrapolation,
    law,
    lengths,
    loss,
    pareto,
    performance,
    rates,
    recipes,
    tying,
)
from analysis.report.headline import Headline, headline
from analysis.report.own_parts import NOTHING, OwnParts
from analysis.report.subject import Subject
from analysis.report.verdicts import interval


@dataclass(frozen=True, kw_only=True)
class Section:
    """What is shown of one task.

    Attributes:
        subject: its runs.
        headline: the answer.
        exhibits: figures and tables, the first of them the one that shows the answer.
        findings: verdicts on the study's claims, from the runs of the section.
        hypotheses: verdicts on its hypotheses, from all runs of the task: they compare recipes.
        treatments: verdicts on ways of training, as far as runs differ in them.
        lengths: verdicts on training length, from the curves of the runs of the section.
        own_findings: verdicts on claims of the user's own, from all runs of the task.
    """

    subject: Subject
    headline: Headline
    exhibits: Sequence[Exhibit]
    findings: Sequence[Finding]
    hypotheses: Sequence[Finding]
    treatments: Sequence[Finding] = ()
    lengths: Sequence[Finding] = ()
    own_findings: Sequence[Finding] = ()

    @property
    def kinds(self) -> Mapping[str, Sequence[Finding]]:
        """All verdicts by kind."""
        return {
            "claim": self.findings, "hypothesis": self.hypotheses,
            "treatment": self.treatments, "length": self.lengths, "own": self.own_findings,
        }  # fmt: skip

    @property
    def lacks(self) -> list[str]:
        """What the runs do not allow to be shown or judged."""
        findings_by_kind = {"claims": self.findings, "hypotheses": self.hypotheses}
        counts = {
            name: (sum(finding.verdict is Verdict.MISSING for finding in findings), len(findings))
            for name, findings in findings_by_kind.items()
        }
        return (
            [reason for exhibit in self.exhibits for reason in exhibit.lacks]
            + [
                f"{name}: {count} of {total} are not measured by these runs"
                for name, (count, total) in counts.items()
                if count
            ]
            + [
                f"your claim {finding.claim}: {finding.detail}"
                for finding in self.own_findings
                if finding.verdict is Verdict.MISSING
            ]
        )


@dataclass(frozen=True)
class Report:
    """All that is shown.

    Attributes:
        sections: one per task, the task with the most runs first.
        across: the figure across tasks.
        rules: whether the claims' rules are those from before the trainings; empty if unknown.
    """

    sections: Sequence[Section]
    across: Exhibit
    rules: str = ""

    @property
    def headlines(self) -> dict[str, str]:
        """The answer by task, for those who print it."""
        return {section.subject.task: str(section.headline) for section in self.sections}

    @property
    def own_verdicts(self) -> list[str]:
        """The verdicts on claims of the user's own, a line each."""
        return [
            f"{section.subject.task}: {finding.statement} {finding.verdict_in_words}, "
            f"{interval(finding)}"
            for section in self.sections
            for finding in section.own_findings
        ]

    @property
    def captions(self) -> dict[str, str]:
        """Captions by the name of the figure's files."""
        captions = {
            f"{section.subject.slug}/{exhibit.name}": exhibit.caption
            for section in self.sections
            for exhibit in section.exhibits
        }
        return captions | {self.across.name: self.across.caption}

    @property
    def claims(self) -> pd.DataFrame:
        """The verdicts as a table, a row for each task and claim or hypothesis."""
        tables = [
            findings_table(findings).assign(task=section.subject.task, kind=kind)
            for section in self.sections
            for kind, findings in section.kinds.items()
            if findings
        ]
        table = pd.concat(tables, ignore_index=True)
        return table[["task", "kind", *table.columns.drop(["task", "kind"])]]

    @property
    def lacks(self) -> list[str]:
        """What could not be shown, each with its task."""
        lacks_of_tasks = [
            f"{section.subject.task}: {reason}"
            for section in self.sections
            for reason in section.lacks
        ]
        return [*lacks_of_tasks, *self.across.lacks]


def make(
    subjects: Sequence[Subject],
    resamples: int,
    rules: str = "",
    clusters: str = "auto",
    own_parts: OwnParts = NOTHING,
) -> Report:
    """Draw and judge everything.

    Args:
        subjects: one per task.
        resamples: of the laws' bootstrap.
        rules: what to say of the claims' rules.
        clusters: which runs err together, as in ``fit_scaling``.
        own_parts: claims and figures of the user's own.
    """
    fits = {subject.task: law.fit(subject, resamples, clusters) for subject in subjects}
    sections = [_section(subject, fits[subject.task], resamples, own_parts) for subject in subjects]
    subjects_and_fits = {subject.task: (subject, fits[subject.task]) for subject in subjects}
    return Report(sections, across_tasks.exhibit(subjects_and_fits), rules)


def _section(
    subject: Subject, fit_or_reason: law.FitOrReason, resamples: int, own_parts: OwnParts
) -> Section:
    learned_runs = [run for run in subject.runs if run.has_learned]
    of_lengths = read_lengths(learned_runs, resamples)
    return Section(
        subject=subject,
        headline=headline(subject.runs, *fit_or_reason),
        exhibits=[
            *_exhibits(subject, fit_or_reason, of_lengths, resamples),
            *own_parts.exhibits(subject),
        ],
        findings=judge(subject.runs),
        hypotheses=judge(subject.runs_of_task, HYPOTHESES),
        treatments=judge_treatments(subject.runs_of_task),
        lengths=judge_lengths(learned_runs, of_lengths),
        own_findings=own_parts.findings(subject.runs_of_task),
    )


def _exhibits(
    subject: Subject,
    fit_or_reason: law.FitOrReason,
    of_lengths: Lengths | str,
    resamples: int,
) -> list[Exhibit]:
    """Draw a section's figures: the law first, or what it would be drawn over; then by duty."""
    exhibits = [performance.exhibit(subject)]
    if len(subject.table):
        of_law = law.exhibit(subject, fit_or_reason)
        exhibits.insert(0 if of_law.figure else 1, of_law)
        exhibits += extrapolation.exhibits(subject)
    exhibits += [*lengths.exhibits(of_lengths), cost.exhibit(subject)]
    if len(subject.table):
        exhibits.append(pareto.exhibit(subject))
    exhibits += [*loss.exhibits(subject), *tying.exhibits(subject)]
    return [*exhibits, *rates.exhibits(subject, resamples), *recipes.exhibits(subject)]
