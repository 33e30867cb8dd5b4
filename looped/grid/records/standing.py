"""Where a training of a grid stands before anything begins, as far as its folder tells."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from looped.config import TrainConfig
from looped.names import Metric
from looped.records.folder import run_path
from looped.records.journal import last_record
from looped.records.origin import UNKNOWN

TO_DO, TO_GO_ON = "to do", "to go on"
DONE_BEFORE, FAILED_BEFORE = "done", "failed before"
LEFT_OUT = "left out"  # of what a budget holds; to do for whoever has another

DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a file of ours raises that is not as it was written."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a training from earlier.

    Attributes:
        state: ``TO_DO``, ``TO_GO_ON``, ``DONE_BEFORE``, ``FAILED_BEFORE`` or ``LEFT_OUT``.
        run_id: its MLflow run; empty where there is none.
        nmse: held-out error, where there is one.
        reason: why it ended.
        commit: of the code that trained it.
        sources: digest of that code, where it is known.
        step: of its last checkpoint.
        first_step: of one that is to begin where a shorter training ends: that one's last step.
    """

    state: str
    run_id: str = ""
    nmse: float | None = None
    reason: str = ""
    commit: str = ""
    sources: str = UNKNOWN
    step: int = 0
    first_step: int = 0


def standing_on_disk(root: Path, config: TrainConfig) -> Standing:
    """Say from a training's journal and checkpoints how far it is.

    A journal that cannot be read says nothing; whoever trains there says why.
    """
    folder = run_path(root, config)
    try:
        last = _last(folder / "journal.jsonl", "start", "end")
        if last.get("kind") == "end" and last["status"] == "FINISHED":
            values = _last(folder / "journal.jsonl", "outcome").get("values", {})
            nmse = values.get(Metric.NMSE)
            return Standing(state=DONE_BEFORE, nmse=nmse, reason=str(last["reason"]))
        if last.get("kind") == "end" and last["status"] == "FAILED":
            return Standing(state=FAILED_BEFORE, reason=str(last["reason"]))
    except DAMAGE as error:
        reason = f"{folder / 'journal.jsonl'} is damaged ({error})"
        return Standing(state=TO_DO, reason=" ".join(reason.split()))
    step = last_step(folder)
    return Standing(state=TO_GO_ON, step=step) if step else Standing(state=TO_DO)


def last_step(folder: Path) -> int:
    """Return the step of a training's newest checkpoint, 0 where there is none."""
    names = [path.stem for path in (folder / "checkpoints").glob("step-*.json")]
    numbers = [re.fullmatch(r"step-(\d{1,18})", name) for name in names]
    return max((int(number[1]) for number in numbers if number), default=0)


def _last(journal: Path, *kinds: str) -> dict[str, Any]:
    """Read the last record of some kinds; empty where there is none."""
    record = last_record(journal, *kinds) if journal.exists() else None
    return record or {}
