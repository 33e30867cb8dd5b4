"""Works through a grid: plans, trains what is left, and keeps its record."""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints import cell_runner
from entrypoints.grid_options import GridOptions
from entrypoints.options import CellOptions
from entrypoints.stopping import StopRequest
from looped import cells, grid, training
from looped.config import TrainConfig
from looped.folder import run_path
from looped.grid_folder import GridFolder
from looped.ledger import ENDED, FAILED, FINISHED, KILLED, RUNNING, UNTOLD, Ledger, News
from looped.origin import Origin

if TYPE_CHECKING:
    from looped.store_access import Store

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_SHOWS = 5.0
SECONDS_BETWEEN_NEWS = 1.0
PATIENCE = 60.0  # seconds that the workers of a killed grid may take to leave

logger = logging.getLogger("looped")


class GridRunner:
    """A grid from its plan to its end.

    Args:
        asked: the cells, not yet resolved.
        lists: what they were made from, to be logged.
        options: how to work through them.
        cell_options: how to train each.

    Raises:
        ValueError: two cells are the same experiment, or this machine lacks what one asks for.
        TrackingError: MLflow cannot be reached.
    """

    def __init__(
        self,
        asked: Sequence[TrainConfig],
        lists: Mapping[str, str],
        options: GridOptions,
        cell_options: CellOptions,
    ) -> None:
        self.options, self.cell_options, self.lists = options, cell_options, lists
        self.root = Path(cell_options.runs_dir)
        self.cells = [training.resolve(cell) for cell in asked]
        cells.refuse_doubles(self.cells)
        self.identity = cells.grid_identity(self.cells)
        self.origin = Origin.here(self.identity)
        self.store = _open_store() if cell_options.tracking == "online" else None
        self.known = self._known()
        skipped = ("done",) if options.retry_failed else ("done", "failed before")
        left = [cell for cell in self.cells if self.known[cell.identity].state not in skipped]
        # the longest first, so that none is waited for alone
        self.left = sorted(left, key=lambda cell: -cell.steps * cell.step_flops)

    def forecast(self) -> str:
        """Say what it would do."""
        from entrypoints.forecast import forecast

        n_groups = len(cells.group(self.left, self.options.replicas))
        device = self.cells[0].device
        b_max = self.cell_options.b_max if self.cell_options.evaluate else 0
        shared = share(device, n_groups, self.options.workers)
        return forecast(self.cells, self.left, self.known, b_max, *shared)

    def run(self, should_stop: StopRequest) -> int:
        """Train what is left; return the exit code.

        Raises:
            FolderInUseError: another process runs this grid.
            TrackingError: MLflow cannot be reached.
        """
        if not self.left and self.store is None:  # nothing that a new record would tell
            return self._say(Ledger(self.cells, self.known), should_stop, is_told=True)
        folder = GridFolder(self.root, self.identity, PATIENCE)
        try:
            folder.begin(f"grid of {len(self.cells)} cells", self.lists, self.origin.tags)
            record = _Record(folder, self.store)
            ledger = Ledger(self.cells, self.known, self.origin.commit)
            record.show(ledger)
            print(ledger.summary(), flush=True)
            try:
                self._train(ledger, record, should_stop)
                if self.store is not None and record.parent is not None:
                    parents = {self.identity: record.parent}
                    _tell_untold(ledger, self.store, self.root, parents, self.cell_options)
            except BaseException as error:
                record.end(ledger, "KILLED", repr(error))
                raise
            status = "FINISHED" if ledger.is_done else "KILLED" if should_stop() else "FAILED"
            is_told = record.end(ledger, status, ledger.summary())
        finally:
            folder.close()
        return self._say(ledger, should_stop, is_told)

    def _known(self) -> dict[str, grid.Known]:
        if self.store is None:
            known = {cell.identity: grid.known_on_disk(self.root, cell) for cell in self.cells}
            if self.cell_options.resume != "same_code":
                return known
            for cell in self.cells:
                before = Origin.read(run_path(self.root, cell))
                if cell_runner.is_fresh("same_code", before, self.origin):
                    known[cell.identity] = grid.Known("to do")
            return known
        from looped.known_runs import known_cells

        commit = self.origin.commit if self.cell_options.resume == "same_code" else None
        return known_cells(
            self.store.client, self.store.experiment_id, self.cells, self.root, commit
        )

    def _train(self, ledger: Ledger, record: "_Record", should_stop: StopRequest) -> None:
        if not self.left:
            return
        nest = cell_runner.Nest(self.identity, record.parent)
        work = partial(train_group, options=self.cell_options, nest=nest)
        groups = cells.group(self.left, self.options.replicas)
        desk = _Desk(ledger, record, should_stop)
        _become_nobodys_run(self.store)
        from looped.workers import run_locally

        n_workers, n_threads = share(self.left[0].device, len(groups), self.options.workers)
        watch_signals = partial(StopRequest, has_launcher=True)
        run_locally(
            groups, work, watch_signals, n_workers, n_threads, desk.hear, desk.tick, should_stop
        )

    def _say(self, ledger: Ledger, should_stop: StopRequest, is_told: bool) -> int:
        print(ledger.summary())
        counts = ledger.counts
        if counts.get("failed before") and not self.options.retry_failed:
            print("-P retry_failed=true tries again what failed before", file=sys.stderr)
        if counts.get(UNTOLD) or not is_told:
            where = f"mlflow run . -e import_runs -P path={self.root}"
            print(f"MLflow does not know all of it: {where} tells it", file=sys.stderr)
        if should_stop() and not ledger.is_done:
            print("the same command goes on", file=sys.stderr)
            return should_stop.exit_code
        return 0 if ledger.is_done and is_told else 1


