"""Tells MLflow what a run's journal says.

A thread reads the journal every few seconds and sends what is new in batches. How far it came
is kept beside the journal, so nothing is told twice or left out, and a tracking server that is
away does not hold the training up.
"""

import logging
import threading
import time

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.evaluation.baseline_scores import Scores
from looped.names import Tag
from looped.records import journal
from looped.records.folder import RunFolder
from looped.records.journal import TrackingError
from looped.tasks.task_config import TaskConfig
from looped.tracking.metrics import log_baselines, metrics_of, tags_of
from looped.tracking.runs import end_run, log_in_batches
from looped.tracking.stores.store import Store, reachable, reason_of, require_answer
from looped.tracking.told import remember, told_of
from looped.tracking.ui import links
from looped.training.convergence import with_convergence

SECONDS_BETWEEN = 5.0

logger = logging.getLogger("looped")


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
        self._is_abandoned = False
        self._opened_at = size_at_opening if follows else None
        before = told_of(folder.path).get(run_id, {})
        self._progress = {"offset": 0, "step": 0, "opened": size_at_opening} | before
        if follows:  # what this process writes is what the run will have come to
            self._progress["opened"] = size_at_opening
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
            TrackingError: MLflow cannot be reached, or the journal cannot be written, which makes
                it a failed run.
        """
        problem = ""
        try:
            self.folder.journal.append("end", status=status, reason=reason)
            self.folder.journal.sync()
        except OSError as error:
            path = self.folder.journal_path
            problem = f"{path} must be writable to say {status}, got {reason_of(error)}"
            status, reason = ("FAILED", problem) if status == "FINISHED" else (status, reason)
        self._leaving.set()
        try:
            require_answer(str(mlflow.get_tracking_uri()), *self._at_the_end)
        except TrackingError:
            self._is_abandoned = True
            raise
        self._thread.join()
        end = None if problem else journal.last_record(self.folder.journal_path, "end")
        self.tell_end(status, reason, note, end["time"] if end else None)
        if problem:
            raise TrackingError(problem)

    def is_answered(self) -> bool:
        """Tell whether MLflow is there, within seconds: MLflow itself would try for minutes."""
        try:
            require_answer(str(mlflow.get_tracking_uri()))
        except TrackingError:
            return False
        return True

    @property
    def _at_the_end(self) -> tuple[str, str]:
        """What MLflow must be reachable for, and what to do where it is not."""
        return (
            " to be told the end of the run",
            f"{self.folder.journal_path} holds it all, and the same command tells it again",
        )

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
        with reachable(*self._at_the_end):
            try:
                self._tell()
                self._copy_files()
            except MlflowException:
                raise
            except Exception as error:  # a store of artifacts raises errors of its own
                rule = f"the files of {self.folder.path} must be written and copied to MLflow"
                problem = f"{rule}, got {reason_of(error)}"
                status_now = "FAILED" if status == "FINISHED" else status
                end_run(self.client, self.run_id, status_now, problem, end_time)
                raise TrackingError(f"{problem}; {self._at_the_end[1]}") from error
            if note:
                self.client.set_tag(self.run_id, Tag.NOTE, note)
            end_run(self.client, self.run_id, status, reason, end_time)
            if status == "FINISHED":
                for older_id in told_of(self.folder.path).keys() - {self.run_id}:
                    _tag_if_there(self.client, older_id, Tag.SUPERSEDED_BY, self.run_id)

    def _copy_files(self) -> None:
        for name in ("config.json", "journal.jsonl"):
            if (self.folder.path / name).exists():
                self.client.log_artifact(self.run_id, str(self.folder.path / name))
        if (self.folder.path / "evaluation").exists():
            evaluation = str(self.folder.path / "evaluation")
            self.client.log_artifacts(self.run_id, evaluation, "evaluation")

    def log_baselines(
        self, task: TaskConfig, n_examples: int, record: journal.Record, scores: Scores
    ) -> None:
        """Log the baselines' scores where this experiment has none; see ``metrics``."""
        root = self.folder.path.parent
        try:
            log_baselines(self.client, self.experiment_id, task, n_examples, record, scores, root)
        except MlflowException as error:
            logger.warning("the baselines were not logged (%s)", reason_of(error))

    @property
    def where_to_look(self) -> str:
        """Say how to open the UI on this run, and on the table of all of them."""
        return links.written(links.of_training(Store(self.client, self.experiment_id), self.run_id))

    def _follow(self) -> None:
        is_away = False
        while not self._leaving.wait(SECONDS_BETWEEN):
            try:
                self._tell()
                is_away = False
            except (MlflowException, OSError, ValueError) as error:
                if not is_away:
                    reason = reason_of(error)
                    logger.warning("MLflow is away, the journal waits for it (%s)", reason)
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
        new_records = [self._judged(record) for record in new_records]
        metrics = [metric for record in new_records for metric in metrics_of(record)]
        tags = [tag for record in new_records for tag in tags_of(record)]
        log_in_batches(self.client, self.run_id, metrics, tags)
        steps = [record["step"] for record in new_records if record["kind"] == "metrics"]
        self._progress |= {"offset": offset, "step": max([self._progress["step"], *steps])}
        self._remember()
        self.seconds += time.thread_time() - processor_before

    def _judged(self, record: journal.Record) -> journal.Record:
        """Judge by today's rule whether an older version's training still learned."""
        if record["kind"] != "outcome" or Tag.CONVERGENCE in record["tags"]:
            return record
        records, _ = journal.read(self.folder.journal_path)
        return with_convergence(record, journal.history(records))

    def _remember(self) -> None:
        if not self._is_abandoned:  # the folder may be another process's by now
            remember(self.folder.path, self.run_id, self._progress)


def _tag_if_there(client: MlflowClient, run_id: str, name: str, value: str) -> None:
    try:
        client.set_tag(run_id, name, value)
    except MlflowException:
        logger.info("run %s is not in this MLflow store", run_id)
