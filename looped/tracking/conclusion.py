"""What is said and kept of a finished training: a line, a note, its baselines, its model."""

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from looped.config import TrainConfig
from looped.records.folder import (
    FolderLock,
    RunFolder,
)
from looped.records.journal import history, read
from looped.tracking import note as note_text

if TYPE_CHECKING:
    from looped.tracking.tracker import Tracker

BASELINES_SECONDS = 3600.0  # for which another process may be at it


class Conclusion(NamedTuple):
    """What is said of a finished training: one line, a note, the model's URI, problems."""

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
    reason = note_text.result(config, newest["outcome"])
    if tracker is None:
        return Conclusion(reason)
    if "evaluation" in newest:
        from looped.evaluation import files

        about = (config.task_config, config.n_examples)
        record = newest["evaluation"]
        root = folder.path.parent
        # one process at a time, so that the baselines are scored and logged once
        with closing(FolderLock(root / "baselines", BASELINES_SECONDS)):
            scores = files.compare(folder.path, config.name, config.b, *about, record, root)
            tracker.log_baselines(*about, record, scores)
    note = note_text.describe(config, newest["outcome"], folder.path, folder.origin)
    nmse, model = newest["outcome"]["values"]["held_out/nmse"], folder.path / "model"
    if not (register and model.exists()):  # kept journals may come without their weights
        return Conclusion(reason, note)
    from looped.tracking import registry

    try:
        own = registry.register(tracker.client, tracker.run_id, model, config, nmse)
    except registry.RegistryError as error:  # takes nothing from the run
        return Conclusion(reason, note, "", (str(error),))
    return Conclusion(reason, note, f"models:/{own.name}/{own.version}")
