"""What a section of the report is about: a task's runs of one recipe, and what they compare to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import pandas as pd

from analysis.runs.accounts import convergence_account, prompts_account, weights_account
from analysis.runs.expressivity import EXACT_BELOW, expressivity
from analysis.runs.logged_run import LoggedRun
from analysis.runs.recipes import by_name, by_recipe, departures, name_of
from analysis.runs.selection import SelectionError, tabulate_runs
from looped.counting import counted

MOST_NAMED = 3
"""Other recipes that an account names; of more it says how many they are."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The runs of one task that compare with each other.

    Attributes:
        task: with those of its settings that are not the defaults.
        runs: of one recipe, one of each identity, the smallest model and b first. Of recipes of
            as many runs it is the one that departs least from the defaults.
        runs_of_task: all of them of the task, whatever their recipe.
        baselines: NMSE by name, on the runs' prompts.
        account: which runs these are, and what was left out.
        n_diverged: runs of the recipe that are left out because they diverged.
    """

    task: str
    runs: Sequence[LoggedRun]
    runs_of_task: Sequence[LoggedRun]
    baselines: Mapping[str, float]
    account: str
    n_diverged: int = 0

    @property
    def slug(self) -> str:
        """The task as the name of a folder."""
        return self.task.replace(" ", "-").replace("=", "")

    @cached_property
    def evaluated_runs(self) -> Sequence[LoggedRun]:
        """Those whose error after b loops is known."""
        return [run for run in self.runs if run.is_evaluated]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per evaluated run, plateaued ones too; see ``selection.tabulate_runs``."""
        return tabulate_runs(self.evaluated_runs, {})

    @cached_property
    def learned_rows(self) -> pd.DataFrame:
        """The rows of those that did not stay on the plateau."""
        return self.table[~self.table["plateau"]] if len(self.table) else self.table

    @property
    def sizes(self) -> list[str]:
        """From the smallest."""
        return list(dict.fromkeys(run.config.size for run in self.runs))

    @property
    def bs(self) -> list[int]:
        """From the least."""
        return sorted({run.config.b for run in self.runs})

    @property
    def ceiling(self) -> str | None:
        """The baseline that is the Bayes predictor; None where there is none, or it is exact."""
        name = self.runs[0].config.task_config.bayes or ""
        return name if self.baselines.get(name, 0.0) > EXACT_BELOW else None

    @property
    def ceiling_bits(self) -> float | None:
        """Expressivity of the Bayes predictor, the most that a model can have."""
        return None if self.ceiling is None else float(expressivity(self.baselines[self.ceiling]))


def choose(
    runs: Sequence[LoggedRun],
    baselines: Mapping[str, Mapping[str, float]],
    task: str | None = None,
    recipe: str | None = None,
    sizes: Iterable[str] | None = None,
    bs: Iterable[int] | None = None,
) -> list[Subject]:
    """Choose what to report on: a subject per task, of its most numerous recipe.

    Args:
        runs: all there are.
        baselines: NMSE by run id and name; see ``load.baseline_nmse``.
        task: a task's name, or with its settings, ``linear n_dims=10``; None means all.
        recipe: the tag of that name, or its beginning.
        sizes: those wanted.
        bs: those wanted.

    Raises:
        SelectionError: nothing is left; the message lists what there is.
    """
    _require(bool(runs), "the experiment must hold finished trainings", "none")
    matching_runs = [run for run in runs if task in (None, run.task)]
    if task is not None and not matching_runs:
        matching_runs = [run for run in runs if run.config.task_config.answers_to(task)]
    _require(bool(matching_runs), f"task must be one of {_listed(run.task for run in runs)}", task)
    allowed_values: dict[str, Iterable[Any] | None] = {"sizes": sizes, "bs": bs}
    for name, values in allowed_values.items():
        if values is not None:
            allowed_of_setting, values_there = (
                set(values),
                [getattr(run.config, name[:-1]) for run in matching_runs],
            )
            pairs = zip(matching_runs, values_there, strict=True)
            matching_runs = [run for run, value in pairs if value in allowed_of_setting]
            _require(
                bool(matching_runs),
                f"{name} must be among {_listed(values_there)}",
                sorted(allowed_of_setting),
            )
    if recipe is not None:
        groups = by_name(matching_runs)
        recipes = ", ".join(
            f"{name} ({counted(len(group), 'run')})" for name, group in sorted(groups.items())
        )
        wanted_runs = {
            run.run_id for name, group in groups.items() for run in group if name.startswith(recipe)
        }
        matching_runs = [run for run in matching_runs if run.run_id in wanted_runs]
        _require(bool(matching_runs), f"recipe must be one of {recipes}", recipe)
    tasks = Counter(run.task for run in matching_runs)
    tasks_to_show = Counter(run.task for run in matching_runs if not run.is_diverged)
    rule = "a report needs trainings that did not diverge"
    _require(bool(tasks_to_show), rule, f"{len(matching_runs)} that did")
    subjects = [
        _subject(name, [run for run in matching_runs if run.task == name], runs, baselines)
        for name, _ in sorted(tasks_to_show.items(), key=lambda item: (-tasks[item[0]], item[0]))
    ]
    without_section = [
        f"{name} ({counted(count, 'run')})"
        for name, count in tasks.items()
        if name not in tasks_to_show
    ]
    if without_section:
        remark = f" Without a section, as all of it diverged: {', '.join(without_section)}."
        subjects[0] = replace(subjects[0], account=subjects[0].account + remark)
    return subjects


