"""Works through a grid: plans, trains what is left, and keeps its record."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from looped.config import TrainConfig
from looped.grid import run_trainings, standing
from looped.grid.engines import Engine, train_group
from looped.grid.folder import GridFolder
from looped.grid.ledger import FINISHED, LONGEST_NOTE, UNTOLD, Ledger, News
from looped.grid.lists import grid_identity, refuse_doubles
from looped.grid.local_engine import LocalEngine
from looped.grid.logbook import Desk, Record
from looped.grid.options import CellOptions, GridOptions
from looped.grid.stopping import StopRequest
from looped.records.folder import run_path
from looped.records.journal import TrackingError
from looped.records.origin import Origin
from looped.rules import require
from looped.training.groups import replica_groups

if TYPE_CHECKING:
    from looped.tracking.store import Store

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
        self.root = Path(cell_options.runs_dir).absolute()
        self.engine = _engine(options)
        self.cells = self.engine.resolve(asked)
        refuse_doubles(self.cells)
        self.identity = grid_identity(self.cells)
        self.origin = Origin.here(self.identity)
        self.store = _open_store(options.engine) if cell_options.tracking == "online" else None
        self.known = self._known()
        skipped = ("done",) if options.retry_failed else ("done", "failed before")
        left = [cell for cell in self.cells if self.known[cell.identity].state not in skipped]
        # the longest first, so that none is waited for alone
        self.left = sorted(left, key=lambda cell: -cell.steps * cell.step_flops)

    def forecast(self) -> str:
        """Say what it would do."""
        from looped.grid.forecast import forecast

        groups = replica_groups(self.left, self.options.replicas)
        shared = self.engine.share(groups)
        b_max = self.cell_options.b_max if self.cell_options.evaluate else 0
        n_prompts = self.cell_options.n_prompts
        said = forecast(self.cells, groups, self.known, b_max, n_prompts, *shared)
        if self.store is not None:
            from looped.tracking.launcher import note_on_launcher

            note_on_launcher(self.store.client, "grid, dry run", f"```\n{said}\n```"[:LONGEST_NOTE])
        return said

    def run(self, should_stop: StopRequest) -> int:
        """Train what is left; return the exit code.

        Raises:
            FolderInUseError: another process runs this grid.
            TrackingError: MLflow cannot be reached.
        """
        if not self.left and self.store is None:  # nothing that a new record would tell
            return self._say(Ledger(self.cells, self.known), should_stop, is_told=True)
        folder = GridFolder(self.root, self.identity)
        try:
            folder.begin(f"grid of {len(self.cells)} cells", self.lists, self.origin.tags)
            record = Record(folder, self.store)
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

    def _known(self) -> dict[str, standing.Known]:
        if self.store is None:
            known = {cell.identity: standing.known_on_disk(self.root, cell) for cell in self.cells}
            if self.cell_options.resume != "same_code":
                return known
            for cell in self.cells:
                before = Origin.read(run_path(self.root, cell))
                if run_trainings.is_fresh("same_code", before, self.origin):
                    known[cell.identity] = standing.Known("to do")
            return known
        from mlflow.exceptions import MlflowException

        from looped.grid.known_runs import known_cells

        commit = self.origin.commit if self.cell_options.resume == "same_code" else None
        client, experiment_id = self.store
        try:
            return known_cells(client, experiment_id, self.cells, self.root, commit)
        except MlflowException as error:
            raise TrackingError(f"MLflow must be reachable, got: {error}") from error

    def _train(self, ledger: Ledger, record: Record, should_stop: StopRequest) -> None:
        if not self.left:
            return
        nest = run_trainings.Nest(self.identity, record.parent)
        options = replace(self.cell_options, runs_dir=str(self.root))
        work = partial(train_group, options=options, nest=nest)
        groups = replica_groups(self.left, self.options.replicas)
        desk = Desk(ledger, record)
        self.engine.run(groups, work, self.store, desk.hear, desk.tick, should_stop)

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


def _engine(options: GridOptions) -> Engine:
    """Make the engine that was asked for; Ray is an extra that may not be there."""
    if options.engine == "local":
        return LocalEngine(options)
    try:
        from looped.grid.ray_engine import RayEngine
    except ImportError as error:
        raise ValueError(f"engine=ray needs Ray (make ray), got {error}") from None
    return RayEngine(options)


def _open_store(engine: str) -> "Store":
    from looped.tracking.store import open_store

    store = open_store()
    uri = store.client.tracking_uri
    is_local = urlsplit(uri).scheme in ("sqlite", "file", "")
    rule = "engine=ray must log to a server that every node reaches (MLFLOW_TRACKING_URI)"
    require(engine != "ray" or not is_local, rule, uri)
    return store


def _tell_untold(
    ledger: Ledger, store: "Store", root: Path, parents: Mapping[str, str], options: CellOptions
) -> None:
    """Tell MLflow of the cells that it missed, if it is back."""
    from looped.tracking.importer import import_run

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
