"""Chooses the runs that one law may be fitted to, and tabulates them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.expressivity import expressivity, standard_error
from analysis.runs.logged_run import CURVES, LoggedRun
from looped.config import TrainConfig


class SelectionError(ValueError):
    """The experiment's runs cannot be read as one study; the message says why."""


@dataclass(frozen=True)
class Selection:
    """The runs of one study, and how many were left aside.

    Attributes:
        points: a row per run; see ``points_of``.
        runs: the runs behind them.
        plateaued: runs left out because they never learned.
        repeated: runs left out because a later one has the same identity.
        unconverged: runs that were still learning, which are kept.
        unevaluated: runs left out because nobody evaluated them.
    """

    points: pd.DataFrame
    runs: Sequence[LoggedRun]
    plateaued: int
    repeated: int
    unconverged: int
    unevaluated: int

    @property
    def short_account(self) -> str:
        """Say in a few words how many runs these are."""
        return f"{len(self.runs)} runs, {self.plateaued} plateaued left out"

    @property
    def account(self) -> str:
        """Say which runs these are and what was left out, in a line."""
        first = self.runs[0]
        prompts = sorted({run.prompts for run in self.runs})
        shown = f"{prompts[0]:,}" if len(prompts) == 1 else f"{prompts[0]:,} to {prompts[-1]:,}"
        left = f"{self.plateaued} plateaued left out" if self.plateaued else "none plateaued"
        if self.repeated:
            left += f", {self.repeated} repeated left out"
        if self.unevaluated:
            left += f", {self.unevaluated} not evaluated (evaluate-extrapolation does it)"
        return (
            f"{len(self.runs)} runs of {first.task}, recipe {first.config.recipe_identity}, "
            f"{first.config.prompt} prompt, {shown} held-out prompts; {left}; "
            f"{self.unconverged} still learning (unconverged)"
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
        with_plateaued: keep runs that never learned.
        bayes: NMSE of the best possible predictor, by run id; see ``bayes_nmse``.

    Raises:
        SelectionError: nothing is left, or tasks or recipes are mixed; the message lists what
            differs.
    """
    evaluated = [run for run in runs if run.is_evaluated]
    came = f"{len(runs)} finished, none evaluated (evaluate-extrapolation does it)"
    rule = "the experiment must hold finished and evaluated trainings"
    _check(bool(evaluated), rule, came if runs else "none")
    chosen = [run for run in evaluated if task is None or run.task == task]
    if task is not None and not chosen:
        chosen = [run for run in evaluated if run.config.task == task]
    _check(bool(chosen), f"task must be one of {_listed(r.task for r in evaluated)}", task)
    kinds = _listed(run.task for run in chosen)
    rule = "runs of one law must share their task (choose with task)"
    _check(len({run.task for run in chosen}) == 1, rule, kinds)
    wanted, of_task = recipe or "", chosen
    chosen = [run for run in chosen if run.config.recipe_identity.startswith(wanted)]
    known = _listed(run.config.recipe_identity for run in of_task)
    _check(bool(chosen), f"recipe must be one of {known}", recipe)
    if len({run.config.recipe_identity for run in chosen}) > 1:
        rule = "runs of one law must share their recipe (choose with recipe)"
        raise SelectionError(f"{rule}, got {_differences(chosen)}")
    choices: dict[str, Iterable[Any] | None] = {"size": sizes, "b": bs}
    for name, values in choices.items():
        if values is not None:
            kept = set(values)
            held = _listed(getattr(run.config, name) for run in chosen)
            chosen = [run for run in chosen if getattr(run.config, name) in kept]
            _check(bool(chosen), f"{name}s must be among {held}", sorted(kept))
    newest = {run.config.identity: run for run in chosen}
    kept_runs = [run for run in newest.values() if with_plateaued or not run.is_plateau]
    rule = "a law needs runs that learned"
    _check(bool(kept_runs), rule, f"{len(newest)} plateaued")
    return Selection(
        points=points_of(kept_runs, bayes or {}),
        runs=kept_runs,
        plateaued=len(newest) - len(kept_runs),
        repeated=len(chosen) - len(newest),
        unevaluated=len(runs) - len(evaluated),
        unconverged=sum(run.tags.get("unconverged") == "true" for run in kept_runs),
    )


def points_of(runs: Sequence[LoggedRun], bayes: Mapping[str, float]) -> pd.DataFrame:
    """Tabulate runs at the query after b loops, the smallest model first.

    Returns:
        Columns ``run_id``, ``size``, ``b``, ``seed``, ``nmse``, ``expressivity`` and its
        ``standard_error`` over prompts (bits), ``expressivity_median`` (from the median over
        prompts), ``bayes`` (expressivity of the Bayes predictor) and ``below_bayes`` where there
        is one, ``n_once`` and ``n_rec`` (weights used once and in every loop), ``steps``,
        ``train_flops`` (of the whole training) and ``infer_flops`` (of one prompt), ``plateau``,
        ``unconverged``, ``task`` and ``recipe``.
    """
    rows = []
    for run in runs:
        config = run.config
        nmse, nmse_se, median = (run.loops[name][config.b - 1] for name in CURVES)
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
            row["below_bayes"] = row["bayes"] - row["expressivity"]
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
                "unconverged": run.tags.get("unconverged") == "true",
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


def _check(holds: bool, rule: str, came: object) -> None:
    if not holds:
        raise SelectionError(f"{rule}, got {came}")


def _listed(values: Iterable[object]) -> str:
    counted = pd.Series([str(value) for value in values]).value_counts().sort_index()
    return ", ".join(f"{value} ({count} runs)" for value, count in counted.items())


def _differences(runs: Sequence[LoggedRun]) -> str:
    """Say for each recipe what sets it apart."""
    recipes: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    for run in runs:
        name = run.config.recipe_identity
        recipes[name] = {"b_draw": run.config.b_draw, **run.config.recipe}
        counts[name] = counts.get(name, 0) + 1
    table = pd.DataFrame(recipes).T.astype(object)
    differing = [name for name in table if len({repr(value) for value in table[name]}) > 1]
    return "; ".join(
        f"{name} ({counts[name]} runs: "
        + ", ".join(f"{what}={_shown(table.loc[name, what])}" for what in differing)
        + ")"
        for name in sorted(recipes)
    )


def _shown(value: object) -> object:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "the size's own" if missing else value
