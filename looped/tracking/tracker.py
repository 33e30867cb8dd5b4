"""Tells MLflow what a run's journal says.

A thread reads the journal every few seconds and sends what is new in batches. How far it came
is kept beside the journal, so nothing is told twice or left out, and a tracking server that is
away does not hold the training up.
"""

import json
import logging
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
from mlflow import entities
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.config import TaskConfig, TrainConfig
from looped.evaluation.baseline_scores import Scores
from looped.names import Kind, Param, Tag
from looped.records import journal
from looped.records.files import write_atomically
from looped.records.folder import RunFolder
from looped.tracking.launcher import begin_run
from looped.tracking.metrics import log_baselines, metrics_of, tags_of
from looped.tracking.runs import end_lost_runs, end_run, find_run, log_in_batches, mark_dead_runs
from looped.tracking.store import Store, open_store, reachable

SECONDS_BETWEEN = 5.0
EXPERIMENT_KIND = "custom_model_development"
"""What MLflow is told that an experiment is, so that its UI opens it as one of trained models."""

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
    client, experiment_id = store = open_store()
    with reachable():
        run_id = begin_run(client, experiment_id, config.name, may_take_launched=parent is None)
        _introduce(store, run_id, config, folder, parent)
        mark_dead_runs(client, experiment_id)
        end_lost_runs(client, told_of(folder.path).keys() - {run_id})
        return Tracker(store, run_id, folder)


def reopen_run(
    store: Store, config: TrainConfig, folder: RunFolder, parent: str | None = None
) -> "Tracker":
    """Prepare to tell MLflow, later, about a run whose process has left.

    The run is the one that the same process told while it could, or a new one that begins
    when the process began.

    Args:
        store: to tell.
        config: resolved configuration.
        folder: of the run.
        parent: id of the run to nest a new one under.
    """
    client, experiment_id = store
    run_id = _known_run(client, folder)
    if run_id is None:
        records, _ = journal.read(folder.journal_path)
        starts = [record["time"] for record in records if record["kind"] == "start"]
        run_id = begin_run(
            client,
            experiment_id,
            config.name,
            started=starts[-1] if starts else None,
            may_take_launched=False,
        )
        _introduce(store, run_id, config, folder, parent)
    return Tracker(store, run_id, folder, follows=False)


class Tracker:
    """Follows one journal on behalf of one MLflow run, from a thread of its own.

    Args:
        store: to tell.
        run_id: the MLflow run.
        folder: of the run.
        follows: whether the journal still grows; no thread is needed otherwise.

    Attributes:
        run_id: the MLflow run.
        seconds: processor time that telling took so far.
    """

    def __init__(self, store: Store, run_id: str, folder: RunFolder, follows: bool = True) -> None:
        self.client, self.experiment_id = store
        self.run_id = run_id
        self.folder = folder
        self.seconds = 0.0
        path = folder.journal_path
        size_at_opening = path.stat().st_size if follows else journal.newest_start(path)
        self._opened_at = size_at_opening if follows else None
        before = told_of(folder.path).get(run_id, {})
        self._progress = {"offset": 0, "step": 0, "opened": size_at_opening, **before}
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

    def tell_end(
        self, status: str, reason: str, note: str = "", end_time: int | None = None
    ) -> None:
        """Tell the rest of the journal and give the run its files and its final status.

        A finished run holds the whole history of its journal: the earlier runs that were told
        from it are tagged as superseded.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: one line that says why, kept as a tag.
            note: Markdown shown on the run's page.
            end_time: when, in milliseconds since 1970; None means now.

        Raises:
            TrackingError: MLflow cannot be reached.
        """
        consequence = (
            f"{self.folder.journal_path} holds it all, and the same command tells it again"
        )
        with reachable(" to be told the end of the run", consequence):
            self._tell()
            if note:
                self.client.set_tag(self.run_id, Tag.NOTE, note)
            for name in ("config.json", "journal.jsonl"):
                if (self.folder.path / name).exists():
                    self.client.log_artifact(self.run_id, str(self.folder.path / name))
            if (self.folder.path / "evaluation").exists():
                evaluation = str(self.folder.path / "evaluation")
                self.client.log_artifacts(self.run_id, evaluation, "evaluation")
            end_run(self.client, self.run_id, status, reason, end_time)
            if status == "FINISHED":
                for older_id in told_of(self.folder.path).keys() - {self.run_id}:
                    _tag_if_there(self.client, older_id, Tag.SUPERSEDED_BY, self.run_id)

    def log_baselines(
        self, task: TaskConfig, n_examples: int, record: journal.Record, scores: Scores
    ) -> None:
        """Log the baselines' scores where this experiment has none; see ``metrics``."""
        try:
            log_baselines(self.client, self.experiment_id, task, n_examples, record, scores)
        except MlflowException as error:
            logger.warning("the baselines were not logged (%s)", error)

    @property
    def where_to_look(self) -> str:
        """Say how to open the UI on this run."""
        uri = mlflow.get_tracking_uri()
        page = f"#/experiments/{self.experiment_id}/runs/{self.run_id}"
        if uri.startswith("http"):
            return f"{uri}/{page}"
        return f"`mlflow ui --backend-store-uri {uri}`, then http://127.0.0.1:5000/{page}"

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
            return  # the training has not said yet which of its predecessor's samples stand
        processor_before = time.thread_time()
        records, offset = journal.read(self.folder.journal_path, self._progress["offset"])
        new_records = [
            record
            for record in journal.history(records)
            if record["kind"] != "metrics" or record["step"] > self._progress["step"]
        ]
        metrics = [metric for record in new_records for metric in metrics_of(record)]
        tags = [tag for record in new_records for tag in tags_of(record)]
        log_in_batches(self.client, self.run_id, metrics, tags)
        steps = [record["step"] for record in new_records if record["kind"] == "metrics"]
        self._progress |= {"offset": offset, "step": max([self._progress["step"], *steps])}
        self._remember()
        self.seconds += time.thread_time() - processor_before

    def _remember(self) -> None:
        progress_by_run = told_of(self.folder.path) | {self.run_id: self._progress}
        write_atomically(self.folder.path / "told.json", json.dumps(progress_by_run).encode())


