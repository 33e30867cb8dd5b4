"""How fast this machine trains, from a few steps."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace

import torch

from looped import training
from looped.config import TrainConfig

FEWEST_POINTS = 3


def measure_speed(config: TrainConfig, n_threads: int, seconds: float = 1.0) -> float:
    """Train for about so many seconds, keep nothing, and return the FLOP/s of its steps.

    Args:
        config: resolved.
        n_threads: as many as the real training will have.
        seconds: for how long, after the first step; three steps at least.
    """
    speeds: list[float] = []
    begun: list[float] = []

    def watch(step: int, values: Mapping[str, float]) -> None:
        begun.append(time.monotonic())
        speeds.append(values["speed/steps_per_s"])

    def should_stop() -> bool:
        return len(speeds) > FEWEST_POINTS and time.monotonic() - begun[0] > seconds

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        training.train(replace(config, log_every=1, steps=10_000_000), None, watch, should_stop)
    except training.Stopped:
        pass
    finally:
        torch.set_num_threads(before)
    return statistics.median(speeds[1:]) * config.step_flops
