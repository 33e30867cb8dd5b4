"""What is left to do of a grid: how far each cell is, what it takes."""

from pathlib import Path
from typing import NamedTuple

from looped.config import TrainConfig
from looped.records.folder import run_path
from looped.records.journal import last_record


class Known(NamedTuple):
    """What is known of a cell from earlier: its state, its MLflow run, what came.

    ``step`` is that of its last checkpoint.
    """

    state: str
    run_id: str = ""
    nmse: float | None = None
    reason: str = ""
    commit: str = ""
    step: int = 0


def known_on_disk(root: Path, cell: TrainConfig) -> Known:
    """Say from a cell's journal and checkpoints how far it is."""
    folder = run_path(root, cell)
    journal = folder / "journal.jsonl"
    last = last_record(journal, "start", "end") if journal.exists() else None
    if last is not None and last["kind"] == "end" and last["status"] == "FINISHED":
        outcome = last_record(journal, "outcome")
        nmse = outcome["values"]["held_out/nmse"] if outcome else None
        return Known("done", nmse=nmse, reason=last["reason"])
    if last is not None and last["kind"] == "end" and last["status"] == "FAILED":
        return Known("failed before", reason=last["reason"])
    saved = (folder / "checkpoints").glob("step-*.json")
    step = max((int(path.stem.partition("-")[2]) for path in saved), default=0)
    return Known("to go on", step=step) if step else Known("to do")
