"""Where each training of a grid stands: told by its workers, shown as a table and a note."""

import csv
import io
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from looped.config import TrainConfig
from looped.counting import counted
from looped.grid.records.standing import (
    DONE_BEFORE,
    FAILED_BEFORE,
    LEFT_OUT,
    TO_DO,
    TO_GO_ON,
    Standing,
)
from looped.titles import titles, varied

RUNNING = "running"
QUEUED = "queued"  # with a cluster, which has not begun it
LOST = "lost"  # with its node, and waiting to be begun again
FINISHED, UNTOLD, FAILED, KILLED = "finished", "untold", "failed", "killed"
ENDED = (FINISHED, UNTOLD, FAILED, KILLED)
"""A worker is through with it; ``untold``: trained, and MLflow does not know yet."""
DONE = (DONE_BEFORE, FINISHED)
THROUGH = (*ENDED, DONE_BEFORE, FAILED_BEFORE)
LONGEST_NOTE = 7_500  # MLflow keeps 8,000 characters of a tag

_ORDER = (
    DONE_BEFORE, FINISHED, UNTOLD, RUNNING, QUEUED, LOST, TO_GO_ON, TO_DO, LEFT_OUT, KILLED, FAILED,
    FAILED_BEFORE,
)  # fmt: skip

_COLUMNS = ["state", "step", "steps", "nmse", "seconds", "run_id", "identity", "commit", "reason"]


@dataclass(frozen=True, kw_only=True)
class News:
    """What a worker says of a training.

    Attributes:
        identity: of the training.
        state: ``running``, ``queued``, ``lost`` or one of ``ENDED``.
        run_id: its MLflow run; empty when there is none.
        step: gradient steps done.
        evaluated: share of the evaluation's prompts that are done.
        nmse: held-out error, once there is one.
        reason: why it ended; of one that runs, from where it goes on.
        unregistered: why its model is not registered, although that was asked for.
    """

    identity: str
    state: str
    run_id: str = ""
    step: int = 0
    evaluated: float = 0.0
    nmse: float | None = None
    reason: str = ""
    unregistered: str = ""


@dataclass(kw_only=True)
class Entry:
    """A line of the ledger."""

    config: TrainConfig
    title: str = ""  # its name, and what tells it from others of that name in this grid
    state: str
    run_id: str = ""
    step: int = 0
    first_step: int = 0
    nmse: float | None = None
    reason: str = ""
    commit: str = ""
    sources: str = ""
    unregistered: str = ""
    begun_at: float | None = None
    seconds: float | None = None


