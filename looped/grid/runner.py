"""Works through a grid: plans, trains what is left, and keeps its logbook."""

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looped.config import TrainConfig
from looped.counting import counted
from looped.evaluation.task_check import require_sound
from looped.grid.balance import Balance, balance_with_journals, balance_with_store
from looped.grid.engines.engine import Engine, work_through
from looped.grid.engines.local_engine import LocalEngine
from looped.grid.folder import PREFIX, DamagedGridError, GridFacts, GridFolder, read_facts
from looped.grid.ledger import DONE, LONGEST_NOTE, UNTOLD, Ledger
from looped.grid.lengths import in_order, plan_first_steps
from looped.grid.lists import grid_identity, refuse_doubles
from looped.grid.logbook import Logbook, NewsDesk
from looped.grid.options import GridOptions, RunOptions
from looped.grid.run_trainings import Nest, is_fresh
from looped.grid.standing import DONE_BEFORE, FAILED_BEFORE, TO_DO, Standing, standing_on_disk
from looped.grid.stopping import StopRequest
from looped.names import Tag
from looped.records.folder import run_path
from looped.records.origin import Origin
from looped.rules import require
from looped.training.groups import replica_groups
from looped.training.memory_needs import require_room_to_evaluate

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

PATIENCE = 60.0  # seconds that the workers of a killed grid may take to leave

logger = logging.getLogger("looped")


