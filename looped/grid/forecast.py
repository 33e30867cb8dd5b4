"""What a grid would do: its trainings, their FLOPs, and an estimate of the time left."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context

import torch

from looped.config import TrainConfig
from looped.counting import counted
from looped.grid.lists import varied
from looped.grid.records.ledger import Ledger
from looped.grid.records.standing import DONE_BEFORE, Standing
from looped.names import Metric
from looped.training import loop
from looped.training.outcome import affordable_prompts, final_prompts
from looped.training.watcher import Stopped, Watcher

IN_NAME = ("size", "b", "seed", "task", "prompt", "b_draw", "b_draw_unit", "tied")
"""What the name of a training says already."""

FEWEST_SAMPLES = 3

WORTH_MEASURING = 1e13
"""FLOPs from which on a grid's time is measured before it begins: about a minute on two cores."""
LONG_SECONDS = 3600.0
SMALLER = (
    "smaller: `make study` (-P study=quick) fits the law of 40 small models in about ten minutes "
    "on two cores; fewer sizes, bs, seeds or steps take less, as -P dry_run=true says"
)


def forecast(
    *,
    configs: Sequence[TrainConfig],
    groups: Sequence[Sequence[TrainConfig]],
    standings: Mapping[str, Standing],
    b_max: int,
    n_prompts: int | None,
    n_workers: int,
    n_threads: int,
    after: Mapping[str, str],
) -> str:
    """Write what a grid would do.

    Args:
        configs: of all its trainings, resolved.
        groups: those that would be trained, as they would be together.
        standings: how far each is, by identity.
        b_max: loops to evaluate to; 0 for no evaluation.
        n_prompts: held-out prompts; as many as the training affords if None.
        n_workers: groups trained at the same time.
        n_threads: threads of each.
        after: by identity those that begin only where another one ends.
    """

    def flops_of(config: TrainConfig) -> int:
        standing = standings[config.identity]
        step = max(standing.step, standing.first_step)
        return training_flops(config, step, b_max, n_prompts or affordable_prompts(config))

    differing = [name for name in varied(configs) if name not in IN_NAME]
    width = max(len(config.name) for config in configs)
    lines = []
    for config in configs:
        standing = standings[config.identity]
        settings = [f"{name}={getattr(config, name)}" for name in differing]
        facts = [f"{config.name:{width}}  {config.identity}", *settings, standing.state]
        if standing.state == DONE_BEFORE:
            nmse = "" if standing.nmse is None else f"NMSE {standing.nmse:.4g}"
            facts += [nmse, f"code {standing.commit[:10]}", standing.run_id]
        else:
            step = f"at step {standing.step:,}" if standing.step else ""
            if standing.first_step:
                step = f"from step {standing.first_step:,}, where a shorter one ends"
            facts += [f"{flops_of(config):.2g} FLOP", step, standing.reason]
        lines.append("  ".join(fact for fact in facts if fact))
    lines.append(Ledger(configs, standings).summary())
    if groups:
        lines.append(_time_of(groups, flops_of, n_workers, n_threads, after)[1])
    return "\n".join(lines)


def outlook(
    *,
    groups: Sequence[Sequence[TrainConfig]],
    standings: Mapping[str, Standing],
    b_max: int,
    n_prompts: int | None,
    n_workers: int,
    n_threads: int,
    after: Mapping[str, str],
) -> list[str]:
    """Say before a grid begins how long it will take, and what would be smaller than a long one.

    Nothing is said, nor measured, where there is little to do. Arguments as for ``forecast``.
    """

    def flops_of(config: TrainConfig) -> int:
        standing = standings[config.identity]
        step = max(standing.step, standing.first_step)
        return training_flops(config, step, b_max, n_prompts or affordable_prompts(config))

    if sum(flops_of(config) for group in groups for config in group) < WORTH_MEASURING:
        return []
    seconds, line = _time_of(groups, flops_of, n_workers, n_threads, after)
    return [line, SMALLER] if seconds > LONG_SECONDS else [line]


def _time_of(
    groups: Sequence[Sequence[TrainConfig]],
    flops_of: Callable[[TrainConfig], int],
    n_workers: int,
    n_threads: int,
    after: Mapping[str, str],
) -> tuple[float, str]:
    """Estimate the seconds that groups take; say them in a line."""
    to_train = [config for group in groups for config in group]
    sizes = dict.fromkeys(config.size for config in to_train)
    speeds = {size: _speed_of(size, groups, n_threads) for size in sizes}
    durations = [sum(map(flops_of, group)) / speeds[group[0].size] for group in groups]
    ends: dict[str, float] = {}  # of each training, were there a worker for every group
    for group, duration in zip(groups, durations, strict=True):  # shorter ones come first
        begins = max(ends.get(after.get(config.identity, ""), 0.0) for config in group)
        ends |= {config.identity: begins + duration for config in group}
    seconds = max(sum(durations) / n_workers, *ends.values())
    rates = ", ".join(f"{size} {speed / 1e9:,.3g}" for size, speed in speeds.items())
    return seconds, (
        f"to train: {counted(len(to_train), 'training')}, {sum(map(flops_of, to_train)):.3g} FLOP, "
        f"about {_duration(seconds)} here, {n_workers} at a time with "
        f"{counted(n_threads, 'thread')} each (GFLOP/s of one, measured for a second: {rates})"
    )


def training_flops(
    config: TrainConfig, first_step: int = 0, b_max: int = 0, n_prompts: int = 0
) -> int:
    """FLOPs of the matrix products of a training and of its evaluations.

    Args:
        config: what is trained.
        first_step: steps that lie behind it already.
        b_max: loops to evaluate to, where that is more than b.
        n_prompts: held-out prompts that are run through all loops.
    """
    n_further = final_prompts(config, n_prompts) - n_prompts
    evaluation = n_prompts * config.model_config.forward_flops(config.loops_up_to(b_max))
    evaluation += n_further * config.model_config.forward_flops(config.b)
    n_models = 2 if config.average == "tail" else 1
    return (config.steps - first_step) * config.step_flops + n_models * evaluation


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
        is_late = time.monotonic() - self._began_at > self.seconds
        return len(self.speeds) > FEWEST_SAMPLES and is_late


def measure_speed(group: Sequence[TrainConfig], n_threads: int, seconds: float = 1.0) -> float:
    """Train for about so many seconds, keep nothing, and return the FLOP/s of the steps.

    Args:
        group: resolved; trainings that run together.
        n_threads: as many as the real training will have.
        seconds: for how long, after the first step; three steps at least.
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


def _speed_of(size: str, groups: Sequence[Sequence[TrainConfig]], n_threads: int) -> float:
    """Measure the middle group of a size, by its FLOPs."""
    of_size = [group for group in groups if group[0].size == size]
    of_size.sort(key=lambda group: sum(config.step_flops for config in group))
    middle_group = of_size[len(of_size) // 2]
    if middle_group[0].device != "cuda":
        return measure_speed(middle_group, n_threads)
    # in a process of its own, which leaves the GPU's memory to the workers
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure_speed, middle_group, n_threads).result()


def _duration(seconds: float) -> str:
    hours, minutes = divmod(-(-round(seconds) // 60), 60)
    return f"{hours:,} h {minutes} min"
