"""Where each cell of a grid stands: told by its workers, shown as a table and a note."""

import csv
import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from looped.config import TrainConfig
from looped.grid.lists import varied
from looped.grid.standing import Known

RUNNING = "running"
LOST = "lost"  # with its node, and waiting to be begun again
FINISHED, UNTOLD, FAILED, KILLED = "finished", "untold", "failed", "killed"
ENDED = (FINISHED, UNTOLD, FAILED, KILLED)
"""A worker has done with such a cell; ``untold``: trained, and MLflow does not know yet."""
DONE = ("done", FINISHED)
LONGEST_NOTE = 7_500  # MLflow keeps 8,000 characters of a tag

_ORDER = (
    "done", FINISHED, UNTOLD, RUNNING, LOST, "to go on", "to do", KILLED, FAILED, "failed before",
)  # fmt: skip

_COLUMNS = ["state", "step", "steps", "nmse", "seconds", "run_id", "identity", "commit", "reason"]


class News(NamedTuple):
    """What a worker says of a cell.

    Attributes:
        identity: of the cell.
        state: ``running``, ``lost`` or one of ``ENDED``.
        run_id: its MLflow run; empty when there is none.
        step: gradient steps done.
        nmse: held-out error, once there is one.
        reason: why it ended.
    """

    identity: str
    state: str
    run_id: str = ""
    step: int = 0
    nmse: float | None = None
    reason: str = ""


@dataclass
class Entry:
    """A line of the ledger."""

    cell: TrainConfig
    state: str
    run_id: str = ""
    step: int = 0
    nmse: float | None = None
    reason: str = ""
    commit: str = ""
    begun: float | None = None
    seconds: float | None = None


class Ledger:
    """The state of every cell of a grid.

    Args:
        cells: resolved.
        known: what is known of each from earlier, by identity.
        commit: of the code that trains now.
    """

    def __init__(
        self, cells: Sequence[TrainConfig], known: Mapping[str, Known], commit: str = ""
    ) -> None:
        self.commit = commit
        self.entries: dict[str, Entry] = {}
        for cell in cells:
            state, run_id, nmse, reason, its_commit, step = known[cell.identity]
            self.entries[cell.identity] = Entry(cell, state, run_id, step, nmse, reason, its_commit)
        self._varied = varied(cells)
        self.changes = 0

    def hear(self, news: News) -> None:
        """Take in what a worker says."""
        entry = self.entries[news.identity]
        now = time.monotonic()
        if news.state == RUNNING and entry.state != RUNNING:
            entry.begun, entry.commit, entry.reason = now, self.commit, ""
        if news.state in ENDED and entry.begun is not None:
            entry.seconds = now - entry.begun
        entry.state = news.state
        entry.run_id = news.run_id or entry.run_id
        entry.step = (
            max(news.step, entry.step) if news.state == RUNNING else news.step or entry.step
        )
        entry.nmse = news.nmse if news.nmse is not None else entry.nmse
        entry.reason = news.reason or entry.reason
        self.changes += 1

    @property
    def counts(self) -> dict[str, int]:
        """How many cells are in each state, in the order of a cell's life."""
        counted = Counter(entry.state for entry in self.entries.values())
        return {state: counted[state] for state in _ORDER if counted[state]}

    @property
    def is_done(self) -> bool:
        """Whether every cell is trained and told."""
        return all(entry.state in DONE for entry in self.entries.values())

    def summary(self) -> str:
        """Say in a line how many cells are in which state."""
        counts = ", ".join(f"{count:,} {_said(state)}" for state, count in self.counts.items())
        return f"{len(self.entries):,} cells: {counts}"

    def line(self) -> str:
        """Say the same, and how far the running cells are."""
        running = [entry for entry in self.entries.values() if entry.state == RUNNING]
        steps = [f"{entry.cell.name} {entry.step:,}/{entry.cell.steps:,}" for entry in running[:4]]
        more = ", ..." if len(running) > 4 else ""
        return self.summary() + (f" ({', '.join(steps)}{more})" if steps else "")

    def table(self) -> str:
        """Write every cell as a line of CSV."""
        named = [name for name in self._varied if name not in ("size", "b", "seed", "task")]
        settings = ["size", "b", "seed", "task", *named]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["cell", *settings, *_COLUMNS])
        for entry in self.entries.values():
            seconds = None if entry.seconds is None else round(entry.seconds, 1)
            values = [getattr(entry.cell, name) for name in settings]
            stands = [entry.state, entry.step, entry.cell.steps, entry.nmse, seconds, entry.run_id]
            told = [entry.cell.identity, entry.commit, entry.reason]
            writer.writerow([entry.cell.name, *values, *stands, *told])
        return text.getvalue()

    def note(self, closing: str = "") -> str:
        """Write the grid in Markdown: a row for each cell of the study, a column for each seed.

        Args:
            closing: what is said at the end.
        """
        lines = [f"**{self.summary()}.**", ""]
        tail = [] if not closing else ["", closing]
        room = LONGEST_NOTE - len("\n".join([*lines, *tail])) - 200
        rows = self._rows()
        for index, row in enumerate(rows):
            room -= len(row) + 1
            if room < 0:
                tail = ["", f"{len(rows) - index:,} more rows are in `cells.csv`.", *tail]
                break
            lines.append(row)
        return "\n".join(lines + tail)

    def _rows(self) -> list[str]:
        by = [name for name in self._varied if name != "seed"] or ["size"]
        seeds = list(dict.fromkeys(entry.cell.seed for entry in self.entries.values()))
        pivot: dict[tuple[str, ...], dict[int, str]] = {}
        for entry in self.entries.values():
            key = tuple(str(getattr(entry.cell, name)) for name in by)
            pivot.setdefault(key, {})[entry.cell.seed] = _shown(entry)
        head = [*by, *(f"seed {seed}" for seed in seeds)]
        rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for key, own in pivot.items():
            rows.append("| " + " | ".join([*key, *(own.get(seed, "") for seed in seeds)]) + " |")
        troubled = [
            e for e in self.entries.values() if e.state in (FAILED, KILLED, "failed before")
        ]
        if troubled:
            rows += ["", *(f"- {e.cell.name}: {_said(e.state)}: {e.reason}" for e in troubled)]
        return rows


def _said(state: str) -> str:
    return {"done": "done before", FINISHED: "finished now"}.get(state, state)


def _shown(entry: Entry) -> str:
    if entry.state in (*DONE, UNTOLD) and entry.nmse is not None:
        return f"{entry.nmse:.4g}" + {"done": " (before)", UNTOLD: " (untold)"}.get(entry.state, "")
    if entry.state == RUNNING:
        return f"running, {entry.step / max(1, entry.cell.steps):.0%}"
    return _said(entry.state)