class GridRunner:
    """A grid from its plan to its end.

    Args:
        configs: of the trainings asked for, not yet resolved.
        lists: what they were made from, to be logged.
        options: how to work through them.
        run_options: how to train each.
        claim_rules: what its runs will be judged by, to be kept before the first is trained;
            empty for nothing.

    Attributes:
        ledger: where its trainings stand.
        parent: its MLflow run; None where there is none.

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
        claim_rules: str = "",
    ) -> None:
        self.options, self.run_options, self.lists = options, run_options, lists
        self._claim_rules = claim_rules
        self.root = run_options.runs_folder.absolute()
        self.engine = _engine(options)
        self.configs = self.engine.resolve(configs)
        for config in self.configs:
            require_sound(config.task_config, config.n_examples)  # workers elsewhere would ask late
            require_room_to_evaluate(config, run_options.loops_to_evaluate, run_options.n_prompts)
        refuse_doubles(self.configs)
        self.identity = grid_identity(self.configs)
        self.origin = Origin.here(self.identity)
        self.store = _open_store(options.engine) if run_options.tracking == "online" else None
        self._import_command = _import_command(self.store, self.root)
        self.standings = self._standings()
        skipped = (DONE_BEFORE,) if options.retry_failed else (DONE_BEFORE, FAILED_BEFORE)
        to_train = [
            config
            for config in self.configs
            if self.standings[config.identity].state not in skipped
        ]
        self._after: dict[str, str] = {}
        if options.engine == "local" and run_options.resume != "never":
            code = self.origin.code if run_options.resume == "same_code" else None
            self._after = plan_first_steps(to_train, self.standings, self.root, code)
        self.ledger = Ledger(self.configs, self.standings)
        self.parent: str | None = None
        self.to_train = in_order(to_train, self._after)

    def forecast(self, further: str = "") -> str:
        """Say what it would do, and whatever further there is to say of it."""
        from looped.grid.forecast import forecast

        plan = self._plan(self._threads(self._facts()))
        text = forecast(configs=self.configs, **plan)
        text = "\n".join(filter(None, (text, further)))
        if self.store is not None:
            from looped.tracking.launcher import discard_launched

            note = f"```\n{text}\n```"[:LONGEST_NOTE]
            reason = "a dry run: nothing was trained"
            discard_launched(self.store.client, "grid, dry run", note, reason)
        return text

    def _plan(self, n_threads: int) -> dict[str, Any]:
        """Say what is left to train and how: what ``forecast`` and ``outlook`` take."""
        groups = replica_groups(self.to_train, self.options.replicas)
        return {
            "groups": groups,
            "standings": self.standings,
            "b_max": self.run_options.b_max if self.run_options.evaluate else 0,
            "n_prompts": self.run_options.n_prompts,
            "n_workers": self.engine.at_once(groups, n_threads),
            "n_threads": n_threads,
            "after": self._after,
        }

    def run(self, stop_request: StopRequest) -> int:
        """Train what is left; return the exit code.

        Raises:
            FolderInUseError: another process runs this grid.
            TrackingError: MLflow cannot be reached.
        """
        stop_request.listen()  # Ray may have taken the signals
        if not self.to_train and self.store is None:  # nothing that a new logbook would tell
            return self._say(self.ledger, stop_request, Balance())
        folder = GridFolder(self.root, self.identity)
        try:
            if self.store is not None:
                self._settle(folder, self.store)
            facts = folder.facts_if_whole
            threads = self._threads(facts)
            name = f"grid of {counted(len(self.configs), 'training')}"
            origin = self.origin.tags | self._rules_to_keep(folder, facts)
            folder.begin(name, self.lists, origin, threads)
            logbook = Logbook(folder, self.store)
            self.parent = logbook.parent
            self.ledger = ledger = Ledger(self.configs, self.standings, self.origin.commit)
            logbook.show(ledger)
            print(ledger.summary(), flush=True)
            try:
                self._train(NewsDesk(ledger, logbook, stop_request), threads)
                balance, closing = self._balance(ledger, logbook.parent), ""
                if balance.finished:
                    closing = logbook.closing(ledger, balance.finished)
                if self.store is not None and not stop_request():
                    self._show_cells(self.store)
            except BaseException as error:
                logbook.end(ledger, "KILLED", repr(error))
                raise
            is_well = ledger.is_done and not balance.problem
            status = "FINISHED" if is_well else "KILLED" if stop_request() else "FAILED"
            if not logbook.end(ledger, status, ledger.summary(), closing) and not balance.problem:
                balance = replace(balance, problem="the end of the grid could not be told")
        finally:
            folder.close()
        if self.store is not None:
            from looped.tracking.ui import links

            print(links.written(links.of_grid(self.store, logbook.parent)), flush=True)
        return self._say(ledger, stop_request, balance)

    def _rules_to_keep(self, folder: GridFolder, facts: GridFacts | None) -> dict[str, str]:
        """Return the rules as a tag: as the grid was begun, or as they are if it begins.

        A grid that was begun without them has no rules from before its first training.
        """
        is_begun = folder.has_begun and self.run_options.resume != "never"
        rules_before = (facts.origin if facts else {}).get(Tag.CLAIM_RULES, "")
        rules = rules_before if is_begun else self._claim_rules
        return {Tag.CLAIM_RULES: rules} if rules else {}

    def _settle(self, folder: GridFolder, store: "Store") -> None:
        """End what the process before this one left."""
        from looped.grid.parent_run import settle_parent
        from looped.tracking.stores.store import reachable

        try:
            with reachable():
                settle_parent(store, folder)
        except DamagedGridError as error:
            logger.warning("%s", error)

    def _balance(self, ledger: Ledger, parent: str | None) -> Balance:
        if self.store is None:
            return balance_with_journals(ledger, self.root)
        return balance_with_store(
            ledger, self.store, self.root, parent, self.run_options, self.identity
        )

    def _show_cells(self, store: "Store") -> None:
        from looped.tracking.ui.cells import show_cells

        show_cells(store, self.configs)

    def _facts(self) -> GridFacts | None:
        try:
            return read_facts(self.root / f"{PREFIX}{self.identity}")
        except DamagedGridError:
            return None

    def _threads(self, facts: GridFacts | None) -> int:
        """Say with how many threads each training runs: as the grid was begun, if it was.

        All trainings count, not those that are left, so that it is the same whatever is done.
        """
        threads = self.engine.threads(replica_groups(self.configs, self.options.replicas))
        if facts is None or facts.threads is None or self.run_options.resume == "never":
            return threads
        if facts.threads != threads and self.to_train:
            logger.warning(
                "threads of a training: %d, as the grid was begun (%d would be taken now, "
                "and resume=never takes it)",
                facts.threads,
                threads,
            )
        return facts.threads

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
        from looped.tracking.stores.store import reachable

        code = self.origin.code if self.run_options.resume == "same_code" else None
        with reachable():
            return standings_in_store(self.store, self.configs, self.root, code)

    def _train(self, desk: NewsDesk, n_threads: int) -> None:
        if not self.to_train:
            return
        if self.options.engine == "local":  # of other machines nothing is known here
            from looped.grid.forecast import outlook

            for line in outlook(**self._plan(n_threads)):
                print(line, flush=True)
        nest = Nest(self.identity, desk.logbook.parent, PATIENCE)
        options = replace(self.run_options, runs_dir=str(self.root))
        work = partial(work_through, options=options, nest=nest)
        groups = replica_groups(self.to_train, self.options.replicas)
        try:
            self.engine.run(groups, work, self.store, desk, n_threads, self._after)
        finally:
            desk.progress.close()

    def _say(self, ledger: Ledger, stop_request: StopRequest, balance: Balance) -> int:
        """Say what came, what the store lacks last; return the exit code."""
        print(ledger.summary(), flush=True)
        counts = ledger.counts
        if counts.get(FAILED_BEFORE) and not self.options.retry_failed:
            print("-P retry_failed=true tries again what failed before", file=sys.stderr)
        is_stopped = stop_request() and not ledger.is_done
        if is_stopped:
            print("give the same command to go on", file=sys.stderr)
        command = self._import_command
        n_untold = counts.get(UNTOLD, 0)
        if balance.problem:
            print(f"MLflow may not hold all of it ({balance.problem}): {command} tells it "
                  "what it lacks", file=sys.stderr)  # fmt: skip
        elif n_untold:
            n_done = sum(counts.get(state, 0) for state in (*DONE, UNTOLD))
            print(f"MLflow holds {n_done - n_untold:,} of the {n_done:,} trainings that are done: "
                  f"{command} tells it the others", file=sys.stderr)  # fmt: skip
        elif balance.n_missing:
            print(f"MLflow does not hold {balance.n_missing:,} of the trainings any more, and no "
                  "journal here does: the same command trains them", file=sys.stderr)  # fmt: skip
        if is_stopped:
            return stop_request.exit_code
        return 0 if ledger.is_done and not balance.problem else 1


def _engine(options: GridOptions) -> Engine:
    """Make the engine that was asked for; Ray is an extra that may not be there."""
    if options.engine == "local":
        return LocalEngine(options)
    try:
        from looped.grid.engines.ray_engine import RayEngine
    except ImportError as error:
        raise ValueError(f"engine=ray needs Ray (make ray), got {error}") from None
    return RayEngine(options)


def _import_command(store: "Store | None", root: Path) -> str:
    """Write how to tell of the trainings later; asked for while MLflow is there."""
    if store is None:
        return ""
    from looped.tracking.stores.remedy import import_command
    from looped.tracking.stores.store import reachable

    with reachable():
        return import_command(store, root)


def _open_store(engine: str) -> "Store":
    from looped.tracking.stores.artifacts import require_writable
    from looped.tracking.stores.store import open_store, reachable

    store = open_store()
    with reachable():
        require_writable(*store)
    uri = store.client.tracking_uri
    is_local = uri.partition(":")[0].partition("+")[0] in ("sqlite", "file") or ":" not in uri
    rule = "engine=ray must log to a server that every node reaches (MLFLOW_TRACKING_URI)"
    require(engine != "ray" or not is_local, rule, uri)
    return store
