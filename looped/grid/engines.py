"""Where the cells of a grid train: in processes of this machine, or on a Ray cluster."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from looped.config import TrainConfig
from looped.grid import run_trainings
from looped.grid.ledger import FAILED, FINISHED, KILLED, RUNNING, UNTOLD, News
from looped.grid.options import CellOptions
from looped.grid.stopping import StopRequest

if TYPE_CHECKING:
    pass
    from looped.tracking.store import Store

SECONDS_BETWEEN_NEWS = 1.0
PATIENCE = 60.0  # seconds that the workers of a killed grid may take to leave


@runtime_checkable
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


def train_group(
    group: Sequence[TrainConfig],
    report: Callable[[News], None],
    should_stop: Callable[[], bool],
    options: CellOptions,
    nest: run_trainings.Nest,
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

    def end(ending: run_trainings.Ending) -> None:
        states = {"FINISHED": FINISHED, "KILLED": KILLED}
        state = states.get(ending.status, FAILED)
        if state == FINISHED and options.tracking == "online" and not ending.is_told:
            state = UNTOLD
        step = ending.config.steps if state in (FINISHED, UNTOLD) else 0
        reason = "; ".join([ending.reason, *ending.problems])
        identity = ending.config.identity
        report(News(identity, state, ending.run_id, step, ending.nmse, reason))

    run_trainings.run_cells(
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


Report = Callable[[News], None]


ShouldStop = Callable[[], bool]


Work = Callable[[Sequence[TrainConfig], Report, ShouldStop], None]
"""Trains a group of cells and reports; pickled by its name."""