def told_of(folder: Path) -> dict[str, dict[str, int]]:
    """Say by MLflow run how far each was told from a folder's journal.

    ``offset`` is the byte and ``step`` the sample that it came to; ``opened`` is where the
    journal ended when the process that the run stands for opened it.
    """
    path = folder / "told.json"
    if not path.exists():
        return {}
    progress_by_run: dict[str, dict[str, int]] = json.loads(path.read_bytes())
    return progress_by_run


def _known_run(client: MlflowClient, folder: RunFolder) -> str | None:
    """Find the run of this store that stands for the newest process, if there is one."""
    for run_id, progress in told_of(folder.path).items():
        records, _ = journal.read(folder.journal_path, progress.get("opened", 0))
        starts = sum(record["kind"] == "start" for record in records)
        if starts <= 1 and find_run(client, run_id):
            return run_id
    return None


def _introduce(
    store: Store, run_id: str, config: TrainConfig, folder: RunFolder, parent: str | None
) -> None:
    """Say what a run is: its tags and parameters, and who holds its folder."""
    folder.sign_lock(run_id)
    tags: dict[str, Any] = {
        Tag.NAME: config.name,
        Tag.SIZE: config.size,
        Tag.B: config.b,
        Tag.SEED: config.seed,
        Tag.TASK: config.task,
        Tag.RECIPE: config.recipe_identity,
        Tag.IDENTITY: config.identity,
        Tag.KIND: Kind.TRAINING,
        Tag.FOLDER: folder.path.resolve(),
        **folder.origin.tags,
    }
    if parent is not None:
        tags[Tag.PARENT] = parent
    shape = config.model_config
    params = {Param.RESOLVED + name: value for name, value in asdict(config).items()} | {
        Param.N_PARAMS: shape.n_params(),
        Param.N_PARAMS_WITHOUT_POSITIONS: shape.n_params(position_embedding=False),
        Param.FLOPS_PER_STEP: config.step_flops,
    }
    store.client.log_batch(
        run_id,
        tags=[RunTag(name, str(value)) for name, value in tags.items()],
        params=[entities.Param(name, str(value)) for name, value in params.items()],
    )
    store.client.set_experiment_tag(store.experiment_id, Tag.EXPERIMENT_KIND, EXPERIMENT_KIND)


def _tag_if_there(client: MlflowClient, run_id: str, name: str, value: str) -> None:
    try:
        client.set_tag(run_id, name, value)
    except MlflowException:
        logger.info("run %s is not in this MLflow store", run_id)
