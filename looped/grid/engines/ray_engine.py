"""The Ray engine: groups of trainings as plain tasks of a cluster. Nothing else imports Ray."""

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from looped.config import TrainConfig
from looped.grid.engines.engine import After, Desk, Work, decided_for, environment
from looped.grid.options import GridOptions
from looped.grid.records.ledger import ENDED, FAILED, KILLED, LOST, RUNNING, News
from looped.rules import require
from looped.training.groups import replica_groups

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

ATTEMPTS = 3
"""How often a group is begun before it counts as killed: its node was lost each time."""

SECONDS_BETWEEN_TICKS = 1.0
ANSWER_SECONDS = 5.0


class Cluster(NamedTuple):
    """What a cluster has, all nodes together."""

    cpus: float
    gpus: float


def connect(address: str) -> Cluster:
    """Join a Ray cluster.

    Args:
        address: ``<host>:<port>`` of its head, or ``auto``: the cluster that this machine is a
            node of.

    Raises:
        ValueError: nobody answers there.
    """
    rule = "ray_address must be that of a running Ray cluster, <host>:<port>, or auto on a node"
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{rule}, got {address}: {reason}") from None
    resources = ray.cluster_resources()
    return Cluster(resources.get("CPU", 0.0), resources.get("GPU", 0.0))


class _Mailbox:
    """Where workers leave their news, and find out whether to stop; an actor."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._is_stopping = False

    def put(self, news: News) -> None:
        self._news.append(news)

    def drain(self) -> list[News]:
        taken_out, self._news = self._news, []
        return taken_out

    def stop(self) -> None:
        self._is_stopping = True

    def is_stopping(self) -> bool:
        return self._is_stopping


def _train(
    group: Sequence[TrainConfig],
    work: Work,
    mailbox: Any,
    variables: Mapping[str, str],
    n_threads: int,
) -> list[News]:
    """Train a group on whatever node Ray chose, and return its endings; a task.

    It waits for no answer of the mailbox: Ray lends the cores of a task that waits to another.
    """
    import torch

    torch.set_num_threads(n_threads)
    os.environ.update(variables)
    endings: list[News] = []

    def send(news: News) -> None:
        mailbox.put.remote(news)
        if news.state in ENDED:
            endings.append(news)

    work(group, send, _StopQuestion(mailbox))
    return endings


class _StopQuestion:
    """Asks the mailbox about every second whether to stop, and goes on meanwhile."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self._asked_at = time.monotonic()
        self._answer: Future[bool] | None = None
        self._is_stopping = False

    def __call__(self) -> bool:
        now = time.monotonic()
        if self._answer is not None and self._answer.done():
            # without an answer the grid is gone
            self._is_stopping |= self._answer.exception() is not None or self._answer.result()
            self._answer = None
        elif self._answer is None and now - self._asked_at >= SECONDS_BETWEEN_TICKS:
            self._asked_at = now
            self._answer = self._mailbox.is_stopping.remote().future()
        return self._is_stopping


class _Task(NamedTuple):
    group: Sequence[TrainConfig]
    attempt: int