class Ledger:
    """The state of every training of a grid.

    Args:
        configs: of the trainings, resolved.
        standings: where each stood before, by identity.
        commit: of the code that trains now.
    """

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        standings: Mapping[str, Standing],
        commit: str = "",
    ) -> None:
        self.commit = commit
        title_of = titles(configs)
        self.entries = {
            config.identity: Entry(
                config=config,
                title=title_of[config.identity],
                **asdict(standings[config.identity]),
            )
            for config in configs
        }
        self._varied = varied(configs)
        self.changes = 0

    def hear(self, news: News) -> None:
        """Take in what a worker says."""
        entry = self.entries[news.identity]
        now = time.monotonic()
        if news.state == RUNNING and entry.state != RUNNING:
            entry.begun_at, entry.commit, entry.reason = now, self.commit, ""
        if news.state in ENDED and entry.begun_at is not None:
            entry.seconds = now - entry.begun_at
        if news.state == RUNNING and 0 < news.step < entry.first_step:  # it began anew after all
            entry.first_step = 0
        entry.state = news.state
        entry.run_id = news.run_id or entry.run_id
        entry.step = (
            max(news.step, entry.step) if news.state == RUNNING else news.step or entry.step
        )
        entry.nmse = news.nmse if news.nmse is not None else entry.nmse
        if news.state in ENDED or news.state == DONE_BEFORE:
            entry.unregistered = news.unregistered
        if news.state != RUNNING:
            entry.reason = news.reason or entry.reason
        self.changes += 1

    @property
    def counts(self) -> dict[str, int]:
        """How many trainings are in each state, in the order of a training's life."""
        counted = Counter(entry.state for entry in self.entries.values())
        return {state: counted[state] for state in _ORDER if counted[state]}

    @property
    def n_through(self) -> int:
        """How many trainings are through, well or not."""
        return sum(count for state, count in self.counts.items() if state in THROUGH)

    @property
    def unregistered(self) -> list[str]:
        """Why models are not registered that should be, of the trainings told of so far."""
        return [entry.unregistered for entry in self.entries.values() if entry.unregistered]

    @property
    def is_under_way(self) -> bool:
        """Whether some are queued or run, and none came to grief or is left to begin."""
        states = self.counts.keys()
        well = (*DONE, UNTOLD, RUNNING, QUEUED, LOST)
        return not states.isdisjoint((RUNNING, QUEUED, LOST)) and states <= {*well}

    @property
    def is_done(self) -> bool:
        """Whether every training is through and told, but for those that a budget leaves out."""
        return all(entry.state in (*DONE, LEFT_OUT) for entry in self.entries.values())

    def summary(self) -> str:
        """Say in a line how many trainings are in which state."""
        counts = ", ".join(f"{count:,} {_word(state)}" for state, count in self.counts.items())
        return f"{counted(len(self.entries), 'training')}: {counts}"

    def line(self) -> str:
        """Say the same, and how far those that run are."""
        running = [entry for entry in self.entries.values() if entry.state == RUNNING]
        steps = [
            f"{entry.title} {entry.step:,}/{entry.config.steps:,}"
            if entry.step < entry.config.steps
            else f"{entry.title} being evaluated"
            for entry in running[:4]
        ]
        more = ", ..." if len(running) > 4 else ""
        return self.summary() + (f" ({', '.join(steps)}{more})" if steps else "")

    def table(self) -> str:
        """Write every training as a line of CSV."""
        further = [name for name in self._varied if name not in ("size", "b", "seed", "task")]
        settings = ["size", "b", "seed", "task", *further]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["training", *settings, *_COLUMNS])
        for entry in self.entries.values():
            seconds = None if entry.seconds is None else round(entry.seconds, 1)
            values = [getattr(entry.config, name) for name in settings]
            progress = [entry.state, entry.step, entry.config.steps, entry.nmse, seconds]
            origin = [entry.run_id, entry.config.identity, entry.commit, entry.reason]
            writer.writerow([entry.config.name, *values, *progress, *origin])
        return text.getvalue()

    def note(self, closing: str = "") -> str:
        """Write the grid in Markdown: a row for each cell, a column for each seed.

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
                tail = ["", f"Further rows ({len(rows) - index:,}) are in `trainings.csv`.", *tail]
                break
            lines.append(row)
        return "\n".join(lines + tail)

    def _rows(self) -> list[str]:
        by = [name for name in self._varied if name != "seed"] or ["size"]
        seeds = list(dict.fromkeys(entry.config.seed for entry in self.entries.values()))
        pivot: dict[tuple[str, ...], dict[int, str]] = {}
        for entry in self.entries.values():
            key = tuple(str(getattr(entry.config, name)) for name in by)
            pivot.setdefault(key, {})[entry.config.seed] = _in_note(entry)
        head = [*by, *(f"seed {seed}" for seed in seeds)]
        rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        for key, by_seed in pivot.items():
            cells = [*key, *(by_seed.get(seed, "") for seed in seeds)]
            rows.append("| " + " | ".join(cells) + " |")
        troubles = (FAILED, KILLED, FAILED_BEFORE)
        lines = [
            f"- {entry.title}: {_word(entry.state)}: {entry.reason}"
            for entry in self.entries.values()
            if entry.state in troubles
        ]
        return [*rows, "", *lines] if lines else rows


def _word(state: str) -> str:
    return {DONE_BEFORE: "done before", FINISHED: "finished now"}.get(state, state)


def _in_note(entry: Entry) -> str:
    if entry.state in (*DONE, UNTOLD) and entry.nmse is not None:
        where = {DONE_BEFORE: " (before)", UNTOLD: " (untold)"}
        return f"{entry.nmse:.4g}" + where.get(entry.state, "")
    if entry.state == RUNNING:
        return f"running, {entry.step / max(1, entry.config.steps):.0%}"
    return _word(entry.state)
