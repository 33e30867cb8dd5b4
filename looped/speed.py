"""How fast this machine trains, from a few steps."""

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from looped import training
from looped.config import TrainConfig

FEWEST_POINTS = 3


def measure_speed(group: Sequence[TrainConfig], n_threads: int, seconds: float = 1.0) -> float:
    """Train for about so many seconds, keep nothing, and return the FLOP/s of the steps.

    Args:
        group: resolved; cells that train together.
        n_threads: as many as the real training will have.
        seconds: for how long, after the first step; three steps at least.
    """
    speeds: list[float] = []
    begun: list[float] = []

    def watch(config: TrainConfig, step: int, values: Mapping[str, float]) -> None:
        if config.identity == endless[0].identity:
            begun.append(time.monotonic())
            flops = sum(own.flops_of(own.loops_of_step(step - 1)) for own in group)
            speeds.append(flops * values["speed/steps_per_s"])

    def should_stop() -> bool:
        return len(speeds) > FEWEST_POINTS and time.monotonic() - begun[0] > seconds

    endless = [replace(config, log_every=1, steps=10_000_000) for config in group]
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with suppress(training.Stopped):
            training.train_together(endless, [None] * len(endless), watch, should_stop)
    finally:
        torch.set_num_threads(before)
    return statistics.median(speeds[1:])
