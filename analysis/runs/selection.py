"""Chooses the runs that one law may be fitted to, and tabulates them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.accounts import convergence_account, weights_account
from analysis.runs.expressivity import expressivity, standard_error
from analysis.runs.logged_run import LoggedRun, are_on_all_prompts
from analysis.runs.recipes import by_name, name_of
from looped.config import TrainConfig
from looped.counting import counted
from looped.names import Convergence


class SelectionError(ValueError):
    """No law can be fitted to the experiment's runs as chosen; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The runs of one law, and how many were left aside.

    Attributes:
        table: a row per run; see ``tabulate_runs``.
        runs: the runs behind them.
        n_plateaued: runs left out because they never learned.
        n_diverged: runs left out because their error ended far above the variance.
        n_repeated: runs left out because a later one has the same identity.
        n_unconverged: runs that were surely still learning, which are kept.
        n_unevaluated: runs left out because nobody evaluated them.
    """

    table: pd.DataFrame
    runs: Sequence[LoggedRun]
    n_plateaued: int
    n_diverged: int
    n_repeated: int
    n_unconverged: int
    n_unevaluated: int

    @property
    def short_account(self) -> str:
        """Say in a few words how many runs these are."""
        diverged = f", {self.n_diverged} diverged" if self.n_diverged else ""
        return f"{counted(len(self.runs), 'run')}, {self.n_plateaued} plateaued{diverged} left out"

    @property
    def account(self) -> str:
        """Say which runs these are and what was left out, in a line."""
        first = self.runs[0]
        prompts = f"{_range_of(run.prompts for run in self.runs)} held-out prompts"
        if are_on_all_prompts(self.runs) and first.final.n_prompts > first.prompts:
            prompts = f"{first.final.n_prompts:,} held-out prompts after b loops ({prompts} else)"
        exclusions = (
            f"{self.n_plateaued} plateaued left out" if self.n_plateaued else "none plateaued"
        )
        if self.n_diverged:
            exclusions += f", {self.n_diverged} diverged left out"
        if self.n_repeated:
            exclusions += f", {self.n_repeated} repeated left out"
        if self.n_unevaluated:
            exclusions += f", {self.n_unevaluated} not evaluated (evaluate-extrapolation does it)"
        return (
            f"{counted(len(self.runs), 'run')} of {first.task}, recipe {name_of(self.runs)}, "
            f"{first.config.prompt} prompt, {prompts}; {exclusions}; "
            f"when they ended: {convergence_account(self.runs)}; {weights_account(self.runs)}"
        )


def select(
    runs: Sequence[LoggedRun],
    task: str | None = None,
    recipe: str | None = None,
    sizes: Iterable[str] | None = None,
    bs: Iterable[float] | None = None,
    with_plateaued: bool = False,
    bayes: Mapping[str, float] | None = None,
) -> Selection:
    """Choose runs that compare: of one task and one recipe.

    Args:
        runs: all there are.
        task: a task's name, or with its settings, ``linear n_dims=10``.
        recipe: the tag of that name, or its beginning.
        sizes: those wanted.
        bs: those wanted.
        with_plateaued: keep runs that never learned; those that diverged are left out always.
        bayes: NMSE of the best possible predictor, by run id; see ``bayes_nmse``.

    Raises:
        SelectionError: nothing is left, or tasks or recipes are mixed; the message lists what
            differs.
    """
    evaluated_runs = [run for run in runs if run.is_evaluated or run.is_diverged]
    what_there_is = f"{len(runs)} finished, none evaluated (evaluate-extrapolation does it)"
    rule = "the experiment must hold finished and evaluated trainings"
    _check(bool(evaluated_runs), rule, what_there_is if runs else "none")
    matching_runs = [run for run in evaluated_runs if task is None or run.task == task]
    if task is not None and not matching_runs:
        matching_runs = [run for run in evaluated_runs if run.config.task_config.answers_to(task)]
    _check(
        bool(matching_runs), f"task must be one of {_listed(r.task for r in evaluated_runs)}", task
    )
    tasks_there = _listed(run.task for run in matching_runs)
    rule = "runs of one law must share their task (choose with task)"
    _check(len({run.task for run in matching_runs}) == 1, rule, tasks_there)
    groups = by_name(matching_runs)
    wanted_groups = {name: runs for name, runs in groups.items() if name.startswith(recipe or "")}
    recipes = ", ".join(
        f"{name} ({counted(len(runs), 'run')})" for name, runs in sorted(groups.items())
    )
    _check(bool(wanted_groups), f"recipe must be one of {recipes}", recipe)
    largest_group = max(wanted_groups.values(), key=len)
    is_sole = recipe is not None and len(wanted_groups) == 1
    if not is_sole and len(largest_group) < len(matching_runs):
        rule = "runs of one law must share their recipe (choose with recipe)"
        raise SelectionError(f"{rule}, got {_differences(wanted_groups)}")
    matching_runs = largest_group
    choices: dict[str, Iterable[Any] | None] = {"size": sizes, "b": bs}
    for name, values in choices.items():
        if values is not None:
            allowed_values = set(values)
            values_there = _listed(getattr(run.config, name) for run in matching_runs)
            matching_runs = [
                run for run in matching_runs if getattr(run.config, name) in allowed_values
            ]
            _check(
                bool(matching_runs), f"{name}s must be among {values_there}", sorted(allowed_values)
            )
    newest_by_identity = {run.config.identity: run for run in matching_runs}
    selected_runs = [
        run
        for run in newest_by_identity.values()
        if run.has_learned or (with_plateaued and run.is_plateau)
    ]
    n_diverged = sum(run.is_diverged for run in newest_by_identity.values())
    n_plateaued = len(newest_by_identity) - len(selected_runs) - n_diverged
    counts = {"plateaued": n_plateaued, "diverged": n_diverged}
    came = [f"{count} {what}" for what, count in counts.items() if count]
    _check(bool(selected_runs), "a law needs runs that learned", " and ".join(came))
    return Selection(
        table=tabulate_runs(selected_runs, bayes or {}),
        runs=selected_runs,
        n_plateaued=n_plateaued,
        n_diverged=n_diverged,
        n_repeated=len(matching_runs) - len(newest_by_identity),
        n_unevaluated=len(runs) - len(evaluated_runs),
        n_unconverged=sum(run.convergence == Convergence.LEARNING for run in selected_runs),
    )


def tabulate_runs(runs: Sequence[LoggedRun], bayes: Mapping[str, float]) -> pd.DataFrame:
    """Tabulate runs at the query after b loops, the smallest model first.

    Returns:
        Columns ``run_id``, ``size``, ``b``, ``seed``, ``nmse``, ``expressivity`` and its
        ``standard_error`` over prompts (bits), on all prompts if ``are_on_all_prompts``; on those
        of the curve over loops ``expressivity_median`` (from the median over prompts) and, where
        there is a Bayes predictor, ``bayes`` (its expressivity) and how far the run is
        ``below_bayes``; ``n_once`` and ``n_rec`` (weights used once and in every loop), ``steps``,
        ``train_flops`` (of the whole training) and ``infer_flops`` (of one prompt), ``plateau``,
        ``convergence``, ``task`` and ``recipe``.
    """
    rows = []
    is_on_all = are_on_all_prompts(runs)
    for run in runs:
        config = run.config
        nmse, nmse_se, _ = run.final if is_on_all else run.on_curve
        median = run.loops["nmse_median"][config.b - 1]
        row: dict[str, Any] = {
            "run_id": run.run_id,
            "size": config.size,
            "b": config.b,
            "seed": config.seed,
            "nmse": nmse,
            "expressivity": float(expressivity(nmse)),
            "standard_error": float(standard_error(nmse, nmse_se)),
            "expressivity_median": float(expressivity(median)),
        }
        if run.run_id in bayes:
            row["bayes"] = float(expressivity(bayes[run.run_id]))
            row["below_bayes"] = row["bayes"] - float(expressivity(run.on_curve.nmse))
        once = n_once(config)
        rows.append(
            row
            | {
                "n_once": once,
                "n_rec": config.model_config.n_params(position_embedding=False) - once,
                "steps": config.steps,
                "train_flops": config.steps * config.step_flops,
                "infer_flops": config.model_config.forward_flops(config.b),
                "plateau": run.is_plateau,
                "convergence": run.convergence,
                "task": run.task,
                "recipe": config.recipe_identity,
            }
        )
    rows.sort(key=lambda row: (row["n_rec"], row["size"], row["b"], row["seed"]))
    return pd.DataFrame(rows)


def n_once(config: TrainConfig) -> int:
    """Count the weights that are used once however often a model loops: read-in and read-out."""
    width = config.model_config.size.n_embd
    return (config.model_config.n_features + 1) * width + width + 1


def _range_of(counts: Iterable[int]) -> str:
    ordered_counts = sorted(counts)
    least, most = f"{ordered_counts[0]:,}", f"{ordered_counts[-1]:,}"
    return least if least == most else f"{least} to {most}"


def _check(holds: bool, rule: str, value: object) -> None:
    if not holds:
        raise SelectionError(f"{rule}, got {value}")


def _listed(values: Iterable[object]) -> str:
    counts = pd.Series([str(value) for value in values]).value_counts().sort_index()
    return ", ".join(f"{value} ({counted(count, 'run')})" for value, count in counts.items())


def _differences(groups: Mapping[str, Sequence[LoggedRun]]) -> str:
    """Say for each recipe what sets it apart."""
    settings = {}
    for name, runs in groups.items():
        config = runs[0].config
        settings[name] = {"b_draw": config.b_draw, **config.base_recipe, **config.policy}
    table = pd.DataFrame(settings).T.astype(object)
    differing_settings = [name for name in table if len({repr(value) for value in table[name]}) > 1]
    return "; ".join(
        f"{name} ({counted(len(groups[name]), 'run')}: "
        + ", ".join(f"{what}={_setting_text(table.loc[name, what])}" for what in differing_settings)
        + ")"
        for name in sorted(groups)
    )


def _setting_text(value: object) -> object:
    is_missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "the size's own" if is_missing else value


def sizes_without_base(table: pd.DataFrame) -> list[str]:
    """List the sizes that have no run at b = 1, whose E_M nothing measures; none if no size has.

    A law leaves them out; where no size has any it says itself what it takes.

    Example:
        >>> table = pd.DataFrame({"size": ["tiny", "small"], "b": [1, 5]})
        >>> sizes_without_base(table), sizes_without_base(table[table["b"] > 1])
        (['small'], [])
    """
    sizes_at_one = set(table.loc[table["b"] == 1, "size"])
    return [size for size in table["size"].unique() if size not in sizes_at_one and sizes_at_one]


def left_out_words(sizes: Sequence[str]) -> str:
    """Say which sizes a law leaves out; empty where it leaves none.

    Example:
        >>> left_out_words(["small", "medium"])
        'left out, as they have no run at b = 1: small, medium'
    """
    return f"left out, as they have no run at b = 1: {', '.join(sizes)}" if sizes else ""
