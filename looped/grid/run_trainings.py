"""Takes trainings from their folders to finished runs, alone or several together."""

import traceback
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from looped.config import TrainConfig
from looped.grid.options import RunOptions
from looped.grid.threads import kept_threads, running_with
from looped.names import Metric
from looped.records.damage import UnwritableError
from looped.records.first_steps import begin_with_shorter
from looped.records.folder import LOOKED_AT_SECONDS, FolderInUseError, RunFolder, run_path
from looped.records.journal import TrackingError
from looped.records.origin import Origin
from looped.tracking.conclusion import conclude
from looped.training.curve import DivergedError
from looped.training.watcher import Ending, Stopped, Watcher

if TYPE_CHECKING:
    from looped.tracking.tracker import Tracker
    from looped.training.trained import Trained


@dataclass(frozen=True)
class Nest:
    """What a training is part of.

    Attributes:
        grid: identity of its grid.
        parent: the grid's MLflow run, while MLflow has one.
        patience: seconds to wait for another process to leave its folder.
        flops: of all trainings of the grid, which compile kernels once for each machine.
    """

    grid: str | None = None
    parent: str | None = None
    patience: float = LOOKED_AT_SECONDS
    flops: int = 0


ALONE = Nest()


def run_trainings(
    configs: Sequence[TrainConfig], options: RunOptions, watcher: Watcher, nest: Nest = ALONE
) -> list[Ending]:
    """Train together; evaluate, record and register each. None stops another.

    Args:
        configs: resolved; such as can train as one program.
        options: the same for all.
        watcher: is told of each, and asked whether to stop, which ends all as KILLED.
        nest: the grid that they are part of.

    Returns:
        An ending for each training, in their order.
    """
    endings: dict[str, Ending] = {}

    def end(ending: Ending) -> None:
        endings[ending.config.identity] = ending
        watcher.ended(ending)

    with ExitStack() as stack:
        trainings = []
        for config in configs:
            try:
                training = stack.enter_context(_OpenTraining(config, options, nest))
            except (ValueError, FolderInUseError, TrackingError, UnwritableError) as error:
                end(Ending(config=config, status="REFUSED", reason=str(error)))
            else:
                trainings.append(training)
                watcher.opened(config, training.run_id)
        # those that began with other threads train apart: they go on with theirs
        for threads in dict.fromkeys(training.threads for training in trainings):
            part = [training for training in trainings if training.threads == threads]
            with running_with(threads):
                results = _train_or_find_fault(part, options, watcher)
            for training, result in zip(part, results, strict=True):
                end(training.close_with(result))
    return [endings[config.identity] for config in configs]


def _train_or_find_fault(
    trainings: Sequence["_OpenTraining"], options: RunOptions, watcher: Watcher
) -> "Sequence[Trained | Exception]":
    """Train as one program; one by one if that fails, to find whose error it is."""
    from looped.training import loop

    try:
        return loop.train_together(
            [training.config for training in trainings],
            [training.folder for training in trainings],
            watcher,
            options.b_max if options.evaluate else 0,
            options.n_prompts,
        )
    except (Stopped, UnwritableError) as stop:  # a full disk is nobody's fault
        return [stop] * len(trainings)
    except Exception as error:
        if len(trainings) == 1:
            return [error]
        return [
            result
            for training in trainings
            for result in _train_or_find_fault([training], options, watcher)
        ]


class _OpenTraining:
    """A training that is open: its folder is locked and MLflow follows its journal.

    Attributes:
        threads: that it goes on with; None where it is free to choose.

    Raises:
        FolderInUseError: another process trains it.
        TrackingError: MLflow cannot be reached, and the training is of no grid, which would
            tell it later.
        ValueError: it was begun on another device.
    """

    def __init__(self, config: TrainConfig, options: RunOptions, nest: Nest) -> None:
        self.config = config
        self.options = options
        root, origin = options.runs_folder, Origin.here(nest.grid)
        fresh = is_fresh(options.resume, Origin.read(run_path(root, config)), origin)
        self.folder = RunFolder(root, config, fresh, nest.patience)
        self.tracker: Tracker | None = None
        self.problems: list[str] = []
        self._has_ended = False
        self._unwritten = ""  # why the journal does not hold its end
        try:
            if options.resume == "never":
                origin.write(self.folder.path)
            else:
                code = origin.code if options.resume == "same_code" else None
                begin_with_shorter(self.folder, config, origin, code)
            self.threads = kept_threads(self.folder.path) if config.device == "cpu" else None
            if options.tracking == "online":
                self._open_tracker(nest.parent)
        except BaseException:
            self.folder.close()
            raise

    def __enter__(self) -> "_OpenTraining":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._has_ended:
            self._finish("KILLED", repr(error))
        with suppress(UnwritableError):  # said when its end was written
            self.folder.close()

    @property
    def run_id(self) -> str:
        """The MLflow run; empty where there is none."""
        return self.tracker.run_id if self.tracker else ""

    def close_with(self, result: "Trained | Exception") -> Ending:
        """Record what came of the training."""
        registered = unregistered = note = ""
        if isinstance(result, Exception):
            is_stop = isinstance(result, Stopped)
            is_foreseen = is_stop or isinstance(result, DivergedError | UnwritableError)
            status, reason = ("KILLED" if is_stop else "FAILED"), str(result)
            if not is_foreseen:
                reason = repr(result)
                traceback.print_exception(result)
        else:
            try:
                conclusion = conclude(self.config, self.folder, self.tracker, self.options.register)
                status, reason, note = "FINISHED", conclusion.reason, conclusion.note
                registered, unregistered = conclusion.registered, conclusion.unregistered
                self.problems += conclusion.problems
            except UnwritableError as error:
                status, reason = "FAILED", str(error)
            except Exception as error:
                status, reason = "FAILED", repr(error)
                traceback.print_exc()
        is_told = self._finish(status, reason, note)
        if (
            self._unwritten and status == "FINISHED"
        ):  # the same command ends it, from its checkpoint
            status, reason = "FAILED", self._unwritten
        return Ending(
            config=self.config,
            status=status,
            reason=reason,
            run_id=self.run_id,
            is_told=is_told,
            nmse=None if isinstance(result, Exception) else result.outcome[Metric.NMSE],
            problems=tuple(self.problems),
            where_to_look=self.tracker.where_to_look if self.tracker else "",
            registered=registered,
            unregistered=unregistered,
            numbers={} if isinstance(result, Exception) else result.outcome,
            folder=str(self.folder.path),
        )

    def _open_tracker(self, parent: str | None) -> None:
        from looped.tracking.opening import open_run

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
            try:
                self.folder.journal.append("end", status=status, reason=reason)
                self.folder.journal.sync()
            except UnwritableError as error:
                self._unwritten = str(error)
            return False
        try:
            self.tracker.finish(status, reason, note)
        except TrackingError as error:
            self.problems.append(str(error))
            return False
        return True


def is_fresh(resume: str, before: Origin | None, now: Origin) -> bool:
    """Tell whether a training begins anew, by the ``resume`` setting and who left what is there."""
    is_foreign = before is not None and not before.is_surely_of(now.code)
    return resume == "never" or (resume == "same_code" and is_foreign)
