"""What is left to do of a grid: how far each cell is, what it takes."""

from pathlib import Path
from typing import NamedTuple

from looped.config import TrainConfig
from looped.folder import run_path
from looped.journal import last_record


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


def cell_flops(cell: TrainConfig, begun: int = 0, b_max: int = 0, n_prompts: int = 0) -> int:
    """FLOPs of the matrix products of a training and of its evaluation.

    Args:
        cell: what is trained.
        begun: steps that are done already.
        b_max: loops to evaluate to, where that is more than b.
        n_prompts: held-out prompts.
    """
    evaluation = n_prompts * cell.model_config.forward_flops(max(cell.b, b_max))
    return (cell.steps - begun) * cell.step_flops + evaluation
