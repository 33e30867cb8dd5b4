"""How fast a training's steps are here: a few are taken, and nothing is kept of them."""

import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context

import torch

from looped import tasks
from looped.config import TrainConfig
from looped.evaluation.held_out import PROMPTS_PER_BATCH, evaluate
from looped.grid.timing.plan import Plan, Speed
from looped.model import LoopedTransformer
from looped.names import Metric
from looped.training import loop
from looped.training.watcher import Stopped, Watcher

FEWEST_SAMPLES = 3
LONG_SECONDS = 3.0
"""Steps that take as long as this together are enough, even if they are fewer."""
LONG_STEP = 3e11
"""FLOPs of a step that takes seconds on one core: a size is measured at a smaller b then."""
EVALUATED_FLOPS = 1e11
"""Of an evaluation that is measured on a CPU, about: as many loops as that holds, or one."""


def measured_speeds(plan: Plan) -> dict[str, Speed]:
    """Measure the FLOP/s of one training of each size, in its middle group by FLOPs.

    On a CPU it is the one below it whose steps are not long, or else the shortest.
    """
    sizes = dict.fromkeys(config.size for config in plan.to_train)
    return {size: _speed_of(size, plan) for size in sizes}


class _Stopwatch(Watcher):
    """Takes the FLOP/s of a group's steps for some seconds after the first, then stops it."""

    def __init__(self, group: Sequence[TrainConfig], seconds: float) -> None:
        self.group, self.seconds = group, seconds
        self.speeds: list[float] = []
        self._began_at = 0.0

    def sampled(self, config: TrainConfig, step: int, values: Mapping[str, float]) -> None:
        if config.identity == self.group[0].identity:
            if not self.speeds:
                self._began_at = time.monotonic()
            flops = sum(each.flops_of_step(step - 1) for each in self.group)
            self.speeds.append(flops * values[Metric.STEPS_PER_S])

    def should_stop(self) -> bool:
        seconds, n_samples = time.monotonic() - self._began_at, len(self.speeds)
        if n_samples > 1 and seconds > LONG_SECONDS:
            return True
        return n_samples > FEWEST_SAMPLES and seconds > self.seconds


def measure_speed(group: Sequence[TrainConfig], n_threads: int, seconds: float = 1.0) -> float:
    """Train for about so many seconds, keep nothing, and return the FLOP/s of the steps.

    Args:
        group: resolved; trainings that run together.
        n_threads: as many as the real training will have.
        seconds: for how long, after the first step; three steps at least, or one that is long.
    """
    endless = [replace(config, log_every=1, steps=10_000_000) for config in group]
    stopwatch = _Stopwatch(endless, seconds)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with suppress(Stopped):
            loop.train_together(endless, [None] * len(endless), stopwatch)
    finally:
        torch.set_num_threads(threads_before)
    return statistics.median(stopwatch.speeds[1:])


def measure_evaluation(config: TrainConfig, n_threads: int, n_loops: int) -> float:
    """Run one batch of held-out prompts through an untrained model; return the FLOP/s.

    Args:
        config: resolved.
        n_threads: as many as the real evaluation will have.
        n_loops: loops to run to; fewer where all would take long, as each has the same FLOPs.
    """
    if config.device == "cpu":
        flops_of_loop = PROMPTS_PER_BATCH * config.model_config.forward_flops(1)
        n_loops = max(1, min(n_loops, int(EVALUATED_FLOPS // flops_of_loop)))
    model = LoopedTransformer.from_config(config.model_config, config.init).to(config.device)
    task = tasks.from_config(config.task_config)
    threads_before, seconds = torch.get_num_threads(), 0.0
    torch.set_num_threads(n_threads)
    try:
        for n_prompts in (2, PROMPTS_PER_BATCH):  # the first call warms up
            began_at = time.perf_counter()
            evaluate(model, task, n_loops, n_prompts, kernels=config.kernels)
            seconds = time.perf_counter() - began_at
    finally:
        torch.set_num_threads(threads_before)
    return PROMPTS_PER_BATCH * config.model_config.forward_flops(n_loops) / seconds


def _speed_of(size: str, plan: Plan) -> Speed:
    of_size = [group for group in plan.groups if group[0].size == size]
    of_size.sort(key=_step_flops)
    middle_group = of_size[len(of_size) // 2]
    if middle_group[0].device != "cuda":
        lower_half = of_size[: len(of_size) // 2 + 1]
        quick_groups = [group for group in lower_half if _step_flops(group) <= LONG_STEP]
        quick_group = (quick_groups or lower_half[:1])[-1]
        return _measure(quick_group, plan.n_threads, plan.b_max)
    # in a process of its own, which leaves the GPU's memory to the workers
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measure, middle_group, plan.n_threads, plan.b_max).result()


def _step_flops(group: Sequence[TrainConfig]) -> int:
    return sum(config.step_flops for config in group)


def _measure(group: Sequence[TrainConfig], n_threads: int, b_max: int) -> Speed:
    first = group[0]
    evaluation = measure_evaluation(first, n_threads, first.loops_up_to(b_max))
    return Speed(measure_speed(group, n_threads), evaluation)
