"""Takes cells of a study from their folders to finished runs, alone or several together."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from looped.config import TrainConfig
from looped.grid.options import CellOptions
from looped.records.folder import (
    LOOKED_AT_SECONDS,
    FolderInUseError,
    RunFolder,
    run_path,
)
from looped.records.journal import TrackingError
from looped.records.origin import Origin
from looped.tracking.conclusion import conclude
from looped.training.curve import DivergedError

if TYPE_CHECKING:
    from looped.tracking.tracker import Tracker
    from looped.training.loop import Trained


class Nest(NamedTuple):
    """The grid that a cell belongs to, and the MLflow run of the grid while MLflow has one."""

    grid: str | None = None
    parent: str | None = None


class Ending(NamedTuple):
    """How a cell ended.

    ``status`` is FINISHED, FAILED or KILLED, as MLflow says it, or REFUSED when it could not
    begin. ``problems`` are the lines to say of what went wrong beside the training.
    """

    config: TrainConfig
    status: str
    reason: str
    run_id: str = ""
    is_told: bool = False
    nmse: float | None = None
    problems: tuple[str, ...] = ()
    where_to_look: str = ""
    registered: str = ""


Watch = Callable[[TrainConfig, int, Mapping[str, float]], None]
WatchEvaluation = Callable[[TrainConfig, int, int], None]
ALONE = Nest()


def run_cells(
    configs: Sequence[TrainConfig],
    options: CellOptions,
    should_stop: Callable[[], bool],
    watch: Watch,
    watch_evaluation: WatchEvaluation,
    nest: Nest = ALONE,
    on_open: Callable[[TrainConfig, str], None] = lambda config, run_id: None,
    on_end: Callable[[Ending], None] = lambda ending: None,
    patience: float = LOOKED_AT_SECONDS,
) -> list[Ending]:
    """Train cells together; evaluate, record and register each. None stops another.

    Args:
        configs: resolved; cells that can train as one program.
        options: the same for all.
        should_stop: asked after every step; True saves checkpoints and ends all as KILLED.
        watch: called with the cell, the step and the values of each point of its curve.
        watch_evaluation: called with the cell, the prompts that are done and all of them.
        nest: the grid that they are cells of.
        on_open: called with each cell that begins and its MLflow run.
        on_end: called with each ending, in the order of the endings.
        patience: seconds to wait for another process to leave a cell's folder.

    Returns:
        An ending for each cell, in their order.
    """
    endings: dict[str, Ending] = {}

    def end(ending: Ending) -> None:
        endings[ending.config.identity] = ending
        on_end(ending)

    with ExitStack() as stack:
        cells = []
        for config in configs:
            try:
                cell = stack.enter_context(_Cell(config, options, nest, patience))
            except (ValueError, FolderInUseError, TrackingError) as error:
                end(Ending(config, "REFUSED", str(error)))
            else:
                cells.append(cell)
                on_open(config, cell.run_id)
        results = _train_group(cells, options, watch, should_stop, watch_evaluation)
        for cell, result in zip(cells, results, strict=True):
            end(cell.conclude(result))
    return [endings[config.identity] for config in configs]


def _train_group(
    cells: Sequence["_Cell"],
    options: CellOptions,
    watch: Watch,
    should_stop: Callable[[], bool],
    watch_evaluation: WatchEvaluation,
) -> "Sequence[Trained | Exception]":
    """Train the cells as one program; one by one if that fails, to find whose error it is."""
    from looped.training import loop

    try:
        return loop.train_together(
            [cell.config for cell in cells],
            [cell.folder for cell in cells],
            watch,
            should_stop,
            options.b_max if options.evaluate else 0,
            watch_evaluation,
            options.n_prompts,
        )
    except loop.Stopped as stop:
        return [stop] * len(cells)
    except Exception as error:
        if len(cells) == 1:
            return [error]
        return [
            result
            for cell in cells
            for result in _train_group([cell], options, watch, should_stop, watch_evaluation)
        ]


class _Cell:
    """A cell that is open: its folder is locked and MLflow follows its journal.

    Raises:
        FolderInUseError: another process trains it.
        TrackingError: MLflow cannot be reached, and the cell is of no grid, which would tell
            it later.
        ValueError: it was begun on another device.
    """

    def __init__(
        self, config: TrainConfig, options: CellOptions, nest: Nest, patience: float
    ) -> None:
        self.config = config
        self.options = options
        root, origin = Path(options.runs_dir), Origin.here(nest.grid)
        fresh = is_fresh(options.resume, Origin.read(run_path(root, config)), origin)
        self.folder = RunFolder(root, config, fresh, patience)
        self.tracker: Tracker | None = None
        self.problems: list[str] = []
        self._has_ended = False
        try:
            origin.write(self.folder.path)
            if options.tracking == "online":
                self._open_tracker(nest.parent)
        except BaseException:
            self.folder.close()
            raise

    def __enter__(self) -> "_Cell":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._has_ended:
            self._finish("KILLED", repr(error))
        self.folder.close()

    @property
    def run_id(self) -> str:
        """The MLflow run; empty where there is none."""
        return self.tracker.run_id if self.tracker else ""

    def conclude(self, result: "Trained | Exception") -> Ending:
        """Record what came of the training."""
        from looped.training.loop import Stopped

        registered, note = "", ""
        if isinstance(result, Exception):
            is_stop = isinstance(result, Stopped)
            is_known = is_stop or isinstance(result, DivergedError)
            status, reason = ("KILLED" if is_stop else "FAILED"), str(result)
            if not is_known:
                reason = repr(result)
                traceback.print_exception(result)
        else:
            try:
                status = "FINISHED"
                reason, note, registered, problems = conclude(
                    self.config, self.folder, self.tracker, self.options.register
                )
                self.problems += problems
            except Exception as error:
                status, reason = "FAILED", repr(error)
                traceback.print_exc()
        is_told = self._finish(status, reason, note)
        return Ending(
            self.config,
            status,
            reason,
            self.run_id,
            is_told,
            None if isinstance(result, Exception) else result.outcome["held_out/nmse"],
            tuple(self.problems),
            self.tracker.where_to_look if self.tracker else "",
            registered,
        )

    def _open_tracker(self, parent: str | None) -> None:
        from looped.tracking.tracker import open_run

        try:
            self.tracker = open_run(self.config, self.folder, parent)
        except TrackingError as error:
            if parent is None:
                raise
            self.problems.append(str(error))

    def _finish(self, status: str, reason: str, note: str = "") -> bool:
        """End the run; tell whether MLflow knows."""
        self._has_ended = True
        if self.tracker is None:
            self.folder.journal.append("end", status=status, reason=reason)
            return False
        try:
            self.tracker.finish(status, reason, note)
        except TrackingError as error:
            self.problems.append(str(error))
            return False
        return True


def is_fresh(resume: str, before: Origin | None, now: Origin) -> bool:
    """Tell whether a cell begins anew, by the ``resume`` setting and who left what is there."""
    is_foreign = before is not None and before.commit != now.commit
    return resume == "never" or (resume == "same_code" and is_foreign)
