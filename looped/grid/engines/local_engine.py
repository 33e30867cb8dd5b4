"""The local engine: processes of this machine that take groups of trainings in turn."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looped.config import TrainConfig
from looped.grid.engines.devices import VISIBLE, devices_here, longest_first, part
from looped.grid.engines.engine import After, Desk, ShouldStop, Work, environment
from looped.grid.lengths import first_free
from looped.grid.options import GridOptions
from looped.grid.records.ledger import ENDED, FAILED, KILLED, News
from looped.grid.stopping import StopRequest
from looped.training.groups import replica_groups
from looped.training.resolve import resolve

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

SECONDS_BETWEEN_TICKS = 1.0
SECONDS_TO_LEAVE = 10.0


@dataclass
class _Worker:
    process: SpawnProcess
    connection: "Connection[Any, Any]"
    device: str | None = None  # the GPU that it sees alone; None for whatever there is
    unended: set[str] = field(default_factory=set)  # identities of its trainings
    is_asked_to_stop: bool = False
    is_spent: bool = False  # something failed on its GPU, which may be in no state for more


def run_locally(
    groups: Sequence[Sequence[TrainConfig]],
    work: Work,
    watch_signals: Callable[[], ShouldStop],
    n_workers: int,
    n_threads: int,
    desk: Desk,
    after: After | None = None,
    devices: Sequence[str] = (),
) -> None:
    """Give each group of trainings to the next free worker process, until all have ended.

    The trainings of a worker that dies count as killed, and another takes its place, on its GPU.

    Args:
        groups: trainings that run together, in the order in which to begin them.
        work: what a worker does with a group.
        watch_signals: called once in each worker; what it returns says there when to stop.
        n_workers: processes.
        n_threads: threads of each process.
        desk: hears here all that the workers say; where it says to stop, the workers are asked
            to do so in good order, and this returns when they have.
        after: which trainings begin only once another one has ended, well or not.
        devices: GPUs, by the names that CUDA has for them; each worker sees the one that fewest
            others see. Empty where there are none to share out.
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
                if not worker.unended and not worker.is_spent:
                    _give(worker, queue, _first_free(queue, workers, after or {}))
            while len(workers) < n_workers and _first_free(queue, workers, after or {}) is not None:
                device = _least_taken(devices, workers)
                workers.append(_start(work, watch_signals, n_threads, device))
                _give(workers[-1], queue, _first_free(queue, workers, after or {}))
            for worker in [worker for worker in workers if not _listen(worker, desk)]:
                workers.remove(worker)
            for worker in [each for each in workers if each.is_spent and not each.unended]:
                _dismiss(worker)
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


def _least_taken(devices: Sequence[str], workers: Sequence[_Worker]) -> str | None:
    devices_in_use = [worker.device for worker in workers]
    return min(devices, key=devices_in_use.count, default=None)


def _start(
    work: Work, watch_signals: Callable[[], ShouldStop], n_threads: int, device: str | None
) -> _Worker:
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(
        target=_serve, args=(there, work, watch_signals, n_threads), name="looped worker"
    )
    with _seeing(device):
        process.start()
    there.close()
    return _Worker(process, here, device)


@contextmanager
def _seeing(device: str | None) -> Iterator[None]:
    """Let processes that begin meanwhile see one GPU alone: CUDA asks once, as it is loaded."""
    before = os.environ.get(VISIBLE)
    try:
        if device is not None:
            os.environ[VISIBLE] = device
        yield
    finally:
        if device is not None:
            os.environ.pop(VISIBLE)
            os.environ.update({} if before is None else {VISIBLE: before})


def _first_free(
    queue: Sequence[Sequence[TrainConfig]], workers: Sequence[_Worker], after: After
) -> int | None:
    running: set[str] = set().union(*(worker.unended for worker in workers))
    return first_free(queue, running, after)


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
            if news.state == FAILED and worker.device is not None:
                worker.is_spent = True
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


def _dismiss(worker: _Worker) -> None:
    """End a worker that nothing is left of; its place is another's once it is gone."""
    worker.connection.close()
    worker.process.join(SECONDS_TO_LEAVE)
    worker.process.kill()
    worker.process.join()


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
    """Processes of this machine: one for each core, or for each GPU that may be used.

    Args:
        options: of the grid.
        devices: the GPUs, as ``CUDA_VISIBLE_DEVICES`` names them; None asks CUDA.
    """

    def __init__(self, options: GridOptions, devices: Sequence[str] | None = None) -> None:
        self._workers = options.workers
        self._devices = devices

    @cached_property
    def devices(self) -> Sequence[str]:
        """The GPUs that workers may be given."""
        return devices_here() if self._devices is None else self._devices

    def resolve(self, configs: Sequence[TrainConfig]) -> list[TrainConfig]:
        work = sum(config.steps * config.step_flops for config in configs)
        return [resolve(config, work) for config in configs]

    def groups(self, configs: Sequence[TrainConfig], replicas: str) -> list[list[TrainConfig]]:
        groups = replica_groups(configs, replicas)
        n_workers = self._most_workers(groups)
        if not _on_gpu(groups) or n_workers == 1:
            return groups
        return part(groups, n_workers) if replicas == "auto" else groups

    def is_under_way(self, folder: Path, configs: Sequence[TrainConfig]) -> bool:
        return False  # its workers end with the command

    def threads(self, groups: Sequence[Sequence[TrainConfig]]) -> int:
        # On a CPU a training is too small to keep several cores busy, so there are as many
        # processes as cores. A GPU takes one process unless told otherwise.
        n_cores = len(os.sched_getaffinity(0))
        return max(1, n_cores // max(1, min(self._most_workers(groups), len(groups))))

    def at_once(self, groups: Sequence[Sequence[TrainConfig]], n_threads: int) -> int:
        n_cores = len(os.sched_getaffinity(0))
        automatic = self._most_workers(groups) if _on_gpu(groups) else n_cores // n_threads
        return max(1, min(self._workers or automatic, len(groups)))

    def _most_workers(self, groups: Sequence[Sequence[TrainConfig]]) -> int:
        n_devices = len(self.devices) if _on_gpu(groups) else len(os.sched_getaffinity(0))
        return self._workers or max(1, n_devices)

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
        # one GPU is left as it is: whatever the user set stands
        devices = self.devices if _on_gpu(groups) and len(self.devices) > 1 else ()
        in_order = longest_first(groups, after) if devices else groups
        run_locally(in_order, work, watch_signals, n_workers, n_threads, desk, after, devices)


def _on_gpu(groups: Sequence[Sequence[TrainConfig]]) -> bool:
    return bool(groups) and groups[0][0].device == "cuda"
