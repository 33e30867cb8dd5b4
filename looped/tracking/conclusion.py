"""What is said and kept of a finished training: a line, a note, its baselines, its model."""

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from looped.config import TrainConfig
from looped.names import Metric
from looped.records.folder import FolderLock, RunFolder
from looped.records.journal import history, read
from looped.tracking import note as notes

if TYPE_CHECKING:
    from looped.tracking.tracker import Tracker

BASELINES_SECONDS = 3600.0  # for which another process may be at it


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What is said of a finished training.

    Attributes:
        reason: what it came to, in a line.
        note: Markdown for the run's page.
        registered: URI of its registered model; empty where there is none.
        problems: what went wrong beside it, a line each.
    """

    reason: str
    note: str = ""
    registered: str = ""
    problems: tuple[str, ...] = ()


def conclude(
    config: TrainConfig, folder: RunFolder, tracker: "Tracker | None", register: bool
) -> Conclusion:
    """Say from its journal what a training came to; without a tracker that is one line.

    With one, the model is compared with the baselines and registered, if asked for.
    """
    records, _ = read(folder.journal_path)
    newest = {record["kind"]: record for record in history(records)}
    outcome = newest["outcome"]
    reason = notes.result(config, outcome)
    if tracker is None:
        return Conclusion(reason=reason)
    if "evaluation" in newest:
        from looped.evaluation import files

        task, evaluation = config.task_config, newest["evaluation"]
        root = folder.path.parent
        # one process at a time, so that the baselines are scored and logged once
        with closing(FolderLock(root / "baselines", BASELINES_SECONDS)):
            scores = files.compare(
                folder=folder.path,
                name=config.name,
                b=config.b,
                task=task,
                n_examples=config.n_examples,
                record=evaluation,
                cache=root,
            )
            tracker.log_baselines(task, config.n_examples, evaluation, scores)
    note = notes.describe(config, outcome, folder.path, folder.origin)
    model = folder.path / "model"
    if not (register and model.exists()):  # kept journals may come without their weights
        return Conclusion(reason=reason, note=note)
    from looped.tracking import registry

    nmse = outcome["values"][Metric.NMSE]
    try:
        version = registry.register(tracker.client, tracker.run_id, model, config, nmse)
    except registry.RegistryError as error:  # takes nothing from the run
        return Conclusion(reason=reason, note=note, problems=(str(error),))
    uri = f"models:/{version.name}/{version.version}"
    return Conclusion(reason=reason, note=note, registered=uri)
