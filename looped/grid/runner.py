"""Works through a grid: plans, trains what is left, and keeps its logbook."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from looped.config import TrainConfig
from looped.counting import counted
from looped.evaluation.task_check import require_sound
from looped.grid.closing import import_command_of, say_last, shortfalls, summarise
from looped.grid.engines.choice import is_of_one_machine, make_engine, require_reachable
from looped.grid.engines.engine import work_through
from looped.grid.inputs.input_file import InputFile
from looped.grid.inputs.kept import keep_inputs
from looped.grid.lists import grid_identity, refuse_doubles
from looped.grid.options import GridOptions, RunOptions
from looped.grid.plan import left_to_do, standings_before
from looped.grid.records.balance import (
    Balance,
    balance_with_journals,
    balance_with_store,
    tell,
)
from looped.grid.records.folder import PREFIX, DamagedGridError, GridFacts, GridFolder, read_facts
from looped.grid.records.ledger import LONGEST_NOTE, UNTOLD, Ledger, News
from looped.grid.records.logbook import Logbook, NewsDesk
from looped.grid.run_trainings import Nest
from looped.grid.stopping import StopRequest
from looped.grid.timing.planner import Planner
from looped.names import Tag
from looped.records.journal import TrackingError
from looped.records.origin import Origin
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
        inputs: files that say what is trained, to be kept with it.

    Attributes:
        ledger: where its trainings stand.
        parent: its MLflow run; None where there is none.
        planner: says how long it takes.
        shortfalls: lines about what MLflow lacks at its end.

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
        inputs: Sequence[InputFile] = (),
    ) -> None:
        self.options, self.run_options, self.lists = options, run_options, lists
        self._claim_rules, self._inputs = claim_rules, inputs
        self.root = run_options.runs_folder.absolute()
        self.engine = make_engine(options)
        self.configs = self.engine.resolve(configs)
        for config in self.configs:
            require_sound(config.task_config, config.n_examples)  # workers elsewhere would ask late
            if options.engine == "local":  # each other machine is asked for its own memory
                n_loops = run_options.loops_to_evaluate
                require_room_to_evaluate(config, n_loops, run_options.n_prompts)
        refuse_doubles(self.configs)
        self.identity = grid_identity(self.configs)
        self.origin = Origin.here(self.identity)
        self.store = _open_store(options.engine) if run_options.tracking == "online" else None
        self._import_command = import_command_of(self.store, self.root)
        self.standings = standings_before(
            self.configs, self.store, self.root, run_options.resume, self.origin
        )
        self.to_train, self._untold, self._after = left_to_do(
            self.configs, self.standings, options, run_options, self.origin
        )
        self.planner = Planner(self.engine, options, run_options, self.standings, self._after)
        self.ledger = Ledger(self.configs, self.standings)
        self.parent: str | None = None
        self.shortfalls: list[str] = []

    def forecast(self, further: str = "") -> str:
        """Say what it would do, and whatever further there is to say of it."""
        from looped.grid.timing.forecast import listing, time_line

        n_threads = self._threads(self._facts())
        lines = self._keep_budget(n_threads)
        plan = self.planner.plan(self.to_train, n_threads)
        text = listing(self.configs, plan)
        # nodes of Slurm are not this machine, whose speed says little
        if self.options.engine == "slurm":
            lines.append(f"to submit: {counted(len(plan.groups), 'job')} of Slurm")
        elif self.to_train:
            lines.append(time_line(plan, self.planner.measure(plan)))
        text = "\n".join(filter(None, (text, *lines, further)))
        if self.store is not None:
            from looped.tracking.launcher import discard_launched

            note = f"```\n{text}\n```"[:LONGEST_NOTE]
            reason = "a dry run: nothing was trained"
            discard_launched(self.store.client, "grid, dry run", note, reason)
        return text

    def _keep_budget(self, n_threads: int) -> list[str]:
        """Leave out what the budget does not hold; say what that is."""
        if self.options.budget is None:
            return []
        self.to_train, lines = self.planner.keep_budget(self.to_train, n_threads)
        self.ledger = Ledger(self.configs, self.standings)
        return lines

    def run(self, stop_request: StopRequest) -> int:
        """Train what is left; return the exit code.

        Raises:
            BudgetError: not even the shortest training fits into the budget.
            FolderInUseError: another process runs this grid.
            TrackingError: MLflow cannot be reached.
        """
        stop_request.listen()  # Ray may have taken the signals
        is_left = bool(self.to_train or self._untold)
        if not is_left and self.store is None:  # nothing that a new logbook would tell
            return self._say(stop_request, Balance())
        folder = GridFolder(self.root, self.identity)
        try:
            if self.store is not None:
                self._settle(folder, self.store)
            facts = folder.facts_if_whole
            threads = self._threads(facts)
            name = f"grid of {counted(len(self.configs), 'training')}"
            origin = self.origin.tags | self._rules_to_keep(folder, facts)
            for line in [*keep_inputs(folder, self._inputs), *self._keep_budget(threads)]:
                print(line, flush=True)
            is_look = folder.has_begun and self.engine.is_under_way(folder.path, self.to_train)
            if not is_look:
                folder.begin(name, self.lists, origin, threads)
            logbook = Logbook(folder, self.store, goes_on=is_look)
            self.parent = logbook.parent
            self.ledger = ledger = Ledger(self.configs, self.standings, self.origin.commit)
            logbook.show(ledger)
            print(ledger.summary(), flush=True)
            try:
                self._train(logbook, stop_request, threads)
                balance, closing = self._balance(ledger, logbook.parent), ""
                if balance.finished:
                    closing = logbook.closing(ledger, balance.finished)
                if self.store is not None and not stop_request():
                    summarise(self.store, self.configs, self.standings)
            except BaseException as error:
                logbook.end(ledger, "KILLED", repr(error))
                raise
            is_well = ledger.is_done and not balance.problem
            is_let_go = stop_request() or ledger.is_under_way
            status = "FINISHED" if is_well else "KILLED" if is_let_go else "FAILED"
            if not logbook.end(ledger, status, ledger.summary(), closing) and not balance.problem:
                balance = replace(balance, problem="the end of the grid could not be told")
        finally:
            folder.close()
        if self.store is not None:
            from looped.tracking.ui import links

            print(links.written(links.of_grid(self.store, logbook.parent)), flush=True)
        return self._say(stop_request, balance)

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
        from looped.grid.records.parent_run import settle_parent
        from looped.tracking.stores.store import reachable

        try:
            with reachable():
                settle_parent(store, folder)
        except DamagedGridError as error:
            logger.warning("%s", error)

    def _tell_now(self) -> Callable[[str], None] | None:
        """Return what tells MLflow of a training as it ends, where its worker could not."""
        if self.store is None or self.options.engine != "slurm":
            return None

        def tell_of(identity: str) -> None:
            assert self.store is not None
            parents = {} if self.parent is None else {self.identity: self.parent}
            try:
                tell(self.ledger, identity, self.store, self.root, parents, self.run_options)
            except TrackingError as error:  # the end of the grid tries again
                logger.warning("MLflow is away (%s)", error)

        return tell_of

    def _balance(self, ledger: Ledger, parent: str | None) -> Balance:
        if self.store is None:
            return balance_with_journals(ledger, self.root)
        return balance_with_store(
            ledger, self.store, self.root, parent, self.run_options, self.identity
        )

    def _facts(self) -> GridFacts | None:
        try:
            return read_facts(self.root / f"{PREFIX}{self.identity}")
        except DamagedGridError:
            return None

    def _threads(self, facts: GridFacts | None) -> int:
        """Say with how many threads each training runs: as the grid was begun, if it was.

        All trainings count, not those that are left, so that it is the same whatever is done.
        """
        threads = self.engine.threads(self.engine.groups(self.configs, self.options.replicas))
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

    def _train(self, logbook: Logbook, stop_request: StopRequest, n_threads: int) -> None:
        if not self.to_train and not self._untold:
            return
        from looped.grid.timing.forecast import is_worth_measuring, outlook
        from looped.grid.timing.progress import GridProgress

        plan = self.planner.plan(self.to_train, n_threads)
        # of other machines nothing is known here
        if self.options.engine == "local" and (self.planner.speeds or is_worth_measuring(plan)):
            for line in outlook(plan, self.planner.measure(plan)):
                print(line, flush=True)
        progress = GridProgress(self.ledger, plan, self.planner.speeds)
        desk = NewsDesk(self.ledger, logbook, stop_request, progress, self._tell_now())
        for config in self._untold:
            reason = self.standings[config.identity].reason
            desk.hear(News(identity=config.identity, state=UNTOLD, reason=reason))
        if not self.to_train:
            return
        flops = sum(config.steps * config.step_flops for config in self.configs)
        nest = Nest(self.identity, logbook.parent, PATIENCE, flops)
        options = replace(self.run_options, runs_dir=str(self.root))
        if self.options.engine == "slurm" and self.store and is_of_one_machine(self.store):
            options = replace(options, tracking="offline")  # their news are told from here
        work = partial(work_through, options=options, nest=nest)
        try:
            self.engine.run(plan.groups, work, self.store, desk, n_threads, self._after)
        finally:
            desk.progress.close()

    def _say(self, stop_request: StopRequest, balance: Balance) -> int:
        self.shortfalls = shortfalls(self.ledger, balance, self._import_command)
        is_well = not (balance.problem or self.ledger.unregistered)
        return say_last(
            self.ledger, stop_request, self.shortfalls, is_well, self.options.retry_failed
        )


def _open_store(engine: str) -> "Store":
    from looped.tracking.stores.artifacts import require_writable
    from looped.tracking.stores.store import open_store, reachable

    store = open_store()
    with reachable():
        require_writable(*store)
    require_reachable(engine, store)
    return store
