"""How far MLflow was told from a folder's journal: the file ``told.json`` beside it."""

import json
import logging
from pathlib import Path

from looped.records import journal
from looped.records.files import write_atomically
from looped.records.journal import Record

Progress = dict[str, int]
"""``offset`` is the byte and ``step`` the sample that MLflow was told to; ``opened`` is where the
journal ended when the process that the run stands for opened it."""

logger = logging.getLogger("looped")


def told_of(folder: Path) -> dict[str, Progress]:
    """Say by MLflow run how far each was told from a folder's journal.

    A damaged file is only a memory: the run that signed the lock last is told again from the
    start of the journal, which changes nothing that it holds.
    """
    path = folder / "told.json"
    if not path.exists():
        return {}
    try:
        progress_by_run = json.loads(path.read_bytes())
        for progress in progress_by_run.values():
            if not all(isinstance(progress[name], int) for name in ("offset", "step")):
                raise ValueError("no numbers")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        logger.warning("%s is damaged: MLflow is told again what the journal holds", path)
        return _from_lock(folder)
    return {str(run_id): dict(progress) for run_id, progress in progress_by_run.items()}


def remember(folder: Path, run_id: str, progress: Progress) -> None:
    """Keep how far a run was told."""
    content = json.dumps(told_of(folder) | {run_id: progress}).encode()
    write_atomically(folder / "told.json", content)


def recorded_end(folder: Path, run_id: str) -> Record | None:
    """Find the end that a run's process wrote before it left: ``status``, ``reason``, ``time``.

    Args:
        folder: of a training or a grid, whose lock the caller holds.
        run_id: the MLflow run that stands for the process.

    Raises:
        ValueError: what the folder holds cannot be read.
    """
    if (folder / "journal.jsonl").exists():
        return _end_of_training(folder, run_id)
    if (folder / "grid.json").exists():
        return _end_of_grid(folder, run_id)
    return None


def _end_of_training(folder: Path, run_id: str) -> Record | None:
    path = folder / "journal.jsonl"
    progress = told_of(folder).get(run_id)
    if progress is None:  # its process was killed before it could say where it begins
        return None
    records, _ = journal.read(path, progress.get("opened", 0))
    has_begun = False
    for record in records:
        if record["kind"] == "end":
            return record
        if record["kind"] == "start":
            if has_begun:  # that of a later process
                return None
            has_begun = True
    return None


def _end_of_grid(folder: Path, run_id: str) -> Record | None:
    beginnings = json.loads((folder / "told.json").read_bytes())
    facts = json.loads((folder / "grid.json").read_bytes())
    if facts.get("ended") is None or beginnings.get(run_id) != facts["begun"]:
        return None
    return {"status": facts["status"], "reason": facts["reason"], "time": facts["ended"]}


def _from_lock(folder: Path) -> dict[str, Progress]:
    try:
        run_id = (folder / "lock").read_text(encoding="utf-8").strip()
        opened = journal.newest_start(folder / "journal.jsonl")
    except (OSError, ValueError, KeyError):
        return {}
    return {run_id: {"offset": 0, "step": 0, "opened": opened}} if run_id else {}
