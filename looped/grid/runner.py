"""Works through a grid: plans, trains what is left, and keeps its logbook."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from looped.config import TrainConfig
from looped.grid.engines import Engine, work_through
from looped.grid.folder import GridFolder
from looped.grid.ledger import FINISHED, LONGEST_NOTE, UNTOLD, Ledger, News
from looped.grid.lists import grid_identity, refuse_doubles
from looped.grid.local_engine import LocalEngine
from looped.grid.logbook import Logbook, NewsDesk
from looped.grid.options import GridOptions, RunOptions
from looped.grid.run_trainings import Nest, is_fresh
from looped.grid.standing import DONE_BEFORE, FAILED_BEFORE, TO_DO, Standing, standing_on_disk
from looped.grid.stopping import StopRequest
from looped.records.folder import run_path
from looped.records.journal import TrackingError
from looped.records.origin import Origin
from looped.rules import require
from looped.training.groups import replica_groups
from looped.training.memory_needs import require_room_to_evaluate

if TYPE_CHECKING:
    from looped.tracking.store import Store

PATIENCE = 60.0  # seconds that the workers of a killed grid may take to leave

logger = logging.getLogger("looped")


class GridRunner:
    """A grid from its plan to its end.

    Args:
        configs: of the trainings asked for, not yet resolved.
        lists: what they were made from, to be logged.
        options: how to work through them.
        run_options: how to train each.

    Raises:
        ValueError: two trainings are the same experiment, or this machine lacks what one asks
            for.
        TrackingError: MLflow cannot be reached.
    """

    def __init__(
        self,
        configs: Sequence[TrainConfig],
        lists: Mapping[str, str],
        options: GridOptions,
        run_options: RunOptions,
    ) -> None:
        self.options, self.run_options, self.lists = options, run_options, lists
        self.root = Path(run_options.runs_dir).absolute()
        self.engine = _engine(options)
        self.configs = self.engine.resolve(configs)
        for config in self.configs:
            require_room_to_evaluate(config, run_options.loops_to_evaluate, run_options.n_prompts)
        refuse_doubles(self.configs)
        self.identity = grid_identity(self.configs)
        self.origin = Origin.here(self.identity)
        self.store = _open_store(options.engine) if run_options.tracking == "online" else None
        self.standings = self._standings()
        skipped = (DONE_BEFORE,) if options.retry_failed else (DONE_BEFORE, FAILED_BEFORE)
        to_train = [
            config
            for config in self.configs
            if self.standings[config.identity].state not in skipped
        ]
        # the longest first, so that none is waited for alone
        self.to_train = sorted(to_train, key=lambda config: -config.steps * config.step_flops)

    def forecast(self) -> str:
        """Say what it would do."""
        from looped.grid.forecast import forecast

        groups = replica_groups(self.to_train, self.options.replicas)
        n_workers, n_threads = self.engine.share(groups)
        text = forecast(
            configs=self.configs,
            groups=groups,
            standings=self.standings,
            b_max=self.run_options.b_max if self.run_options.evaluate else 0,
            n_prompts=self.run_options.n_prompts,
            n_workers=n_workers,
            n_threads=n_threads,
        )
        if self.store is not None:
            from looped.tracking.launcher import note_on_launched

            note = f"```\n{text}\n```"[:LONGEST_NOTE]
            note_on_launched(self.store.client, "grid, dry run", note)
        return text

    def run(self, stop_request: StopRequest) -> int:
        """Train what is left; return the exit code.

        Raises:
            FolderInUseError: another process runs this grid.
            TrackingError: MLflow cannot be reached.
        """
        stop_request.listen()  # Ray may have taken the signals
        if not self.to_train and self.store is None:  # nothing that a new logbook would tell
            ledger = Ledger(self.configs, self.standings)
            return self._say(ledger, stop_request, is_told=True)
        folder = GridFolder(self.root, self.identity)
        try:
            name = f"grid of {len(self.configs)} trainings"
            folder.begin(name, self.lists, self.origin.tags)
            logbook = Logbook(folder, self.store)
            ledger = Ledger(self.configs, self.standings, self.origin.commit)
            logbook.show(ledger)
            print(ledger.summary(), flush=True)
            try:
                self._train(NewsDesk(ledger, logbook, stop_request))
                if self.store is not None and logbook.parent is not None:
                    parents = {self.identity: logbook.parent}
                    _tell_untold(ledger, self.store, self.root, parents, self.run_options)
            except BaseException as error:
                logbook.end(ledger, "KILLED", repr(error))
                raise
            status = "FINISHED" if ledger.is_done else "KILLED" if stop_request() else "FAILED"
            is_told = logbook.end(ledger, status, ledger.summary())
        finally:
            folder.close()
        return self._say(ledger, stop_request, is_told)

    def _standings(self) -> dict[str, Standing]:
        if self.store is None:
            standings = {
                config.identity: standing_on_disk(self.root, config) for config in self.configs
            }
            if self.run_options.resume != "same_code":
                return standings
            for config in self.configs:
                before = Origin.read(run_path(self.root, config))
                if is_fresh("same_code", before, self.origin):
                    standings[config.identity] = Standing(state=TO_DO)
            return standings
        from looped.grid.known_runs import standings_in_store
        from looped.tracking.store import reachable

        commit = self.origin.commit if self.run_options.resume == "same_code" else None
        with reachable():
            return standings_in_store(self.store, self.configs, self.root, commit)

    def _train(self, desk: NewsDesk) -> None:
        if not self.to_train:
            return
        nest = Nest(self.identity, desk.logbook.parent, PATIENCE)
        options = replace(self.run_options, runs_dir=str(self.root))
        work = partial(work_through, options=options, nest=nest)
        groups = replica_groups(self.to_train, self.options.replicas)
        self.engine.run(groups, work, self.store, desk)

    def _say(self, ledger: Ledger, stop_request: StopRequest, is_told: bool) -> int:
        print(ledger.summary())
        counts = ledger.counts
        if counts.get(FAILED_BEFORE) and not self.options.retry_failed:
            print("-P retry_failed=true tries again what failed before", file=sys.stderr)
        if counts.get(UNTOLD) or not is_told:
            command = f"mlflow run . -e import_runs -P path={self.root}"
            print(f"MLflow does not know all of it: {command} tells it", file=sys.stderr)
        if stop_request() and not ledger.is_done:
            print("the same command goes on", file=sys.stderr)
            return stop_request.exit_code
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
    ledger: Ledger, store: "Store", root: Path, parents: Mapping[str, str], options: RunOptions
) -> None:
    """Tell MLflow of the trainings that it missed, if it is back."""
    from looped.tracking.importer import import_run

    for identity, entry in ledger.entries.items():
        if entry.state != UNTOLD:
            continue
        path = run_path(root, entry.config)
        try:
            run_id = import_run(store, path, parents, options.register).run_id
        except TrackingError as error:
            logger.warning("%s", error)
            return
        ledger.hear(News(identity=identity, state=FINISHED, run_id=run_id))
