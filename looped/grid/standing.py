"""Where a training of a grid stands before anything begins, as far as its folder tells."""

from dataclasses import dataclass
from pathlib import Path

from looped.config import TrainConfig
from looped.names import Metric
from looped.records.folder import run_path
from looped.records.journal import last_record

TO_DO, TO_GO_ON = "to do", "to go on"
DONE_BEFORE, FAILED_BEFORE = "done", "failed before"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a training from earlier.

    Attributes:
        state: ``TO_DO``, ``TO_GO_ON``, ``DONE_BEFORE`` or ``FAILED_BEFORE``.
        run_id: its MLflow run; empty where there is none.
        nmse: held-out error, where there is one.
        reason: why it ended.
        commit: of the code that trained it.
        step: of its last checkpoint.
    """

    state: str
    run_id: str = ""
    nmse: float | None = None
    reason: str = ""
    commit: str = ""
    step: int = 0


def standing_on_disk(root: Path, config: TrainConfig) -> Standing:
    """Say from a training's journal and checkpoints how far it is."""
    folder = run_path(root, config)
    journal = folder / "journal.jsonl"
    last = last_record(journal, "start", "end") if journal.exists() else None
    if last is not None and last["kind"] == "end" and last["status"] == "FINISHED":
        outcome = last_record(journal, "outcome")
        nmse = outcome["values"][Metric.NMSE] if outcome else None
        return Standing(state=DONE_BEFORE, nmse=nmse, reason=last["reason"])
    if last is not None and last["kind"] == "end" and last["status"] == "FAILED":
        return Standing(state=FAILED_BEFORE, reason=last["reason"])
    checkpoints = (folder / "checkpoints").glob("step-*.json")
    step = max((int(path.stem.partition("-")[2]) for path in checkpoints), default=0)
    return Standing(state=TO_GO_ON, step=step) if step else Standing(state=TO_DO)
