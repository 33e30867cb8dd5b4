"""The local engine: processes of this machine that take groups of trainings in turn."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from looped.config import TrainConfig
from looped.grid.engines.engine import After, Desk, ShouldStop, Work, environment
from looped.grid.options import GridOptions
from looped.grid.records.ledger import ENDED, KILLED, News
from looped.grid.stopping import StopRequest
from looped.training.resolve import resolve

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

SECONDS_BETWEEN_TICKS = 1.0


@dataclass
class _Worker:
    process: SpawnProcess
    connection: "Connection[Any, Any]"
    unended: set[str] = field(default_factory=set)  # identities of its trainings
    is_asked_to_stop: bool = False


def run_locally(
    groups: Sequence[Sequence[TrainConfig]],
    work: Work,
    watch_signals: Callable[[], ShouldStop],
    n_workers: int,
    n_threads: int,
    desk: Desk,
    after: After | None = None,
) -> None:
    """Give each group of trainings to the next free worker process, until all have ended.

    The trainings of a worker that dies count as killed, and another takes its place.

    Args:
        groups: trainings that run together, in the order in which to begin them.
        work: what a worker does with a group.
        watch_signals: called once in each worker; what it returns says there when to stop.
        n_workers: processes.
        n_threads: threads of each process.
        desk: hears here all that the workers say; where it says to stop, the workers are asked
            to do so in good order, and this returns when they have.
        after: which trainings begin only once another one has ended, well or not.
    """
    queue = list(groups)
    workers: list[_Worker] = []
    ticked_at = time.monotonic()
    try:
        while queue or any(worker.unended for worker in workers):
            if desk.should_stop():
                queue.clear()
                _ask_to_stop(workers)
            for worker in workers:
                if not worker.unended:
                    _give(worker, queue, _first_free(queue, workers, after or {}))
            while len(workers) < n_workers and _first_free(queue, workers, after or {}) is not None:
                workers.append(_start(work, watch_signals, n_threads))
                _give(workers[-1], queue, _first_free(queue, workers, after or {}))
            for worker in [worker for worker in workers if not _listen(worker, desk)]:
                workers.remove(worker)
            sources = [worker.connection for worker in workers]
            wait(sources, timeout=SECONDS_BETWEEN_TICKS)
            if time.monotonic() - ticked_at >= SECONDS_BETWEEN_TICKS:
                ticked_at = time.monotonic()
                desk.tick()
    except BaseException:
        _ask_to_stop(workers)
        raise
    finally:
        for worker in workers:
            worker.connection.close()  # what an idle worker takes as the end
        for worker in workers:
            worker.process.join()


def _start(work: Work, watch_signals: Callable[[], ShouldStop], n_threads: int) -> _Worker:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(
        target=_serve, args=(there, work, watch_signals, n_threads), name="looped worker"
    )
    process.start()
    there.close()
    return _Worker(process, here)


def _first_free(
    queue: Sequence[Sequence[TrainConfig]], workers: Sequence[_Worker], after: After
) -> int | None:
    running: set[str] = set().union(*(worker.unended for worker in workers))
    return first_free(queue, running, after)


def first_free(
    queue: Sequence[Sequence[TrainConfig]], running: set[str], after: After
) -> int | None:
    """Return the place of the first group that waits for none that is queued or runs, if any."""
    if not queue or not after:
        return 0 if queue else None
    unended = running.union(config.identity for group in queue for config in group)
    places = (
        place
        for place, group in enumerate(queue)
        if not any(after.get(config.identity) in unended for config in group)
    )
    return next(places, None)


def _give(worker: _Worker, queue: list[Sequence[TrainConfig]], place: int | None) -> None:
    if place is None:
        return
    group = queue.pop(place)
    try:
        worker.connection.send(group)
    except (BrokenPipeError, ConnectionResetError):  # it died idle: the group is the next one's
        queue.insert(place, group)
    else:
        worker.unended = {config.identity for config in group}


def _listen(worker: _Worker, desk: Desk) -> bool:
    """Hear what a worker has said so far; tell whether it is still there."""
    try:
        while worker.connection.poll():
            news = worker.connection.recv()
            if news.state in ENDED:
                worker.unended.discard(news.identity)
            desk.hear(news)
    except (EOFError, ConnectionResetError):
        worker.process.join()
        reason = _death(worker.process.exitcode)
        for identity in worker.unended:
            desk.hear(News(identity=identity, state=KILLED, reason=reason))
        worker.unended.clear()
        worker.connection.close()
        return False
    return True


def _ask_to_stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if not worker.is_asked_to_stop and worker.unended:
            worker.is_asked_to_stop = True
            worker.process.terminate()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"its worker died of {signal.Signals(-code).name}"
    return f"its worker ended with code {code}"


def _serve(
    connection: "Connection[Any, Any]",
    work: Work,
    watch_signals: Callable[[], ShouldStop],
    n_threads: int,
) -> None:
    """Take groups until the grid closes the connection, or is gone."""
    should_stop = watch_signals()
    import torch

    torch.set_num_threads(n_threads)

    def send(news: News) -> None:
        # a grid that is gone stops this worker through ``should_stop``
        try:
            connection.send(news)
        except (BrokenPipeError, ConnectionResetError):
            return

    while not should_stop():
        try:
            group = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        work(group, send, should_stop)


class LocalEngine:
    """Processes of this machine."""

    def __init__(self, options: GridOptions) -> None:
        self._workers = options.workers

    def resolve(self, configs: Sequence[TrainConfig]) -> list[TrainConfig]:
        work = sum(config.steps * config.step_flops for config in configs)
        return [resolve(config, work) for config in configs]

    def threads(self, groups: Sequence[Sequence[TrainConfig]]) -> int:
        # On a CPU a training is too small to keep several cores busy, so there are as many
        # processes as cores. A GPU takes one process unless told otherwise.
        n_cores = len(os.sched_getaffinity(0))
        automatic = 1 if _on_gpu(groups) else n_cores
        return max(1, n_cores // max(1, min(self._workers or automatic, len(groups))))

    def at_once(self, groups: Sequence[Sequence[TrainConfig]], n_threads: int) -> int:
        n_cores = len(os.sched_getaffinity(0))
        automatic = 1 if _on_gpu(groups) else n_cores // n_threads
        return max(1, min(self._workers or automatic, len(groups)))

    def run(
        self,
        groups: Sequence[Sequence[TrainConfig]],
        work: Work,
        store: "Store | None",
        desk: Desk,
        n_threads: int,
        after: After,
    ) -> None:
        os.environ.update(environment(store))
        watch_signals = partial(StopRequest, has_launcher=True)
        n_workers = self.at_once(groups, n_threads)
        run_locally(groups, work, watch_signals, n_workers, n_threads, desk, after)


def _on_gpu(groups: Sequence[Sequence[TrainConfig]]) -> bool:
    return bool(groups) and groups[0][0].device == "cuda"