def _subject(
    task: str,
    matching_runs: Sequence[LoggedRun],
    runs: Sequence[LoggedRun],
    baselines: Mapping[str, Mapping[str, float]],
) -> Subject:
    newest_by_identity = {run.config.identity: run for run in matching_runs}
    groups = by_recipe(newest_by_identity.values()).values()
    group = max(groups, key=lambda group: (len(_steady(group)), -departures(group), name_of(group)))
    runs_of_recipe = sorted(_steady(group), key=_place)
    n_diverged = len(group) - len(runs_of_recipe)
    runs_of_task = [run for run in runs if run.task == task]
    return Subject(
        task=task,
        runs=runs_of_recipe,
        runs_of_task=runs_of_task,
        baselines=_level(runs_of_recipe, baselines),
        account=_account(group, matching_runs, runs_of_task),
        n_diverged=n_diverged,
    )


def _steady(runs: Iterable[LoggedRun]) -> list[LoggedRun]:
    return [run for run in runs if not run.is_diverged]


def _place(run: LoggedRun) -> tuple[int, str, int, int]:
    config = run.config
    return config.model_config.n_params(), config.size, config.b, config.seed


def _level(
    runs: Sequence[LoggedRun], baselines: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Average each baseline over the runs' prompts, which mostly are the same."""
    scores: dict[str, list[float]] = {}
    for run in runs:
        for name, nmse in baselines.get(run.run_id, {}).items():
            scores.setdefault(name, []).append(nmse)
    return {name: fmean(values) for name, values in sorted(scores.items())}


def _account(
    group: Sequence[LoggedRun],
    matching_runs: Sequence[LoggedRun],
    runs_of_task: Sequence[LoggedRun],
) -> str:
    runs_of_recipe, name = _steady(group), name_of(group)
    n_diverged = len(group) - len(runs_of_recipe)
    config = runs_of_recipe[0].config
    identities = {run.config.identity for run in group}
    n_of_recipe = sum(run.config.identity in identities for run in matching_runs)
    other_recipes = Counter(
        run.config.recipe_identity for run in matching_runs if run.config.identity not in identities
    )
    n_plateaued = sum(run.is_plateau for run in runs_of_recipe)
    parts = [
        f"{counted(len(runs_of_recipe), 'run')} of recipe {name} ({config.prompt} prompt, "
        f"{counted(config.n_examples, 'example')}, {counted(config.steps, 'step')} of "
        f"{counted(config.batch_size, 'prompt')})",
        f"{n_plateaued} plateaued, drawn apart" if n_plateaued else "none plateaued",
        f"when they ended: {convergence_account(runs_of_recipe)}",
        weights_account(runs_of_recipe),
        prompts_account(runs_of_recipe),
    ]
    exclusions = [
        f"{counted(count, 'run')} of recipe {name}" for name, count in sorted(other_recipes.items())
    ]
    if len(exclusions) > MOST_NAMED:
        exclusions = [f"{counted(other_recipes.total(), 'run')} of {len(exclusions)} other recipes"]
    if n_diverged:
        exclusions.append(f"{n_diverged} diverged")
    n_repeated = n_of_recipe - len(group)
    if n_repeated:
        exclusions.append(f"{n_repeated} repeated")
    if len(runs_of_task) > len(matching_runs):
        exclusions.append(f"{len(runs_of_task) - len(matching_runs)} not asked for")
    return "; ".join(parts) + (f". Left out: {', '.join(exclusions)}" if exclusions else "") + "."


def _listed(values: Iterable[object]) -> str:
    counts = Counter(map(str, values))
    return ", ".join(
        f"{value} ({counted(count, 'run')})" for value, count in sorted(counts.items())
    )


def _require(holds: bool, rule: str, value: object) -> None:
    if not holds:
        raise SelectionError(f"{rule}, got {value}")