class _Record:
    """What is kept of a grid: its folder, and the parent run where MLflow is told."""

    def __init__(self, folder: GridFolder, store: "Store | None") -> None:
        self.folder, self.store = folder, store
        self.parent: str | None = None
        self._is_away = False
        if store is not None:
            from looped.parent import open_parent

            self.parent = open_parent(store.client, store.experiment_id, folder)

    def show(self, ledger: Ledger, closing: str = "") -> bool:
        """Show where the cells stand; tell whether MLflow knows."""
        self.folder.show(ledger.note(closing), ledger.table())
        return self._tell("show_parent", self.folder.note, ledger.table())

    def end(self, ledger: Ledger, status: str, reason: str) -> bool:
        """Show it a last time and end the parent; tell whether MLflow knows."""
        self.folder.end(status, reason)
        return self.show(ledger, self._closing(ledger)) and self._tell("end_parent", self.folder)

    def _closing(self, ledger: Ledger) -> str:
        if self.store is None:
            return ""
        from mlflow.exceptions import MlflowException

        from looped.known_runs import finished_runs

        try:
            finished = finished_runs(
                self.store.client, self.store.experiment_id, self.folder.path.parent
            )
        except MlflowException:
            return ""
        own = [len(finished.get(identity, [])) for identity in ledger.entries]
        query = (
            f"tags.grid = '{self.folder.identity}' and tags.\"looped.kind\" = 'training' "
            "and attributes.status = 'FINISHED'"
        )
        return (
            f"Asked at the end, the store holds a finished run for {sum(map(bool, own)):,} of the "
            f"{len(own):,} cells, and more than one for {sum(n > 1 for n in own):,}. "
            f"Those trained by this grid, however often it was begun: `{query}`."
        )

    def _tell(self, name: str, *content: object) -> bool:
        if self.store is None or self.parent is None:
            return True
        from mlflow.exceptions import MlflowException

        from looped import parent

        try:
            getattr(parent, name)(self.store.client, self.parent, *content)
        except MlflowException as error:
            if not self._is_away:
                logger.warning("MLflow is away, %s waits for it (%s)", self.folder.path, error)
            self._is_away = True
            return False
        self._is_away = False
        return True


