"""Claims and hypotheses on the page: grouped by their verdict, each with its number in sight."""

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from analysis.claims.claims import INTERVALS, Finding, Verdict
from analysis.claims.family import family_reading
from analysis.claims.hypotheses import joint_reading
from analysis.report.markup import heading, in_details, paragraph

MARKS = {
    Verdict.SUPPORTED: "✓",
    Verdict.CONTRADICTED: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.MISSING: "-",
}
"""By verdict, in the order that they are shown in."""

WHAT = "Numbers are the statistic named below them, with its 95 % interval over seeds."


def claims_and_hypotheses(
    slug: str, kinds: Mapping[str, Sequence[Finding]], level: int
) -> list[str]:
    """Write a section's verdicts.

    Args:
        slug: of the section, for anchors.
        kinds: findings on the study's claims, its hypotheses, on ways of training, on its
            length, and on claims of the user's own; see ``Section.kinds``.
        level: of their headings.
    """
    claims, hypotheses, treatments, lengths, own_claims = kinds.values()
    return [
        heading(level, "Claims", f"{slug}-claims"),
        paragraph(
            f"{family_reading([*claims, *hypotheses, *treatments, *lengths, *own_claims])} {WHAT}"
        ),
        in_details("how verdicts are made, and what they need", paragraph(INTERVALS)),
        *_groups(claims, level + 1),
        heading(level, "Hypotheses", f"{slug}-hypotheses"),
        paragraph(joint_reading(hypotheses)),
        *_unless_missing(hypotheses, level + 1),
        *([heading(level, "Ways of training", f"{slug}-treatments")] if treatments else []),
        *_groups(treatments, level + 1),
        *(
            [heading(level, "Claims about training length", f"{slug}-length-claims")]
            if lengths
            else []
        ),
        *_unless_missing(lengths, level + 1),
        *([heading(level, "Your own claims", f"{slug}-own-claims")] if own_claims else []),
        *_groups(own_claims, level + 1),
    ]


def interval(finding: Finding) -> str:
    """Write what was measured, with its interval, and of how many parts it is the extreme one."""
    if pd.isna(finding.estimate):
        return "-"
    ends = "" if pd.isna(finding.low) else f" [{finding.low:.3g}, {finding.high:.3g}]"
    extreme = f", {finding.chosen_as}" if finding.chosen_as else ""
    return f"{finding.estimate:.3g}{ends}{extreme}"


def _unless_missing(findings: Sequence[Finding], level: int) -> list[str]:
    """Write findings; folded where none of them is measured."""
    groups = _groups(findings, level)
    if not groups or any(finding.verdict is not Verdict.MISSING for finding in findings):
        return groups
    return [in_details("what each needs", "".join(groups))]


def _groups(findings: Sequence[Finding], level: int) -> list[str]:
    groups = {
        verdict: [finding for finding in findings if finding.verdict is verdict]
        for verdict in MARKS
    }
    return [
        part
        for verdict, group in groups.items()
        if group
        for part in (
            heading(level, f"{verdict.value.capitalize()}: {len(group)} of {len(findings)}"),
            *map(_claim, group),
        )
    ]


def _claim(finding: Finding) -> str:
    word = finding.verdict.value.replace(" ", "-")
    first_detail, *details = finding.detail.split("; ")
    is_measured = finding.verdict is not Verdict.MISSING
    numbers = [interval(finding), finding.statistic] if is_measured else [first_detail]
    why = [
        f"Rule: {finding.rule}",
        f"Threshold: {finding.reason}",
        *([first_detail] * is_measured),
        *details,
    ]
    verdict = f"{MARKS[finding.verdict]} {finding.verdict_in_words}"
    return "".join(
        [
            f'<div class="claim"><p class="statement">{escape(finding.statement)}</p>',
            f'<div class="number"><p class="verdict {word}">{escape(verdict)}</p>',
            paragraph(numbers[0]),
            *(paragraph(text, "faint") for text in (*numbers[1:], finding.outlook) if text),
            "</div>",
            in_details("rule and reason", "".join(map(paragraph, why))),
            "</div>",
        ]
    )
