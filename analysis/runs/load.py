"""Reads trained runs and their evaluations out of MLflow. Needs no torch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from analysis.runs.expressivity import EXACT_BELOW
from analysis.runs.logged_run import CURVES, LoggedRun
from looped.config import BEFORE_SETTINGS, TrainConfig
from looped.names import Kind, Metric, Param, Tag, Weights
from looped.tracking.runs import find_run, list_runs, list_trainings, of_kind
from looped.training.convergence import conclude_curve

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
    return replace(run, loops=loops, state_change=state_change, weights=Weights.TAIL)


def bayes_nmse(
    client: MlflowClient, experiment_id: str, runs: Iterable[LoggedRun]
) -> dict[str, float]:
    """Find the error of the Bayes predictor on each run's prompts, by run id.

    Runs whose task has none, or whose noiseless task it solves exactly, are left out.
    """
    runs = list(runs)
    predictors = {run.run_id: run.config.task_config.kind.bayes for run in runs}
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
        speed = list(_history(client, run_id, Metric.STEPS_PER_S).values())
        curves = {name: _history(client, run_id, Metric.TRAIN + name) for name in TRAINING}
        training = {name: list(curve.values()) for name, curve in curves.items()}
        training["step"] = list(curves["loss"])
    return LoggedRun(
        run_id=run_id,
        name=run.info.run_name,
        config=_config(run.data.params),
        tags=_judged(client, run),
        loops={name: _by_loop(client, run_id, name, 1) for name in CURVES},
        prompts=round(metrics.get(Metric.EVALUATED_ON, 0)),
        state_change=_by_loop(client, run_id, "state_change", 2),
        metrics=metrics,
        training=training,
        speed=speed,
    )


def _judged(client: MlflowClient, run: Run) -> Mapping[str, str]:
    """Return a run's tags, its convergence judged from the logged curve where they lack it."""
    tags: dict[str, str] = run.data.tags
    if Tag.CONVERGENCE in tags or Metric.QUERY_ERROR not in run.data.metrics:
        return tags
    curve = _history(client, run.info.run_id, Metric.QUERY_ERROR)
    return tags | conclude_curve(list(curve), list(curve.values()))[1]


def _config(params: Mapping[str, str]) -> TrainConfig:
    """Read what was trained from the parameters ``resolved.*``; older runs may lack some."""
    default = asdict(TrainConfig())
    values = dict(BEFORE_SETTINGS)
    for setting in fields(TrainConfig):
        text = params.get(Param.RESOLVED + setting.name)
        if text is not None:
            values[setting.name] = _value(text, default[setting.name], str(setting.type))
    return TrainConfig(**values)


def _value(text: str, default: Any, type_name: str) -> Any:
    """Read a setting as it was written by ``str``."""
    if text in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[text]
    cast = type(default) if default is not None else int if "int" in type_name else float
    return cast(text)


def _by_loop(client: MlflowClient, run_id: str, name: str, first: int) -> list[float]:
    """Return a curve over the loops from ``first`` on; empty if one is missing."""
    curve = _history(client, run_id, Metric.LOOPS + name)
    is_complete = list(curve) == list(range(first, first + len(curve)))
    return list(curve.values()) if is_complete else []


def _history(client: MlflowClient, run_id: str, name: str) -> dict[int, float]:
    """Return a metric's newest value at each step, by rising step."""
    history = sorted(client.get_metric_history(run_id, name), key=lambda metric: metric.timestamp)
    newest = {metric.step: metric.value for metric in history}
    return dict(sorted(newest.items()))
