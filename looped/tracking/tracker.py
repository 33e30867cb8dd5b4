"""Tells MLflow what a run's journal says.

A thread reads the journal every few seconds and sends what is new in batches. How far it came
is kept beside the journal, so nothing is told twice or left out, and a tracking server that is
away does not hold the training up.
"""

import json
import logging
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.config import TaskConfig, TrainConfig
from looped.evaluation.baseline_scores import Scores
from looped.records import journal
from looped.records.files import write_atomically
from looped.records.folder import RunFolder
from looped.records.journal import TrackingError
from looped.tracking.metrics import log_baselines, log_in_batches, metrics_of, tags_of
from looped.tracking.runs import end_lost_runs, end_run, find_run, mark_dead_runs
from looped.tracking.store import open_store

SECONDS_BETWEEN = 5.0
EXPERIMENT_KIND = ("mlflow.experimentKind", "custom_model_development")

logger = logging.getLogger("looped")


def open_run(config: TrainConfig, folder: RunFolder, parent: str | None = None) -> "Tracker":
    """Begin to tell MLflow about a run that trains now.

    The run is the one that ``mlflow run`` made, or a new one. Runs whose process died are
    marked KILLED first.

    Args:
        config: resolved configuration.
        folder: of the run; it knows the run's origin.
        parent: id of the run to nest it under, which makes it a new one.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    client, experiment_id = open_store()
    try:
        run_id = os.environ.get("MLFLOW_RUN_ID") if parent is None else None
        if run_id is None:
            run_id = client.create_run(experiment_id, run_name=config.name).info.run_id
        folder.sign_lock(run_id)
        _describe(client, run_id, config, folder, parent)
        # so that the UI opens the experiment as one of trained models
        client.set_experiment_tag(experiment_id, *EXPERIMENT_KIND)
        mark_dead_runs(client, experiment_id)
        end_lost_runs(client, told_of(folder.path).keys() - {run_id})
        return Tracker(client, run_id, experiment_id, folder)
    except MlflowException as error:
        raise TrackingError(f"MLflow must be reachable, got: {error}") from error


def reopen_run(
    client: MlflowClient,
    experiment_id: str,
    config: TrainConfig,
    folder: RunFolder,
    parent: str | None = None,
) -> "Tracker":
    """Prepare to tell MLflow, later, about a run whose process has left.

    The run is the one that the same process told while it could, or a new one that begins
    when the process began.

    Args:
        client: of the store.
        experiment_id: where a new run goes.
        config: resolved configuration.
        folder: of the run.
        parent: id of the run to nest a new one under.
    """
    run_id = _known_run(client, folder)
    if run_id is None:
        records, _ = journal.read(folder.journal_path)
        begun = next((r["time"] for r in reversed(records) if r["kind"] == "start"), None)
        run = client.create_run(experiment_id, start_time=begun, run_name=config.name)
        run_id = run.info.run_id
        folder.sign_lock(run_id)
        _describe(client, run_id, config, folder, parent)
        client.set_experiment_tag(experiment_id, *EXPERIMENT_KIND)
    return Tracker(client, run_id, experiment_id, folder, follows=False)


class Tracker:
    """Follows one journal on behalf of one MLflow run, from a thread of its own.

    Args:
        client: of the store.
        run_id: the MLflow run.
        experiment_id: where it is.
        folder: of the run.
        follows: whether the journal still grows; no thread is needed otherwise.

    Attributes:
        run_id: the MLflow run.
        seconds: processor time that telling took so far.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        experiment_id: str,
        folder: RunFolder,
        follows: bool = True,
    ) -> None:
        self.client = client
        self.run_id = run_id
        self.experiment_id = experiment_id
        self.folder = folder
        self.seconds = 0.0
        path = folder.journal_path
        opened = path.stat().st_size if follows else journal.newest_start(path)
        self._opened_at = opened if follows else None
        told = told_of(folder.path).get(run_id, {})
        self._told = {"offset": 0, "step": 0, "opened": opened, **told}
        self._remember()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tracker", daemon=True)
        if follows:
            self._thread.start()

    def finish(self, status: str, reason: str, note: str = "") -> None:
        """Write the end of the run into its journal and tell it.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: one line that says why, kept as a tag.
            note: Markdown shown on the run's page.

        Raises:
            TrackingError: MLflow cannot be reached.
        """
        self.folder.journal.append("end", status=status, reason=reason)
        self._leaving.set()
        self._thread.join()
        end = journal.last_record(self.folder.journal_path, "end")
        self.tell_end(status, reason, note, end["time"] if end else None)

    def tell_end(self, status: str, reason: str, note: str = "", ended: int | None = None) -> None:
        """Tell the rest of the journal and give the run its files and its final status.

        A finished run holds the whole history of its journal: the earlier runs that were told
        from it are tagged as superseded.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: one line that says why, kept as a tag.
            note: Markdown shown on the run's page.
            ended: when, in milliseconds since 1970; None means now.

        Raises:
            TrackingError: MLflow cannot be reached.
        """
        try:
            self._tell()
            if note:
                self.client.set_tag(self.run_id, "mlflow.note.content", note)
            for name in ("config.json", "journal.jsonl"):
                if (self.folder.path / name).exists():
                    self.client.log_artifact(self.run_id, str(self.folder.path / name))
            if (self.folder.path / "evaluation").exists():
                evaluation = str(self.folder.path / "evaluation")
                self.client.log_artifacts(self.run_id, evaluation, "evaluation")
            end_run(self.client, self.run_id, status, reason, ended)
            if status == "FINISHED":
                for older in told_of(self.folder.path).keys() - {self.run_id}:
                    _tag_if_there(self.client, older, "superseded_by", self.run_id)
        except MlflowException as error:
            raise TrackingError(
                f"MLflow must be reachable to be told the end of the run, got: {error}; "
                f"{self.folder.journal_path} holds it all, and the same command tells it again"
            ) from error

    def log_baselines(
        self, task: TaskConfig, n_examples: int, record: journal.Record, scores: Scores
    ) -> None:
        """Log the baselines' scores where this experiment has none; see ``mlflow_store``."""
        try:
            log_baselines(self.client, self.experiment_id, task, n_examples, record, scores)
        except MlflowException as error:
            logger.warning("the baselines were not logged (%s)", error)

    @property
    def where_to_look(self) -> str:
        """Say how to open the UI on this run."""
        store = mlflow.get_tracking_uri()
        page = f"#/experiments/{self.experiment_id}/runs/{self.run_id}"
        if store.startswith("http"):
            return f"{store}/{page}"
        return f"`mlflow ui --backend-store-uri {store}`, then http://127.0.0.1:5000/{page}"

    def _follow(self) -> None:
        is_away = False
        while not self._leaving.wait(SECONDS_BETWEEN):
            try:
                self._tell()
                is_away = False
            except MlflowException as error:
                if not is_away:
                    logger.warning("MLflow is away, the journal waits for it (%s)", error)
                is_away = True

    def _tell(self) -> None:
        if self.folder.journal_path.stat().st_size == self._opened_at:
            return  # the training has not said yet which of its predecessor's points stand
        begun = time.thread_time()
        records, offset = journal.read(self.folder.journal_path, self._told["offset"])
        new = [
            record
            for record in journal.history(records)
            if record["kind"] != "metrics" or record["step"] > self._told["step"]
        ]
        metrics = [metric for record in new for metric in metrics_of(record)]
        tags = [tag for record in new for tag in tags_of(record)]
        log_in_batches(self.client, self.run_id, metrics, tags)
        points = [record["step"] for record in new if record["kind"] == "metrics"]
        self._told |= {"offset": offset, "step": max([self._told["step"], *points])}
        self._remember()
        self.seconds += time.thread_time() - begun

    def _remember(self) -> None:
        told = told_of(self.folder.path) | {self.run_id: self._told}
        write_atomically(self.folder.path / "told.json", json.dumps(told).encode())


