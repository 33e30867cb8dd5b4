"""Where the cells of a grid train: in processes of this machine, or on a Ray cluster."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from entrypoints import cell_runner
from entrypoints.grid_options import GridOptions
from entrypoints.options import CellOptions
from entrypoints.stopping import StopRequest
from looped import programs
from looped.config import TrainConfig
from looped.ledger import FAILED, FINISHED, KILLED, RUNNING, UNTOLD, News
from looped.rules import require

if TYPE_CHECKING:
    from looped.store_access import Store
    from looped.workers import Work

SECONDS_BETWEEN_NEWS = 1.0
PATIENCE = 60.0  # seconds that the workers of a killed grid may take to leave


class Engine(Protocol):
    """Trains groups of cells somewhere."""

    def resolve(self, cells: Sequence[TrainConfig]) -> list[TrainConfig]:
        """Decide what was left automatic, for the machines that will train.

        Raises:
            ValueError: they lack what a cell asks for.
        """

    def share(self, groups: Sequence[Sequence[TrainConfig]]) -> tuple[int, int]:
        """Say how many groups train at once, with how many threads each."""

    def run(
        self,
        groups: Sequence[Sequence[TrainConfig]],
        work: "Work",
        store: "Store | None",
        hear: Callable[[News], None],
        tick: Callable[[], None],
        should_stop: StopRequest,
    ) -> None:
        """Train all; see ``looped.workers.run_locally``."""


class LocalEngine:
    """Processes of this machine."""

    def __init__(self, options: GridOptions) -> None:
        self._workers = options.workers

    def resolve(self, cells: Sequence[TrainConfig]) -> list[TrainConfig]:
        work = sum(cell.steps * cell.step_flops for cell in cells)
        return [programs.resolve(cell, work) for cell in cells]

    def share(self, groups: Sequence[Sequence[TrainConfig]]) -> tuple[int, int]:
        # A GPU takes one process unless told otherwise. On a CPU a cell is too small to keep
        # several cores busy, so there are as many processes as cores.
        n_cores = len(os.sched_getaffinity(0))
        automatic = 1 if groups and groups[0][0].device == "cuda" else n_cores
        n_workers = max(1, min(self._workers or automatic, len(groups)))
        return n_workers, max(1, n_cores // n_workers)

    def run(
        self,
        groups: Sequence[Sequence[TrainConfig]],
        work: "Work",
        store: "Store | None",
        hear: Callable[[News], None],
        tick: Callable[[], None],
        should_stop: StopRequest,
    ) -> None:
        from looped.workers import run_locally

        os.environ.update(environment(store))
        watch_signals = partial(StopRequest, has_launcher=True)
        run_locally(groups, work, watch_signals, *self.share(groups), hear, tick, should_stop)


class RayEngine:
    """Tasks of a Ray cluster.

    Raises:
        ValueError: Ray is missing, or there is no cluster at the address.
    """

    def __init__(self, options: GridOptions) -> None:
        try:
            from looped import ray_workers
        except ImportError as error:
            raise ValueError(f"engine=ray needs Ray (make ray), got {error}") from None
        self._cluster = ray_workers.connect(options.ray_address)
        self._cpus = options.ray_cpus
        has_gpus = self._cluster.gpus > 0
        self._gpus = float(has_gpus) if options.ray_gpus is None else options.ray_gpus
        rule = f"the cluster must have ray_cpus={self._cpus} and ray_gpus={self._gpus:g}"
        fits = self._cpus <= self._cluster.cpus and self._gpus <= self._cluster.gpus
        require(fits, rule, f"{self._cluster.cpus:g} and {self._cluster.gpus:g}")

    def resolve(self, cells: Sequence[TrainConfig]) -> list[TrainConfig]:
        return [self._resolve(cell) for cell in cells]

    def _resolve(self, cell: TrainConfig) -> TrainConfig:
        available = "cuda" if self._gpus > 0 else "cpu"
        device = available if cell.device == "auto" else cell.device
        rule = "device must be one that Ray gives a cell"
        require(device == available, f"{rule}, {available}", device)
        automatic = "bf16" if device == "cuda" else "fp32"
        return cell.resolved(device, automatic if cell.precision == "auto" else cell.precision)

    def share(self, groups: Sequence[Sequence[TrainConfig]]) -> tuple[int, int]:
        at_once = self._cluster.gpus / self._gpus if self._gpus else self._cluster.cpus / self._cpus
        return max(1, min(int(at_once), len(groups))), self._cpus

    def run(
        self,
        groups: Sequence[Sequence[TrainConfig]],
        work: "Work",
        store: "Store | None",
        hear: Callable[[News], None],
        tick: Callable[[], None],
        should_stop: StopRequest,
    ) -> None:
        from looped.ray_workers import run_on_ray

        should_stop.listen()  # Ray has taken the signals
        own = environment(store)
        run_on_ray(groups, work, own, self._cpus, self._gpus, hear, tick, should_stop)


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


def environment(store: "Store | None") -> dict[str, str]:
    """Give the variables by which workers make runs of their own where this grid's is."""
    os.environ.pop("MLFLOW_RUN_ID", None)
    os.environ.pop("MLFLOW_EXPERIMENT_NAME", None)
    if store is None:
        return {}
    return {
        "MLFLOW_TRACKING_URI": store.client.tracking_uri,
        "MLFLOW_EXPERIMENT_ID": store.experiment_id,
    }
