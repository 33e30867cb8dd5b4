"""Reads trained runs and their evaluations out of MLflow. Needs no torch."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from analysis.runs.expressivity import EXACT_BELOW
from analysis.runs.logged_run import CURVES, LoggedRun
from looped.names import Kind, Metric, Tag, Weights
from looped.records.damage import DamagedFileError
from looped.records.prompt_errors import FILE, load_prompt_errors
from looped.tracking.logged import config_of, curve_of
from looped.tracking.runs import find_run, list_runs, list_trainings, of_kind
from looped.training.convergence import conclude_curve

logger = logging.getLogger("looped")

TRAINING = ("loss", "query_error")


def read_runs(
    client: MlflowClient,
    experiment_id: str,
    with_training: bool = False,
    is_wanted: Callable[[Run], bool] = lambda run: True,
) -> list[LoggedRun]:
    """Read every finished training that no later run supersedes, evaluated or not.

    Args:
        client: of the store.
        experiment_id: where to look.
        with_training: read the curves of the training too, which are long.
        is_wanted: chooses among them before they are read.
    """
    trainings = list_trainings(client, experiment_id)
    return [_read(client, run, with_training) for run in trainings if is_wanted(run)]


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


def with_tail(client: MlflowClient, run: LoggedRun) -> LoggedRun:
    """Return a run with the evaluation of the mean of its last weights; see ``has_tail``."""
    loops = {name: _by_loop(client, run.run_id, Metric.TAIL + name, 1) for name in CURVES}
    state_change = _by_loop(client, run.run_id, Metric.TAIL + "state_change", 2)
    prediction_change = _by_loop(client, run.run_id, Metric.TAIL + "prediction_change", 2)
    return replace(
        run,
        loops=loops,
        state_change=state_change,
        prediction_change=prediction_change,
        weights=Weights.TAIL,
    )


def with_curves(client: MlflowClient, runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    """Return runs with the curves of their training, which are long; see ``read_runs``."""
    return [replace(run, training=_training(client, run.run_id)) for run in runs]


def with_prompt_errors(client: MlflowClient, run: LoggedRun) -> LoggedRun:
    """Return a run with its error on each held-out prompt, where that was kept.

    It is that of the weights which the run's other numbers are of; the other is not held in memory.
    What is damaged counts as not kept, with a warning.
    """
    if Metric.PROMPTS_KEPT not in run.metrics:
        return run
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


def _read(client: MlflowClient, run: Run, with_training: bool) -> LoggedRun:
    run_id, metrics = run.info.run_id, run.data.metrics
    training: dict[str, Sequence[float]] = {}
    speed: Sequence[float] = ()
    if with_training:
        speed = list(curve_of(client, run_id, Metric.STEPS_PER_S).values())
        training = _training(client, run_id)
    return LoggedRun(
        run_id=run_id,
        name=run.info.run_name,
        config=config_of(run.data.params),
        tags=_judged(client, run),
        loops={name: _by_loop(client, run_id, name, 1) for name in CURVES},
        prompts=round(metrics.get(Metric.EVALUATED_ON, 0)),
        state_change=_by_loop(client, run_id, "state_change", 2),
        prediction_change=_by_loop(client, run_id, "prediction_change", 2),
        metrics=metrics,
        training=training,
        speed=speed,
    )


def _training(client: MlflowClient, run_id: str) -> dict[str, Sequence[float]]:
    curves = {name: curve_of(client, run_id, Metric.TRAIN + name) for name in TRAINING}
    training: dict[str, Sequence[float]] = {
        name: list(curve.values()) for name, curve in curves.items()
    }
    return training | {"step": list(curves["loss"])}


def _judged(client: MlflowClient, run: Run) -> Mapping[str, str]:
    """Return a run's tags, its convergence judged from the logged curve where they lack it."""
    tags: dict[str, str] = run.data.tags
    if Tag.CONVERGENCE in tags or Metric.QUERY_ERROR not in run.data.metrics:
        return tags
    curve = curve_of(client, run.info.run_id, Metric.QUERY_ERROR)
    return tags | conclude_curve(list(curve), list(curve.values()))[1]


def _by_loop(client: MlflowClient, run_id: str, name: str, first: int) -> list[float]:
    """Return a curve over the loops from ``first`` on; empty if one is missing."""
    curve = curve_of(client, run_id, Metric.LOOPS + name)
    is_complete = list(curve) == list(range(first, first + len(curve)))
    return list(curve.values()) if is_complete else []
