"""What a section of the report is about: a task's runs of one recipe, and what they compare to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import pandas as pd

from analysis.runs.expressivity import BAYES, EXACT_BELOW, expressivity
from analysis.runs.logged_run import LoggedRun
from analysis.runs.selection import SelectionError, points_of


@dataclass(frozen=True)
class Subject:
    """The runs of one task that compare with each other.

    Attributes:
        task: with those of its settings that are not the defaults.
        runs: of one recipe, one of each identity, the smallest model and b first.
        every: all runs of the task, whatever their recipe.
        baselines: NMSE by name, on the runs' prompts.
        account: which runs these are, and what was left out.
    """

    task: str
    runs: Sequence[LoggedRun]
    every: Sequence[LoggedRun]
    baselines: Mapping[str, float]
    account: str

    @property
    def slug(self) -> str:
        """The task as the name of a folder."""
        return self.task.replace(" ", "-").replace("=", "")

    @cached_property
    def evaluated(self) -> Sequence[LoggedRun]:
        """Those whose error after b loops is known."""
        return [run for run in self.runs if run.is_evaluated]

    @cached_property
    def points(self) -> pd.DataFrame:
        """A row per evaluated run, plateaued ones too; see ``selection.points_of``."""
        return points_of(self.evaluated, {})

    @cached_property
    def learned(self) -> pd.DataFrame:
        """The points of those that did not stay on the plateau."""
        return self.points[~self.points["plateau"]] if len(self.points) else self.points

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
        name = BAYES.get(self.runs[0].config.task, "")
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
    chosen = [run for run in runs if task in (None, run.task)]
    chosen = chosen or [run for run in runs if task == run.config.task]
    _require(bool(chosen), f"task must be one of {_listed(run.task for run in runs)}", task)
    wanted: dict[str, Iterable[Any] | None] = {"sizes": sizes, "bs": bs}
    for name, values in wanted.items():
        if values is not None:
            kept, held = set(values), [getattr(run.config, name[:-1]) for run in chosen]
            pairs = zip(chosen, held, strict=True)
            chosen = [run for run, value in pairs if value in kept]
            _require(bool(chosen), f"{name} must be among {_listed(held)}", sorted(kept))
    known = _listed(run.config.recipe_identity for run in chosen)
    chosen = [run for run in chosen if run.config.recipe_identity.startswith(recipe or "")]
    _require(bool(chosen), f"recipe must be one of {known}", recipe)
    tasks = Counter(run.task for run in chosen)
    return [
        _subject(name, [run for run in chosen if run.task == name], runs, baselines)
        for name, _ in sorted(tasks.items(), key=lambda item: (-item[1], item[0]))
    ]


def _subject(
    task: str,
    wanted: Sequence[LoggedRun],
    runs: Sequence[LoggedRun],
    baselines: Mapping[str, Mapping[str, float]],
) -> Subject:
    newest = {run.config.identity: run for run in wanted}
    counts = Counter(run.config.recipe_identity for run in newest.values())
    recipe = max(counts, key=lambda name: (counts[name], name))
    own = [run for run in newest.values() if run.config.recipe_identity == recipe]
    own.sort(key=_place)
    every = [run for run in runs if run.task == task]
    return Subject(task, own, every, _level(own, baselines), _account(own, wanted, every))


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
    own: Sequence[LoggedRun], wanted: Sequence[LoggedRun], every: Sequence[LoggedRun]
) -> str:
    config = own[0].config
    same = [run for run in wanted if run.config.recipe_identity == config.recipe_identity]
    others = Counter(run.config.recipe_identity for run in wanted)
    del others[config.recipe_identity]
    plateaued = sum(run.is_plateau for run in own)
    unconverged = sum(run.tags.get("unconverged") == "true" for run in own)
    parts = [
        f"{len(own)} runs of recipe {config.recipe_identity} ({config.prompt} prompt, "
        f"{config.n_examples} examples, {config.steps:,} steps of {config.batch_size} prompts)",
        f"{plateaued} plateaued, drawn apart" if plateaued else "none plateaued",
        f"{unconverged} still learning when they ended (unconverged)",
    ]
    left = [f"{count} runs of recipe {name}" for name, count in sorted(others.items())]
    if len(same) > len(own):
        left.append(f"{len(same) - len(own)} repeated")
    if len(every) > len(wanted):
        left.append(f"{len(every) - len(wanted)} not asked for")
    return "; ".join(parts) + (f". Left out: {', '.join(left)}" if left else "") + "."


def _listed(values: Iterable[object]) -> str:
    counted = Counter(map(str, values))
    return ", ".join(f"{value} ({count} runs)" for value, count in sorted(counted.items()))


def _require(holds: bool, rule: str, came: object) -> None:
    if not holds:
        raise SelectionError(f"{rule}, got {came}")
