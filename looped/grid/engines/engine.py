"""What trains the groups of a grid somewhere, and what happens with a group there."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from looped.config import TrainConfig
from looped.grid.options import RunOptions
from looped.grid.records.ledger import FAILED, FINISHED, KILLED, RUNNING, UNTOLD, News
from looped.grid.run_trainings import Nest, run_trainings
from looped.names import Variable
from looped.rules import require
from looped.training.groups import replica_groups
from looped.training.memory_needs import require_room_to_evaluate
from looped.training.progress import going_on
from looped.training.resolve import resolve
from looped.training.watcher import Ending, Watcher

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

SECONDS_BETWEEN_NEWS = 1.0

Send = Callable[[News], None]
ShouldStop = Callable[[], bool]
After = Mapping[str, str]
"""By the identity of a training that of a shorter one, after whose end it is to begin."""
Work = Callable[[Sequence[TrainConfig], Send, ShouldStop], None]
"""Trains a group in a worker and sends its news; pickled by its name."""


@runtime_checkable
class Desk(Protocol):
    """Where the workers' news come in, and who says when to stop."""

    @property
    def folder(self) -> Path:
        """The folder of the grid, in the folder of all runs."""

    def hear(self, news: News) -> None:
        """Take in what a worker says."""

    def tick(self) -> None:
        """Do what is due; called about every second."""

    def should_stop(self) -> bool:
        """Tell whether to stop in good order; asked about every second."""


@runtime_checkable
class Engine(Protocol):
    """Trains groups somewhere: in processes of this machine, or on the machines of a cluster."""

    def resolve(self, configs: Sequence[TrainConfig]) -> list[TrainConfig]:
        """Decide what was left automatic and must be known before a training begins.

        The rest is decided by the machine that trains it, in ``work_through``.

        Raises:
            ValueError: they lack what a training asks for.
        """

    def groups(self, configs: Sequence[TrainConfig], replicas: str) -> list[list[TrainConfig]]:
        """Say which trainings run together, in the order in which to begin the groups.

        Args:
            configs: resolved, in the order in which to begin them.
            replicas: ``auto``, ``off`` or the largest number of trainings in a group.
        """

    def threads(self, groups: Sequence[Sequence[TrainConfig]]) -> int:
        """Say with how many threads each training of a grid runs, by all groups of the grid."""

    def at_once(self, groups: Sequence[Sequence[TrainConfig]], n_threads: int) -> int:
        """Say how many of these groups train at once, with so many threads each."""

    def is_under_way(self, folder: Path, configs: Sequence[TrainConfig]) -> bool:
        """Tell whether an earlier command saw to all of these, and this one is only to look.

        Args:
            folder: of the grid.
            configs: of the trainings that are not done.
        """

    def run(
        self,
        groups: Sequence[Sequence[TrainConfig]],
        work: Work,
        store: "Store | None",
        desk: Desk,
        n_threads: int,
        after: After,
    ) -> None:
        """Train all; return when every training has ended, or stopped in good order.

        An engine whose trainings outlive this process may return earlier; it tells the desk which
        are queued and which run.

        Args:
            groups: trainings that run together, in the order in which to begin them.
            work: what a worker does with a group.
            store: where the grid's run is, so that the workers log there.
            desk: hears of it.
            n_threads: of each training.
            after: which trainings are to begin where another one ends. An engine that begins them
                earlier trains them anew.
        """


class NewsSender(Watcher):
    """Makes news of what it is told in a worker."""

    def __init__(self, send: Send, should_stop: ShouldStop, tracking: str) -> None:
        self._send, self._should_stop, self._tracking = send, should_stop, tracking
        self._sent_at: dict[str, float] = {}
        self._run_ids: dict[str, str] = {}

    def opened(self, config: TrainConfig, run_id: str) -> None:
        self._run_ids[config.identity] = run_id
        self._send(News(identity=config.identity, state=RUNNING, run_id=run_id))

    def began(self, config: TrainConfig, step: int) -> None:
        run_id = self._run_ids.get(config.identity, "")
        reason = going_on(config, step) if step else ""
        self._send(
            News(identity=config.identity, state=RUNNING, run_id=run_id, step=step, reason=reason)
        )

    def sampled(self, config: TrainConfig, step: int, values: Mapping[str, float]) -> None:
        identity, now = config.identity, time.monotonic()
        is_last = step >= config.steps  # from here on it is evaluated
        if is_last or now - self._sent_at.get(identity, 0.0) >= SECONDS_BETWEEN_NEWS:
            self._sent_at[identity] = now
            run_id = self._run_ids[identity]
            self._send(News(identity=identity, state=RUNNING, run_id=run_id, step=step))

    def evaluated(self, config: TrainConfig, prompts_done: int, n_prompts: int) -> None:
        identity, now = config.identity, time.monotonic()
        is_last = prompts_done >= n_prompts  # from here on it is kept and told of
        if is_last or now - self._sent_at.get(identity, 0.0) >= SECONDS_BETWEEN_NEWS:
            self._sent_at[identity] = now
            news = News(identity=identity, state=RUNNING, run_id=self._run_ids[identity])
            self._send(replace(news, step=config.steps, evaluated=prompts_done / n_prompts))

    def ended(self, ending: Ending) -> None:
        state = {"FINISHED": FINISHED, "KILLED": KILLED}.get(ending.status, FAILED)
        if state == FINISHED and self._tracking == "online" and not ending.is_told:
            state = UNTOLD
        self._send(
            News(
                identity=ending.config.identity,
                state=state,
                run_id=ending.run_id,
                step=ending.config.steps if state in (FINISHED, UNTOLD) else 0,
                nmse=ending.nmse,
                reason="; ".join([ending.reason, *ending.problems]),
                unregistered=ending.unregistered,
            )
        )

    def should_stop(self) -> bool:
        return self._should_stop()


def work_through(
    group: Sequence[TrainConfig],
    send: Send,
    should_stop: ShouldStop,
    options: RunOptions,
    nest: Nest,
) -> None:
    """Train a group in a worker, as its machine can; with the last two given it is ``Work``.

    What is decided there may part a group. One that this machine cannot train fails alone.
    """
    logging.basicConfig(format="%(message)s")
    sender = NewsSender(send, should_stop, options.tracking)
    configs_here = []
    for planned in group:
        try:
            config = resolve(planned, nest.flops)
            require_room_to_evaluate(config, options.loops_to_evaluate, options.n_prompts)
        except ValueError as error:
            sender.ended(Ending(config=planned, status="REFUSED", reason=str(error)))
        else:
            configs_here.append(config)
    for part in replica_groups(configs_here, str(len(configs_here))):
        run_trainings(part, options, sender, nest)


def decided_for(config: TrainConfig, device: str, rule: str) -> TrainConfig:
    """Decide for machines elsewhere what a training's identity depends on, and its device.

    Kernels, and whether loops fit into memory, are decided where it trains.

    Args:
        config: of the training.
        device: what those machines give it.
        rule: that is broken where it asks for another one.

    Raises:
        ValueError: it asks for another device.
    """
    require(config.device in ("auto", device), rule, config.device)
    return config.resolved_on(device)


def environment(store: "Store | None") -> dict[str, str]:
    """Give the variables by which workers make runs of their own where this grid's is."""
    os.environ.pop(Variable.RUN_ID, None)
    os.environ.pop(Variable.EXPERIMENT_NAME, None)
    if store is None:
        return {}
    return {
        Variable.TRACKING_URI: store.client.tracking_uri,
        Variable.EXPERIMENT_ID: store.experiment_id,
    }
