"""What a grid keeps and says while it runs: its folder, its parent run, the news."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from looped.grid.records.folder import DamagedGridError, GridFolder
from looped.grid.records.ledger import (
    ENDED,
    FAILED,
    FINISHED,
    KILLED,
    LOST,
    RUNNING,
    UNTOLD,
    Entry,
    Ledger,
    News,
)
from looped.grid.records.standing import Standing
from looped.grid.timing.progress import GridProgress
from looped.names import Kind, Tag

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

SECONDS_BETWEEN_SHOWS = 5.0

logger = logging.getLogger("looped")


class Logbook:
    """What is kept of a grid: its folder, and the parent run where MLflow is told.

    Args:
        folder: of the grid, which has begun.
        store: to tell; None for none.
        goes_on: whether to tell the run of the command before this one further, whose jobs go on.
    """

    def __init__(self, folder: GridFolder, store: "Store | None", goes_on: bool = False) -> None:
        self.folder, self.store = folder, store
        self.parent: str | None = None
        self._began = time.monotonic()
        self._is_away = self._is_unwritable = False
        if store is not None:
            from looped.grid.records.parent_run import open_parent, parent_to_go_on

            parent = parent_to_go_on(store, folder) if goes_on else None
            self.parent = parent or open_parent(store, folder)

    def show(self, ledger: Ledger, closing: str = "") -> bool:
        """Show where the trainings stand; tell whether MLflow knows."""
        note, table = ledger.note(closing), ledger.table()
        self._keep(partial(self.folder.show, note, table))
        return self._tell("show_parent", note, table, time.monotonic() - self._began)

    def end(self, ledger: Ledger, status: str, reason: str, closing: str = "") -> bool:
        """Show it a last time and end the parent; tell whether MLflow knows.

        Args:
            ledger: where the trainings stand.
            status: in MLflow's words.
            reason: of the end, in a line.
            closing: what the note says last.
        """
        self._keep(partial(self.folder.end, status, reason))
        is_shown = self.show(ledger, closing)
        return self._tell("end_run", status, reason) and is_shown

    def end_lost(self, run_id: str) -> None:
        """See to it that a run whose process was lost is not RUNNING."""
        if self.store is None or not run_id:
            return
        from mlflow.exceptions import MlflowException

        from looped.tracking.dead_runs import end_lost_runs

        try:
            end_lost_runs(self.store.client, [run_id])
        except MlflowException as error:
            logger.warning("run %s, which was lost, could not be ended (%s)", run_id, error)

    def closing(self, ledger: Ledger, finished: "Mapping[str, Sequence[Standing]]") -> str:
        """Say what the store holds of the grid.

        Args:
            ledger: of the grid.
            finished: by identity the finished runs that the store holds, as asked just now.
        """
        counts = [len(finished.get(identity, [])) for identity in ledger.entries]
        query = (
            f"tags.{Tag.GRID} = '{self.folder.identity}' "
            f"and tags.\"{Tag.KIND}\" = '{Kind.TRAINING}' and attributes.status = 'FINISHED'"
        )
        return (
            f"Asked at the end, the store holds a finished run for {sum(map(bool, counts)):,} of "
            f"the {len(counts):,} trainings, and more than one for "
            f"{sum(count > 1 for count in counts):,}. "
            f"Those trained by this grid, however often it was begun: `{query}`."
        )

    def _keep(self, write: Callable[[], None]) -> None:
        """Write to the folder; where that fails, say so once: it stops no training."""
        try:
            write()
        except (OSError, DamagedGridError) as error:
            if not self._is_unwritable:
                logger.warning("%s cannot be written (%s)", self.folder.path, error)
            self._is_unwritable = True

    def _tell(self, name: str, *content: object) -> bool:
        if self.store is None or self.parent is None:
            return True
        from mlflow.exceptions import MlflowException

        from looped.grid.records import parent_run

        try:
            getattr(parent_run, name)(self.store.client, self.parent, *content)
        except MlflowException as error:
            if not self._is_away:
                logger.warning("MLflow is away, %s waits for it (%s)", self.folder.path, error)
            self._is_away = True
            return False
        self._is_away = False
        return True


class NewsDesk:
    """Hears what the workers say, and shows it now and then.

    Args:
        ledger: of the grid.
        logbook: where it is shown.
        stop_request: tells whether to stop.
        progress: says how far it is.
        tell: tells MLflow of a training that its worker could not tell of; None leaves that to
            the end of the grid.
    """

    def __init__(
        self,
        ledger: Ledger,
        logbook: Logbook,
        stop_request: Callable[[], bool],
        progress: GridProgress,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.ledger, self.logbook, self._stop_request = ledger, logbook, stop_request
        self._tell = tell
        self.progress = progress
        self._shown_at = time.monotonic()
        self._cost = 0.0
        self._shown_changes = 0

    @property
    def folder(self) -> Path:
        """The folder of the grid."""
        return self.logbook.folder.path

    def hear(self, news: News) -> None:
        """Take in news of a training; say how it ended."""
        self.ledger.hear(news)
        self.progress.hear(news)
        entry = self.ledger.entries[news.identity]
        if self._tell is not None and (news.state == UNTOLD or is_untold_failure(entry)):
            self._tell(news.identity)
        if news.state in ENDED:
            is_well = entry.state == FINISHED
            state = "" if is_well else f"{entry.state}: "
            self.progress.say(f"{entry.title}: {state}{news.reason}", is_well)
        elif news.state == RUNNING and news.reason:
            line = news.reason.replace(f"{entry.config.name}: ", f"{entry.title}: ", 1)
            self.progress.say(line, is_well=False)
        if news.state in (KILLED, LOST):
            self.logbook.end_lost(entry.run_id)

    def tick(self) -> None:
        """Show the table in MLflow and a line here, when it is time for it."""
        self.progress.tick()
        now = time.monotonic()
        # a large grid, or a slow server, is told less often
        pause = max(SECONDS_BETWEEN_SHOWS, 20 * self._cost)
        if now - self._shown_at >= pause and self.ledger.changes > self._shown_changes:
            self._shown_changes = self.ledger.changes
            self.logbook.show(self.ledger)
            self._shown_at = time.monotonic()
            self._cost = self._shown_at - now

    def should_stop(self) -> bool:
        """Tell whether to stop in good order."""
        return self._stop_request()


def is_untold_failure(entry: Entry) -> bool:
    """Tell whether a training failed where MLflow could not be told of it."""
    return entry.state == FAILED and not entry.run_id
