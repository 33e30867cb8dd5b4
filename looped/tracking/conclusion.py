"""What is said and kept of a finished training: a line, a note, its baselines, its model."""

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from looped.config import TrainConfig
from looped.names import Metric
from looped.records.folder import FolderInUseError, RunFolder
from looped.records.journal import Record, history, last_record, read
from looped.tracking import note as notes
from looped.training.convergence import with_convergence

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from looped.tracking.tracker import Tracker


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What is said of a finished training.

    Attributes:
        reason: what it came to, in a line.
        note: Markdown for the run's page.
        registered: URI of its registered model; empty where there is none.
        unregistered: why there is none, although it was asked for; empty otherwise.
        problems: what went wrong beside it, a line each.
    """

    reason: str
    note: str = ""
    registered: str = ""
    unregistered: str = ""
    problems: tuple[str, ...] = ()


def conclude(
    config: TrainConfig, folder: RunFolder, tracker: "Tracker | None", register: bool
) -> Conclusion:
    """Say from its journal what a training came to; without a tracker that is one line.

    With one, the model is compared with the baselines and registered, if asked for.
    """
    records = history(read(folder.journal_path)[0])
    newest = {record["kind"]: record for record in records}
    outcome = with_convergence(newest["outcome"], records)
    reason = notes.result(config, outcome)
    if tracker is None:
        return Conclusion(reason=reason)
    problems: tuple[str, ...] = ()
    is_answered = True
    if "evaluation" in newest:
        try:
            is_answered = _compare(config, folder, tracker, newest["evaluation"])
        except FolderInUseError as error:  # takes nothing from the run
            problems = (f"the baselines were not logged: {error}",)
    note = notes.describe(config, outcome, folder.path, folder.origin)
    registered = unregistered = ""
    if register and is_answered:  # else the end of the run says that MLflow is away
        registered, unregistered = register_model(config, folder, tracker.client, tracker.run_id)
    return Conclusion(
        reason=reason,
        note=note,
        registered=registered,
        unregistered=unregistered,
        problems=problems,
    )


def register_model(
    config: TrainConfig, folder: RunFolder, client: "MlflowClient", run_id: str
) -> tuple[str, str]:
    """Register the model of a finished training, once; return its URI, or why there is none.

    Both are empty where the folder keeps no weights.
    """
    model = folder.path / "model"
    if not model.exists():
        return "", ""
    from looped.tracking import registry

    outcome = last_record(folder.journal_path, "outcome")
    assert outcome is not None
    nmse = outcome["values"][Metric.NMSE]
    try:
        version = registry.register(client, run_id, model, config, nmse)
    except registry.RegistryError as error:  # takes nothing from the run
        return "", str(error)
    return f"models:/{version.name}/{version.version}", ""


def _compare(
    config: TrainConfig, folder: RunFolder, tracker: "Tracker", evaluation: Record
) -> bool:
    """Write a model's errors beside the baselines', and log those once.

    Returns:
        Whether MLflow is there.
    """
    from looped.evaluation import baseline_scores, files
    from looped.tracking.metrics import baselines_lock

    root = folder.path.parent
    with closing(baselines_lock(root)):
        n_loops = len(evaluation["loops"]["nmse"])
        scores = baseline_scores.score_baselines(
            config.task_config, config.n_examples, n_loops, evaluation["n_prompts"], root
        )
        is_answered = tracker.is_answered()
        if is_answered:
            tracker.log_baselines(config.task_config, config.n_examples, evaluation, scores)
    # drawn when the others may go on: it takes longer than all that the lock is for
    files.write(folder.path / "evaluation", config.name, config.b, evaluation, scores)
    return is_answered
