"""Training steps to time, ours and plain ones, and the watch that times them.

Memory is taken in a process of its own, forked from one that has only loaded torch: a fresh
process each, without seconds of imports each.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from entrypoints.benchmarks.plain_training import plain_step
from looped import tasks
from looped.config import TrainConfig
from looped.training import loop
from looped.training.cuda_graph import step_of
from looped.training.replicas import Replicas

Step = Callable[[], object]
Result = TypeVar("Result")


PRELOADED = ["torch", "entrypoints.benchmarks.timing"]
"""What a fresh process has at once."""


class Probe(NamedTuple):
    """What something takes in a fresh process: seconds, and the peak of its memory.

    ``ready`` is how long a training took to come to the end of its first step.
    """

    seconds: float
    mib: float
    ready: float = 0.0


def our_steps(config: TrainConfig, seeds: int) -> Step:
    """Return a step of ``seeds`` replicas that train as one program."""
    configs = [replace(config, seed=seed) for seed in range(seeds)]
    xs, ys = (torch.stack(parts) for parts in zip(*_prompts(config, seeds), strict=True))
    replicas = Replicas([loop.seeded_model(config) for config in configs], configs)
    step = step_of(replicas)
    return lambda: step((xs, ys), config.rate, None)


def plain_steps(config: TrainConfig, seeds: int) -> Step:
    """Return the same steps as most would take them, one model after another."""
    steps = [
        plain_step(loop.seeded_model(replace(config, seed=seed)).to(config.device), config)
        for seed in range(seeds)
    ]
    prompts = _prompts(config, seeds)
    return lambda: [step(xs, ys) for step, (xs, ys) in zip(steps, prompts, strict=True)]


PATHS: Mapping[str, Callable[[TrainConfig, int], Step]] = {"ours": our_steps, "plain": plain_steps}


def seconds_of(step: Step, device: str, least: float) -> float:
    """Take steps for at least so many seconds, one at least; return the mean time of one."""
    n_steps, batch = 0, 1
    _wait(device)
    start = time.perf_counter()
    while True:
        for _ in range(batch):
            step()
        _wait(device)
        n_steps += batch
        seconds = time.perf_counter() - start
        if seconds >= least:
            return seconds / n_steps
        batch = max(1, min(1000, int((least - seconds) / (seconds / n_steps)) + 1))


def median_seconds(step: Step, device: str, rounds: int, least: float) -> float:
    """Take the median of several measurements, after a first step."""
    seconds_of(step, device, 0)
    return statistics.median(seconds_of(step, device, least) for _ in range(rounds))


def matrix_rate(device: str, precision: str, least: float) -> float:
    """FLOP/s of PyTorch's large matrix products at their best, which shares are measured against.

    On a GPU that is close to what the chip can do; on a CPU our own products may be faster.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    best = 0.0
    for side in (8192,) if device == "cuda" else (512, 1024, 2048):
        factors = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
        product = partial(torch.matmul, *factors)
        seconds_of(product, device, 0)
        for _ in range(5):
            best = max(best, 2 * side**3 / seconds_of(product, device, least / 5))
    return best


def in_fresh_process(work: Callable[..., Result], *arguments: object) -> Result:
    """Call a function of a module in a fresh process and return what it returns."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(work, *arguments).result()


def probe(path: str, config: TrainConfig, seeds: int, rounds: int, least: float) -> Probe:
    """Measure a path in this process, which is to be a fresh one.

    Args:
        path: ``ours`` or ``plain``.
        config: resolved.
        seeds: replicas.
        rounds: of which the median is taken; 0 takes two steps, for the rest alone.
        least: seconds of each.
    """
    if config.device == "cpu":  # libraries take their own memory at the first steps
        median_seconds(PATHS[path](_least(config), 1), config.device, 1, 0)
    mib_before, start = peak_mib(), time.perf_counter()
    step = PATHS[path](config, seeds)
    seconds_of(step, config.device, 0)
    ready = time.perf_counter() - start
    seconds = median_seconds(step, config.device, rounds, least) if rounds else ready
    seconds_of(step, config.device, 0)  # with Adam's moments, which plain has from now on
    if config.device == "cuda":
        return Probe(seconds, torch.cuda.max_memory_allocated() / 2**20, ready)
    return Probe(seconds, peak_mib() - mib_before, ready)


def peak_mib() -> float:
    """The most memory that this process has held so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _least(config: TrainConfig) -> TrainConfig:
    """Make the smallest training that takes the same ways, of a size of the study."""
    settings = {setting.name: getattr(config, setting.name) for setting in fields(TrainConfig)}
    settings |= {"size": "tiny", "b": 1, "loop_window": 1, "batch_size": 1, "n_examples": 1}
    return TrainConfig(**settings)


def _prompts(config: TrainConfig, seeds: int) -> Sequence[tuple[Tensor, Tensor]]:
    task = tasks.from_config(config.task_config)
    size = (config.batch_size, config.n_examples + 1)
    return [task.batch(seed, 0, *size, device=config.device) for seed in range(seeds)]


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
