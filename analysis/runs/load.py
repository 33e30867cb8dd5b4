"""Reads trained runs and their evaluations out of MLflow. Needs no torch."""

import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from analysis.runs.expressivity import EXACT_BELOW
from analysis.runs.logged_run import CURVES, ENOUGH_BY_PROMPT, LoggedRun
from looped.names import Kind, Metric, Tag, Weights
from looped.records.damage import DamagedFileError
from looped.records.prompt_errors import FILE, load_prompt_errors
from looped.tracking.logged import config_of, curves_of
from looped.tracking.runs import find_run, list_runs, list_trainings, of_kind
from looped.tracking.stores.bulk import IsWanted, in_chunks, wants_all
from looped.training.convergence import conclude_curve

logger = logging.getLogger("looped")

TRAINING = ("loss", "query_error")
CHANGES = ("state_change", "prediction_change")
Curves = Mapping[str, Mapping[int, float]]
"""By metric and step."""


def read_runs(
    client: MlflowClient,
    experiment_id: str,
    with_training: bool = False,
    is_wanted: IsWanted = wants_all,
) -> list[LoggedRun]:
    """Read every finished training that no later run supersedes, evaluated or not.

    Args:
        client: of the store.
        experiment_id: where to look.
        with_training: read the curves of the training too, which are long.
        is_wanted: chooses among them by their tags, before they are read.
    """
    wanted_runs = list_trainings(client, experiment_id, is_wanted=is_wanted)
    return [
        logged_run
        for runs in in_chunks(wanted_runs)
        for logged_run in _read(client, runs, with_training)
    ]


def kept_rules(client: MlflowClient, runs: Iterable[LoggedRun]) -> list[str | None]:
    """Find what the rules of the claims were before each run was trained, as its grid's run says.

    None where the run is of no grid, or of one that kept none.
    """
    parents = [run.tags.get(Tag.PARENT) for run in runs]
    rules_by_grid: dict[str, str | None] = {}
    for parent in dict.fromkeys(filter(None, parents)):
        run_of_grid = find_run(client, parent)
        rules_by_grid[parent] = run_of_grid.data.tags.get(Tag.CLAIM_RULES) if run_of_grid else None
    return [rules_by_grid.get(parent) if parent else None for parent in parents]


