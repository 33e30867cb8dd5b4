"""The verdicts of several recipes side by side."""

from collections.abc import Sequence

import pandas as pd

from analysis.claims.claims import CLAIMS, Finding, Verdict, judge
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.runs.logged_run import LoggedRun
from analysis.runs.recipes import by_name
from looped.counting import counted

LOOK_FOR = (
    "Every claim judged within each recipe by itself: what was found, its 95 % interval over seeds "
    "and the verdict. Where two recipes differ the claim is about how the models were trained. A "
    "run stands in every recipe that would have trained it."
)


def exhibits(subject: Subject) -> list[Exhibit]:
    """Tabulate what each recipe of a task says of the claims; nothing where there is one."""
    distinct_runs = {run.config.identity: run for run in subject.runs_of_task}.values()
    groups = by_name(distinct_runs)
    if len(groups) < 2:
        return []
    settings = {name: _settings(runs) for name, runs in groups.items()}
    columns = {f"{name}: {_words(name, settings)}": groups[name] for name in sorted(groups)}
    table = pd.DataFrame({"claim": [claim.slug for claim in CLAIMS]})
    for column, runs in columns.items():
        table[column] = [_cell(finding) for finding in judge(runs)]
    counts = ", ".join(
        f"{counted(len(runs), 'run')} of {column}" for column, runs in columns.items()
    )
    measured_rows = ~table.drop(columns="claim").eq(str(Verdict.MISSING)).all(axis=1)
    return [
        Exhibit(
            name="recipes",
            title="Recipes side by side",
            look_for=LOOK_FOR,
            result=f"There are {counts}.",
            table=table[measured_rows],
        )
    ]


def _settings(runs: Sequence[LoggedRun]) -> dict[str, str]:
    config = runs[0].config
    settings = {"b_draw": config.b_draw, **config.base_recipe, **config.policy}
    return {name: str(value) for name, value in settings.items()}


def _words(name: str, settings: dict[str, dict[str, str]]) -> str:
    """Say what sets a recipe apart from the others."""
    return ", ".join(
        f"{setting}={value}"
        for setting, value in settings[name].items()
        if len({words[setting] for words in settings.values()}) > 1
    )


def _cell(finding: Finding) -> str:
    if finding.verdict is Verdict.MISSING:
        return str(finding.verdict)
    ends = "" if pd.isna(finding.low) else f" [{finding.low:.3g}, {finding.high:.3g}]"
    return f"{finding.verdict}: {finding.estimate:.3g}{ends}"