class _Desk:
    """Hears what the workers say, and shows it now and then."""

    def __init__(self, ledger: Ledger, record: _Record, should_stop: Callable[[], bool]) -> None:
        self.ledger, self.record, self.should_stop = ledger, record, should_stop
        self._shown_at = self._said_at = time.monotonic()
        self._cost = 0.0
        self._shown_changes = 0

    def hear(self, news: News) -> None:
        """Take in news of a cell; say how it ended."""
        self.ledger.hear(news)
        entry = self.ledger.entries[news.identity]
        if news.state in ENDED:
            is_well = news.state == FINISHED
            print(
                f"{entry.cell.name}: {news.state + ': ' if not is_well else ''}{news.reason}",
                file=sys.stdout if is_well else sys.stderr,
                flush=True,
            )
        if news.state == KILLED and self.record.store is not None and not self.should_stop():
            _mark_dead(self.record.store)

    def tick(self) -> None:
        """Show the table in MLflow and a line here, when it is time for it."""
        now = time.monotonic()
        if now - self._said_at >= SECONDS_BETWEEN_LINES:
            self._said_at = now
            print(self.ledger.line(), file=sys.stderr, flush=True)
        # a large grid, or a slow server, is told less often
        pause = max(SECONDS_BETWEEN_SHOWS, 20 * self._cost)
        if now - self._shown_at >= pause and self.ledger.changes > self._shown_changes:
            self._shown_changes = self.ledger.changes
            self.record.show(self.ledger)
            self._shown_at = time.monotonic()
            self._cost = self._shown_at - now


def train_group(
    group: Sequence[TrainConfig],
    report: Callable[[News], None],
    should_stop: Callable[[], bool],
    options: CellOptions,
    nest: cell_runner.Nest,
) -> None:
    """Train a group of cells in a worker and report how it goes."""
    logging.basicConfig(format="%(message)s")
    told_at: dict[str, float] = {}
    run_ids: dict[str, str] = {}

    def begin(config: TrainConfig, run_id: str) -> None:
        run_ids[config.identity] = run_id
        report(News(config.identity, RUNNING, run_id))

    def watch(config: TrainConfig, step: int, values: Mapping[str, float]) -> None:
        now = time.monotonic()
        if now - told_at.get(config.identity, 0.0) >= SECONDS_BETWEEN_NEWS:
            told_at[config.identity] = now
            report(News(config.identity, RUNNING, run_ids[config.identity], step))

    def watch_evaluation(config: TrainConfig, done: int, total: int) -> None:
        pass

    def end(ending: cell_runner.Ending) -> None:
        states = {"FINISHED": FINISHED, "KILLED": KILLED}
        state = states.get(ending.status, FAILED)
        if state == FINISHED and options.tracking == "online" and not ending.is_told:
            state = UNTOLD
        step = ending.config.steps if state in (FINISHED, UNTOLD) else 0
        reason = "; ".join([ending.reason, *ending.problems])
        identity = ending.config.identity
        report(News(identity, state, ending.run_id, step, ending.nmse, reason))

    cell_runner.run_cells(
        group, options, should_stop, watch, watch_evaluation, nest, begin, end, PATIENCE
    )


def share(device: str, n_groups: int, workers: int | None) -> tuple[int, int]:
    """Share this machine: how many processes train at once, with how many threads each.

    A GPU takes one process unless told otherwise. On a CPU a cell is too small to keep
    several cores busy, so there are as many processes as cores.
    """
    n_cores = len(os.sched_getaffinity(0))
    automatic = 1 if device == "cuda" else n_cores
    n_workers = max(1, min(workers or automatic, n_groups))
    return n_workers, max(1, n_cores // n_workers)


def _open_store() -> "Store":
    from looped.store_access import open_store

    return open_store()


def _become_nobodys_run(store: "Store | None") -> None:
    """Let workers make runs of their own, where this grid's are."""
    os.environ.pop("MLFLOW_RUN_ID", None)
    if store is not None:
        os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
        os.environ["MLFLOW_EXPERIMENT_ID"] = store.experiment_id


def _mark_dead(store: "Store") -> None:
    from mlflow.exceptions import MlflowException

    from looped.mlflow_store import mark_dead_runs

    try:
        mark_dead_runs(store.client, store.experiment_id)
    except MlflowException as error:
        logger.warning("the run of a dead worker could not be marked (%s)", error)


def _tell_untold(
    ledger: Ledger, store: "Store", root: Path, parents: Mapping[str, str], options: CellOptions
) -> None:
    """Tell MLflow of the cells that it missed, if it is back."""
    from entrypoints.importer import import_run
    from looped.journal import TrackingError

    for identity, entry in ledger.entries.items():
        if entry.state != UNTOLD:
            continue
        path = run_path(root, entry.cell)
        try:
            run_id = import_run(store, path, parents, options.register).run_id
        except TrackingError as error:
            logger.warning("%s", error)
            return
        ledger.hear(News(identity, FINISHED, run_id))
