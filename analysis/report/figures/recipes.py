"""The verdicts of several recipes side by side."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from analysis.claims.claims import CLAIMS, Finding, Verdict, judge
from analysis.report.exhibit import Exhibit
from analysis.report.subject import Subject
from analysis.report.verdicts import MARKS
from analysis.runs.logged_run import LoggedRun
from analysis.runs.recipes import by_name, name_of

USUAL = "as in the figures"

SIGNS = {f"^{verdict}:?": MARKS[verdict] for verdict in Verdict}
"""What stands for a verdict in a table of many."""

LOOK_FOR = (
    "Every claim judged within each recipe by itself: what was found, its 95 % interval over seeds "
    "and the verdict. Where two recipes differ the claim is about how the models were trained. A "
    "run stands in every recipe that would have trained it. ✓ supported, ✗ contradicted, "
    "? undecided, - not measured."
)


def exhibits(subject: Subject) -> list[Exhibit]:
    """Tabulate what each recipe of a task says of the claims; nothing where there is one."""
    distinct_runs = {run.config.identity: run for run in subject.runs_of_task}.values()
    groups = by_name(distinct_runs)
    if len(groups) < 2:
        return []
    shown_name = name_of(subject.runs)
    largest_name = max(groups, key=lambda name: len(groups[name]))
    usual_name = shown_name if shown_name in groups else largest_name
    settings = {name: _settings(runs) for name, runs in groups.items()}
    words = {name: _words(settings[name], settings[usual_name]) for name in groups}
    counts = Counter(words.values())  # a column each, whatever they share
    words = {name: f"{word} ({name})" if counts[word] > 1 else word for name, word in words.items()}
    names = sorted(groups, key=lambda name: (name != usual_name, words[name]))
    table = pd.DataFrame({"claim": [claim.slug for claim in CLAIMS]})
    for name in names:
        table[words[name]] = [_cell(finding) for finding in judge(groups[name])]
    measured_rows = ~table.drop(columns="claim").eq(str(Verdict.MISSING)).all(axis=1)
    list_of_recipes = pd.DataFrame(
        [(words[name], len(groups[name]), name) for name in names],
        columns=["what sets it apart", "runs", "recipe"],
    )
    return [
        Exhibit(
            name="recipes",
            title="Recipes side by side",
            look_for=LOOK_FOR,
            result=f"There are {len(names)} recipes, a column each: that of the figures first, "
            "the others named by what sets them apart from it.",
            table=table[measured_rows],
            shown_table=table[measured_rows].replace(SIGNS, regex=True),
            details={"the recipes, with their runs": list_of_recipes},
        )
    ]


def _settings(runs: Sequence[LoggedRun]) -> dict[str, str]:
    config = runs[0].config
    settings = {"b_draw": config.b_draw, **config.base_recipe, **config.policy}
    return {name: str(value) for name, value in settings.items()}


def _words(settings: dict[str, str], usual_settings: dict[str, str]) -> str:
    """Say what sets a recipe apart from the one that the figures show."""
    apart = [
        f"{setting}={value}"
        for setting, value in settings.items()
        if value != usual_settings.get(setting)
    ]
    return ", ".join(apart) or USUAL


def _cell(finding: Finding) -> str:
    if finding.verdict is Verdict.MISSING:
        return str(finding.verdict)
    ends = "" if pd.isna(finding.low) else f" [{finding.low:.3g}, {finding.high:.3g}]"
    return f"{finding.verdict}: {finding.estimate:.3g}{ends}"
