"""What the kept trainings say of the claims: verdicts beside each other, and their numbers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from analysis.claims.claim import Verdict
from analysis.claims.claims import judge
from analysis.claims.family import family_reading
from analysis.claims.findings import Finding
from analysis.claims.hypotheses import HYPOTHESES, joint_reading
from analysis.claims.treatments import judge_treatments
from analysis.findings.markdown import Lines, header, heading, interval, number, row
from analysis.findings.recipes import Recipe, Study
from looped.names import Weights

ByWeights = Mapping[str, Sequence[Finding]]
"""What was found with each kind of weights."""


def claim_tables(recipes: Sequence[Recipe]) -> dict[str, Lines]:
    """Write the claims' verdicts, a column for each recipe, and the numbers of those on all loops.

    Args:
        recipes: that differ from the study's in the prompt and the loss window alone.
    """
    columns: dict[str, dict[str, Sequence[Finding]]] = {}
    numbers: Lines = []
    for recipe in recipes:
        findings = judge(recipe.runs)
        columns.setdefault(f"{recipe.letter}: {recipe.title}", {})[recipe.weights] = findings
        if recipe.sees_all_loops:
            numbers += heading(f"{recipe.letter}: {recipe.title}, {recipe.weights} weights")
            numbers += [*_in_numbers(findings), "", family_reading(findings)]
    return {"claims": _side_by_side("claim", columns), "claims-in-numbers": numbers[1:]}


def hypothesis_tables(studies: Sequence[Study]) -> dict[str, Lines]:
    """Write the hypotheses' verdicts, a column for each study that measures one; their numbers."""
    columns: dict[str, dict[str, Sequence[Finding]]] = {}
    numbers: Lines = []
    for study in studies:
        findings = judge(study.runs, HYPOTHESES)
        if all(finding.verdict is Verdict.MISSING for finding in findings):
            continue
        columns.setdefault(study.title, {})[study.weights] = findings
        numbers += heading(f"{study.title}, {study.weights} weights")
        numbers += [*_in_numbers(findings), "", joint_reading(findings)]
    none = ["No kept study trains in the ways that the hypotheses ask about."]
    return {
        "hypotheses": _side_by_side("hypothesis", columns) if columns else none,
        "hypotheses-in-numbers": numbers[1:] or none,
    }


def ways_table(studies: Sequence[Study]) -> Lines:
    """Write the claims about ways of training that differ within a study; none where none do."""
    lines: Lines = []
    for study in studies:
        findings = judge_treatments(study.runs)
        if findings:
            lines += heading(f"{study.title}, {study.weights} weights")
            lines += header(["claim", "measured", "estimate", "95 % interval", "verdict"])
            for finding in findings:
                cells = [f"{finding.statement} (`{finding.claim}`)", finding.statistic]
                cells += [number(finding.estimate), interval(finding.low, finding.high)]
                lines.append(row([*cells, finding.verdict_in_words]))
    return lines[1:] or ["No kept study trains in several ways."]


def _side_by_side(what: str, columns: Mapping[str, ByWeights]) -> Lines:
    """Write a row for each claim and a column for each group of trainings, with a count below."""
    lines = header([what, *columns])
    of_last = [column[Weights.LAST] for column in columns.values()]
    for index, claim in enumerate(of_last[0]):
        cells = [
            _verdicts({weights: findings[index] for weights, findings in column.items()})
            for column in columns.values()
        ]
        lines.append(row([f"{claim.statement} (`{claim.claim}`)", *cells]))
    counts = [Counter(finding.verdict for finding in findings) for findings in of_last]
    for verdict in Verdict:
        lines.append(row([f"*{verdict}*", *(count[verdict] for count in counts)]))
    return lines


def _verdicts(findings: Mapping[str, Finding]) -> str:
    """Write the verdict by the last weights, and that by their mean where it is another.

    A star is at verdicts on other sizes, b or loops than those that the study speaks of.
    """
    last = findings[Weights.LAST]
    word = "-" if last.verdict is Verdict.MISSING else str(last.verdict)
    tail = findings.get(Weights.TAIL, last)
    tail_words = f"; tail: {tail.verdict}" if tail.verdict is not last.verdict else ""
    return f"{word}{' *' * bool(last.substitute)}{tail_words}"


def _in_numbers(findings: Iterable[Finding]) -> Lines:
    lines = header(["", "measured", "estimate", "95 % interval", "verdict", "seeds to decide"])
    for finding in findings:
        estimate = number(finding.estimate)
        if finding.chosen_as:
            estimate += f" ({finding.chosen_as})"
        cells = [
            f"`{finding.claim}`",
            finding.statistic,
            estimate,
            interval(finding.low, finding.high),
            finding.verdict_in_words,
            number(finding.seeds),
        ]
        lines.append(row(cells))
    return lines