def run_on_ray(
    groups: Sequence[Sequence[TrainConfig]],
    work: Work,
    variables: Mapping[str, str],
    cpus: int,
    gpus: float,
    desk: Desk,
    n_threads: int,
) -> None:
    """Give every group of trainings to the cluster, until all have ended.

    A group whose node or worker is lost is begun again elsewhere, ``ATTEMPTS`` times in all: its
    trainings that had not ended go on from their checkpoints where the folder of runs is shared,
    and begin anew where it is not.

    Args:
        groups: trainings that run together, in the order in which to begin them.
        work: what a worker does with a group.
        variables: of the environment, to set in each worker.
        cpus: cores for each group.
        gpus: GPUs for each group.
        desk: hears here all that the workers say; where it says to stop, the workers are asked
            to do so in good order, and this returns when they have.
        n_threads: of each training.
    """
    # on this machine: a mailbox on a node that is lost would take the grid along
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
    task = ray.remote(_train).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)
    states: dict[str, str] = {}
    pending: dict[Any, _Task] = {}
    is_stopping = False

    def begin(group: Sequence[TrainConfig], attempt: int) -> None:
        reference = task.remote(group, work, mailbox, variables, n_threads)
        pending[reference] = _Task(group, attempt)

    def take_in(many: Sequence[News]) -> None:
        for news in many:
            if states.get(news.identity) not in ENDED:  # a last word may come by two ways
                states[news.identity] = news.state
                desk.hear(news)

    for group in groups:
        begin(group, 1)
    while pending:
        if desk.should_stop() and not is_stopping:
            is_stopping = True
            ray.get(mailbox.stop.remote())
            for reference, (group, _) in pending.items():
                if all(states.get(config.identity) != RUNNING for config in group):
                    ray.cancel(reference)
        ended_tasks, _ = ray.wait(list(pending), timeout=SECONDS_BETWEEN_TICKS)
        take_in(ray.get(mailbox.drain.remote()))
        for reference in ended_tasks:
            group, attempt = pending.pop(reference)
            news, state, reason = _outcome(reference)
            take_in(news)
            unended = [config for config in group if states.get(config.identity) not in ENDED]
            if state == KILLED and attempt < ATTEMPTS and unended and not is_stopping:
                take_in(_news_of(unended, LOST, reason))
                begin(unended, attempt + 1)
            elif state:
                take_in(_news_of(unended, state, reason))
        desk.tick()


def _news_of(configs: Sequence[TrainConfig], state: str, reason: str) -> list[News]:
    return [News(identity=config.identity, state=state, reason=reason) for config in configs]


def _outcome(reference: Any) -> tuple[list[News], str, str]:
    """Say what a task returned, or the state and reason for its trainings that had not ended."""
    try:
        return ray.get(reference), "", ""
    except TaskCancelledError:
        return [], "", ""
    except RayTaskError as error:
        return [], FAILED, " ".join(str(error.cause or error).split())
    except RayError as error:
        return [], KILLED, f"its node or worker was lost ({type(error).__name__})"


class RayEngine:
    """Tasks of a Ray cluster, which wait for no other: each training takes all its steps itself.

    Raises:
        ValueError: there is no cluster at the address.
    """

    def __init__(self, options: GridOptions) -> None:
        self._cluster = connect(options.ray_address)
        self._cpus = options.ray_cpus
        has_gpus = self._cluster.gpus > 0
        self._gpus = float(has_gpus) if options.ray_gpus is None else options.ray_gpus
        rule = f"the cluster must have ray_cpus={self._cpus} and ray_gpus={self._gpus:g}"
        fits = self._cpus <= self._cluster.cpus and self._gpus <= self._cluster.gpus
        require(fits, rule, f"{self._cluster.cpus:g} and {self._cluster.gpus:g}")

    def resolve(self, configs: Sequence[TrainConfig]) -> list[TrainConfig]:
        device = "cuda" if self._gpus > 0 else "cpu"
        rule = f"device must be one that Ray gives a training, {device}"
        return [decided_for(config, device, rule) for config in configs]

    def groups(self, configs: Sequence[TrainConfig], replicas: str) -> list[list[TrainConfig]]:
        return replica_groups(configs, replicas)

    def is_under_way(self, folder: Path, configs: Sequence[TrainConfig]) -> bool:
        return False  # its tasks end with the command

    def threads(self, groups: Sequence[Sequence[TrainConfig]]) -> int:
        return self._cpus

    def at_once(self, groups: Sequence[Sequence[TrainConfig]], n_threads: int) -> int:
        at_once = self._cluster.gpus / self._gpus if self._gpus else self._cluster.cpus / self._cpus
        return max(1, min(int(at_once), len(groups)))

    def run(
        self,
        groups: Sequence[Sequence[TrainConfig]],
        work: Work,
        store: "Store | None",
        desk: Desk,
        n_threads: int,
        after: After,
    ) -> None:
        variables = environment(store)
        run_on_ray(groups, work, variables, self._cpus, self._gpus, desk, n_threads)
