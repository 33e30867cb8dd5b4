"""What a journal's records are in MLflow: metrics and tags, sent in batches."""

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlflow.entities import Metric, Run, RunTag
from mlflow.tracking import MlflowClient

from looped import names
from looped.evaluation.baseline_scores import Scores
from looped.evaluation.behaviour import word_of
from looped.names import Kind, Tag
from looped.records.folder import FolderLock, sign_held_lock
from looped.records.journal import Record
from looped.records.machine import this_machine
from looped.records.record_rules import CHANGES, KEPT_PROMPTS
from looped.tasks.task_config import TaskConfig
from looped.tracking.dead_runs import end_lost_runs, is_of_this_machine
from looped.tracking.runs import list_runs, log_in_batches

BASELINES = "baselines"  # folder of the lock, among those of the runs
BASELINES_SECONDS = 3600.0  # for which another process may be at it


def metrics_of(record: Record) -> Iterator[Metric]:
    """Turn a record into metrics; those of an evaluation have the loop as their step."""
    when = record["time"]
    if record["kind"] in ("metrics", "outcome"):
        for name, value in record["values"].items():
            yield Metric(name, value, when, record["step"])
    elif record["kind"] == "evaluation":
        for name, curve in record["loops"].items():
            first_loop = 2 if name.endswith(CHANGES) else 1
            for loop, value in enumerate(curve, first_loop):
                yield Metric(names.Metric.LOOPS + name, value, when, loop)
        for n_examples, value in enumerate(record["examples"]):
            yield Metric(names.Metric.EXAMPLES_NMSE, value, when, n_examples)
        for name, value in record["summary"].items():
            yield Metric(names.Metric.EXTRAPOLATION + name, value, when, 0)
        for name, value in record.get("dynamics", {}).items():
            yield Metric(names.Metric.DYNAMICS + name, value, when, 0)
        yield Metric(names.Metric.EVALUATED_ON, record["n_prompts"], when, 0)
        if KEPT_PROMPTS in record:
            yield Metric(names.Metric.PROMPTS_KEPT, record[KEPT_PROMPTS], when, 0)


def tags_of(record: Record) -> Iterator[RunTag]:
    """Turn a record into tags."""
    if record["kind"] == "start" and "program" in record:
        yield RunTag(Tag.PROGRAM, record["program"])
    elif record["kind"] == "outcome":
        for name, value in record["tags"].items():
            yield RunTag(name, value)
    elif record["kind"] == "diverged":
        yield RunTag(Tag.DIVERGED, "true")
    elif record["kind"] == "evaluation":
        yield RunTag(Tag.EVALUATED_TO, str(round(record["summary"]["b_max"])))
        yield RunTag(Tag.EVALUATED_ON, str(record["n_prompts"]))
        if record.get("dynamics"):
            yield RunTag(Tag.DYNAMICS, word_of(record["dynamics"]))


def log_evaluation(client: MlflowClient, run_id: str, record: Record) -> None:
    """Log a later evaluation to the training run; the newest value of a loop stands."""
    stamped = {"kind": "evaluation", "time": round(time.time() * 1000), **record}
    log_in_batches(client, run_id, list(metrics_of(stamped)), list(tags_of(stamped)))


def log_series(client: MlflowClient, run_id: str, series: Mapping[str, Sequence[float]]) -> None:
    """Log curves over loops 1, 2, ... as metrics."""
    now = round(time.time() * 1000)
    metrics = [
        Metric(name, value, now, loop)
        for name, curve in series.items()
        for loop, value in enumerate(curve, 1)
    ]
    log_in_batches(client, run_id, metrics, [])


def log_baselines(
    client: MlflowClient,
    experiment_id: str,
    task: TaskConfig,
    n_examples: int,
    record: Record,
    scores: Scores,
    root: Path,
) -> None:
    """Log each baseline as a run of its own, once, so that the UI draws it beside the models.

    The caller holds ``baselines_lock`` of the same root. Another machine may log the same at the
    same time: of several finished runs of a baseline the first stays.

    Args:
        client: of the store.
        experiment_id: where the models' runs are.
        task: the function class.
        n_examples: in-context examples N.
        record: of a model's evaluation on the same prompts.
        scores: of the baselines; a single one is logged at every loop, as a level line.
        root: folder of all runs, which holds the lock.
    """
    n_loops = len(record["loops"]["nmse"])
    identity = task.baselines_identity(n_examples, n_loops, record["n_prompts"])
    folder = str((root / BASELINES).resolve())
    runs_before = _runs_of_baselines(client, experiment_id, identity)
    # what a killed process left here: the lock is the caller's
    left_ids = [
        run.info.run_id
        for run in runs_before
        if run.data.tags.get(Tag.FOLDER) == folder and is_of_this_machine(run)
    ]
    end_lost_runs(client, left_ids, root / BASELINES)
    logged_names = {
        run.data.tags[Tag.BASELINE] for run in runs_before if run.info.status == "FINISHED"
    }
    for name in sorted(scores.keys() - logged_names):
        tags = {
            Tag.KIND: Kind.BASELINE,
            Tag.BASELINE: name,
            Tag.BASELINES: identity,
            Tag.TASK: task.word,
            Tag.HOST: socket.gethostname(),
            Tag.MACHINE: this_machine(),
            Tag.FOLDER: folder,
        }
        run = client.create_run(experiment_id, run_name=f"{task.word}: {name}", tags=tags)
        sign_held_lock(root / BASELINES, run.info.run_id)
        curves = {
            names.Metric.LOOPS + key: values if len(values) > 1 else values * n_loops
            for key, values in scores[name].items()
        }
        log_series(client, run.info.run_id, curves)
        client.log_metric(run.info.run_id, names.Metric.NMSE, scores[name]["nmse"][-1])
        client.set_terminated(run.info.run_id, "FINISHED")
    _keep_the_first(client, experiment_id, identity)


def baselines_lock(root: Path) -> FolderLock:
    """Take the right to score and log baselines: one process at a time, so that it is done once.

    Raises:
        FolderInUseError: another process has been at it for ``BASELINES_SECONDS``.
    """
    return FolderLock(root / BASELINES, BASELINES_SECONDS)


def _runs_of_baselines(client: MlflowClient, experiment_id: str, identity: str) -> list[Run]:
    return list(list_runs(client, experiment_id, f"tags.{Tag.BASELINES} = '{identity}'"))


def _keep_the_first(client: MlflowClient, experiment_id: str, identity: str) -> None:
    """Delete all but the first finished run of each baseline."""
    runs = _runs_of_baselines(client, experiment_id, identity)
    first_ids: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id)):
        if run.info.status == "FINISHED":
            first_id = first_ids.setdefault(run.data.tags[Tag.BASELINE], run.info.run_id)
            if first_id != run.info.run_id:
                client.delete_run(run.info.run_id)