def told_of(folder: Path) -> dict[str, dict[str, int]]:
    """Say by MLflow run how far each was told from a folder's journal.

    ``offset`` is the byte and ``step`` the point that it came to; ``opened`` is where the
    journal ended when the process that the run stands for opened it.
    """
    path = folder / "told.json"
    told: dict[str, dict[str, int]] = json.loads(path.read_bytes()) if path.exists() else {}
    return told


def _known_run(client: MlflowClient, folder: RunFolder) -> str | None:
    """Find the run of this store that stands for the newest process, if there is one."""
    for run_id, told in told_of(folder.path).items():
        since, _ = journal.read(folder.journal_path, told.get("opened", 0))
        starts = sum(record["kind"] == "start" for record in since)
        if starts <= 1 and find_run(client, run_id):
            return run_id
    return None


def _describe(
    client: MlflowClient, run_id: str, config: TrainConfig, folder: RunFolder, parent: str | None
) -> None:
    tags: dict[str, Any] = {
        "mlflow.runName": config.name,
        "size": config.size,
        "b": config.b,
        "seed": config.seed,
        "task": config.task,
        "recipe": config.recipe_identity,
        "identity": config.identity,
        "looped.kind": "training",
        "looped.folder": folder.path.resolve(),
        **folder.origin.tags,
    }
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    shape = config.model_config
    params = {f"resolved.{name}": value for name, value in asdict(config).items()} | {
        "model.n_params": shape.n_params(),
        "model.n_params_without_positions": shape.n_params(position_embedding=False),
        "model.flops_per_step": config.step_flops,
    }
    client.log_batch(
        run_id,
        tags=[RunTag(name, str(value)) for name, value in tags.items()],
        params=[Param(name, str(value)) for name, value in params.items()],
    )


def _tag_if_there(client: MlflowClient, run_id: str, name: str, value: str) -> None:
    try:
        client.set_tag(run_id, name, value)
    except MlflowException:
        logger.info("run %s is not in this MLflow store", run_id)