def with_tails(client: MlflowClient, runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    """Return runs with the evaluation of the mean of their last weights; see ``has_tail``."""
    names = [Metric.LOOPS + Metric.TAIL + name for name in (*CURVES, *CHANGES)]
    return [
        replace(run, **_by_loop(curves, Metric.TAIL), weights=Weights.TAIL)
        for chunk in in_chunks(runs)
        for run, curves in zip(chunk, _curves(client, chunk, names), strict=True)
    ]


def with_curves(client: MlflowClient, runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    """Return runs with the curves of their training, which are long; see ``read_runs``."""
    names = [Metric.TRAIN + name for name in TRAINING]
    return [
        replace(run, training=_training(curves))
        for chunk in in_chunks(runs)
        for run, curves in zip(chunk, _curves(client, chunk, names), strict=True)
    ]


def with_prompt_errors(
    client: MlflowClient, runs: Iterable[LoggedRun], wanted_ids: Container[str]
) -> list[LoggedRun]:
    """Return runs, some with their error on each held-out prompt, where that was kept.

    Each has a file of its own, so that of a cell those of ``ENOUGH_BY_PROMPT`` seeds are read.

    Args:
        client: of the store.
        runs: all of them.
        wanted_ids: of the runs whose errors are asked for.
    """
    seeds_by_cell: dict[str, set[int]] = {}

    def is_read(run: LoggedRun) -> bool:
        if run.run_id not in wanted_ids or Metric.PROMPTS_KEPT not in run.metrics:
            return False
        cell = run.config.cell_identity
        seeds = seeds_by_cell.setdefault(cell, set())
        if len(seeds) < ENOUGH_BY_PROMPT:
            seeds.add(run.config.seed)
        return run.config.seed in seeds

    return [_with_prompt_errors(client, run) if is_read(run) else run for run in runs]


def _with_prompt_errors(client: MlflowClient, run: LoggedRun) -> LoggedRun:
    """Return a run with its errors by prompt, of the weights that its other numbers are of.

    The others are not held in memory. What is damaged counts as not kept, with a warning.
    """
    try:
        with TemporaryDirectory() as folder:
            path = client.download_artifacts(run.run_id, f"evaluation/{FILE}", folder)
            errors = load_prompt_errors(Path(path))
        if run.weights == Weights.LAST:
            return replace(run, prompt_errors=replace(errors, tail_by_loop={}))
        return replace(run, prompt_errors=replace(errors, by_loop={}))
    except (MlflowException, OSError, DamagedFileError) as error:
        logger.warning("%s has no errors by prompt: %s", run.name, error)
        return run


def bayes_nmse(
    client: MlflowClient, experiment_id: str, runs: Iterable[LoggedRun]
) -> dict[str, float]:
    """Find the error of the Bayes predictor on each run's prompts, by run id.

    Runs whose task has none, or whose noiseless task it solves exactly, are left out.
    """
    runs = list(runs)
    predictors = {run.run_id: run.config.task_config.bayes for run in runs}
    errors = {
        run_id: scores.get(predictors[run_id] or "", 0.0)
        for run_id, scores in baseline_nmse(client, experiment_id, runs).items()
    }
    return {run_id: error for run_id, error in errors.items() if error > EXACT_BELOW}


def baseline_nmse(
    client: MlflowClient, experiment_id: str, runs: Iterable[LoggedRun]
) -> dict[str, dict[str, float]]:
    """Find the error of each baseline on each run's prompts, by run id and baseline.

    That of gradient descent is the one after as many steps as the run was evaluated for loops.
    """
    nmse_by_identity: dict[str, dict[str, float]] = {}
    for run_of_baseline in list_runs(client, experiment_id, of_kind(Kind.BASELINE)):
        tags, metrics = run_of_baseline.data.tags, run_of_baseline.data.metrics
        if Metric.NMSE in metrics:
            scores = nmse_by_identity.setdefault(tags[Tag.BASELINES], {})
            scores[tags[Tag.BASELINE]] = metrics[Metric.NMSE]
    nmse_by_run = {}
    for run in runs:
        identity = run.config.task_config.baselines_identity(
            run.config.n_examples, len(run.loops["nmse"]), run.prompts
        )
        nmse_by_run[run.run_id] = nmse_by_identity.get(identity, {})
    return nmse_by_run


def _read(client: MlflowClient, runs: Sequence[Run], with_training: bool) -> list[LoggedRun]:
    names = {Metric.LOOPS + name for name in (*CURVES, *CHANGES)}
    if with_training:
        names |= {Metric.STEPS_PER_S, *(Metric.TRAIN + name for name in TRAINING)}
    if any(map(_is_unjudged, runs)):
        names |= {Metric.QUERY_ERROR}
    run_ids = [run.info.run_id for run in runs]
    curves_by_run = curves_of(client, run_ids, sorted(names))
    return [_logged(run, curves_by_run[run.info.run_id], with_training) for run in runs]


def _logged(run: Run, curves: Curves, with_training: bool) -> LoggedRun:
    metrics = run.data.metrics
    speed = list(curves[Metric.STEPS_PER_S].values()) if with_training else ()
    return LoggedRun(
        run_id=run.info.run_id,
        name=run.info.run_name,
        config=config_of(run.data.params),
        tags=_judged(run, curves),
        prompts=round(metrics.get(Metric.EVALUATED_ON, 0)),
        metrics=metrics,
        training=_training(curves) if with_training else {},
        speed=speed,
        **_by_loop(curves),
    )


def _curves(
    client: MlflowClient, runs: Sequence[LoggedRun], names: Sequence[str]
) -> Iterable[Curves]:
    return curves_of(client, [run.run_id for run in runs], names).values()


def _training(curves: Curves) -> dict[str, Sequence[float]]:
    of_training = {name: curves[Metric.TRAIN + name] for name in TRAINING}
    training: dict[str, Sequence[float]] = {
        name: list(curve.values()) for name, curve in of_training.items()
    }
    return training | {"step": list(of_training["loss"])}


def _is_unjudged(run: Run) -> bool:
    return Tag.CONVERGENCE not in run.data.tags and Metric.QUERY_ERROR in run.data.metrics


def _judged(run: Run, curves: Curves) -> Mapping[str, str]:
    """Return a run's tags, its convergence judged from the logged curve where they lack it."""
    tags: dict[str, str] = run.data.tags
    if not _is_unjudged(run):
        return tags
    curve = curves[Metric.QUERY_ERROR]
    return tags | conclude_curve(list(curve), list(curve.values()))[1]


def _by_loop(curves: Curves, start: str = "") -> dict[str, Any]:
    """Return what a run holds of its loops: curves from the first or second on, or empty.

    Args:
        curves: by metric.
        start: of the names, for other weights than the last step's.
    """

    def complete(name: str, first: int) -> list[float]:
        curve = curves[Metric.LOOPS + start + name]
        is_complete = list(curve) == list(range(first, first + len(curve)))
        return list(curve.values()) if is_complete else []

    loops = {name: complete(name, 1) for name in CURVES}
    return {"loops": loops} | {name: complete(name, 2) for name in CHANGES}
