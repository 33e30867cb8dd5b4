"""Tells MLflow of a report: counts, verdicts, files."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mlflow import entities
from mlflow.entities import RunTag
from mlflow.tracking import MlflowClient

from analysis.claims.claims import Verdict
from analysis.claims.family import family_reading
from analysis.claims.hypotheses import joint_reading
from analysis.report import verdicts
from analysis.report.content import Report
from looped.names import Kind, Metric, Param, Tag

_LONGEST_TAG = 8000


def log_report(
    client: MlflowClient,
    run_id: str,
    report: Report,
    options: Mapping[str, object],
    folder: Path,
    time_ms: int,
) -> None:
    """Log a report to a run.

    Args:
        client: of the store.
        run_id: the run of the report.
        report: what there was to show.
        options: how it was asked for; logged as ``report.<name>``.
        folder: from ``files.write``; becomes the artifacts ``report/``.
        time_ms: milliseconds since 1970.
    """
    subjects = [section.subject for section in report.sections]
    tags = {
        Tag.KIND: Kind.REPORT,
        Tag.TASK: ",".join(
            sorted({subject.runs[0].config.task_config.word for subject in subjects})
        ),
        Tag.RECIPE: ",".join(
            sorted({subject.runs[0].config.recipe_identity for subject in subjects})
        ),
        Tag.NOTE: note(report),
    }
    for section in report.sections:
        for finding in (*section.findings, *section.hypotheses, *section.own_findings):
            tags[f"claim.{section.subject.slug}.{finding.claim}"] = finding.verdict_in_words
    metrics = [entities.Metric(name, value, time_ms, 0) for name, value in counts(report).items()]
    client.log_batch(
        run_id,
        metrics=metrics,
        params=[entities.Param(Param.REPORT + name, str(value)) for name, value in options.items()],
        tags=[RunTag(name, value[:_LONGEST_TAG]) for name, value in tags.items()],
    )
    client.log_artifacts(run_id, str(folder), "report")


def counts(report: Report) -> dict[str, float]:
    """Count runs, what is missing, and verdicts."""
    table = report.claims
    verdicts = Counter(zip(table["kind"], table["verdict"], strict=True))
    runs = [run for section in report.sections for run in section.subject.runs]
    return {
        Metric.REPORT + "tasks": float(len(report.sections)),
        Metric.REPORT + "runs": float(len(runs)),
        Metric.REPORT + "plateaued": float(sum(run.is_plateau for run in runs)),
        Metric.REPORT + "diverged": float(
            sum(section.subject.n_diverged for section in report.sections)
        ),
        Metric.REPORT + "missing": float(len(report.lacks)),
    } | {
        f"{family}{verdict.value.replace(' ', '_')}": float(verdicts[kind, verdict.value])
        for kind, family in (("claim", Metric.CLAIMS), ("hypothesis", Metric.HYPOTHESES))
        for verdict in Verdict
    }


def note(report: Report) -> str:
    """Say in Markdown the answer and what came of the claims, for the run's page."""
    tasks = [section.subject.task for section in report.sections]
    lines = [f"**{task}**: {text}\n" for task, text in report.headlines.items()]
    lines += ["The whole: `report/report.html`.", ""]
    lines += [f"| claim | {' | '.join(tasks)} |", "|---" * (1 + len(tasks)) + "|"]
    for findings_of_tasks in zip(*(section.findings for section in report.sections), strict=True):
        columns = [
            f"{finding.verdict_in_words}, {verdicts.interval(finding)}"
            for finding in findings_of_tasks
        ]
        lines.append(f"| {findings_of_tasks[0].statement} | {' | '.join(columns)} |")
    for section in report.sections:
        lines += ["", f"**{section.subject.task}**: {section.subject.account}"]
        findings = [finding for kind in section.kinds.values() for finding in kind]
        lines.append(family_reading(findings))
        lines.append(joint_reading(section.hypotheses))
        for finding in section.own_findings:
            verdict = f"{finding.verdict_in_words}, {verdicts.interval(finding)}"
            lines.append(f"- {finding.statement} **{verdict}** (claim {finding.claim})")
    lines += ["", *([report.rules, ""] if report.rules else [])]
    lines += [f"- Missing: {reason}" for reason in report.lacks]
    return "\n".join(lines)
