"""What a grid would do: its trainings, their FLOPs, and an estimate of the time left."""

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from looped.config import TrainConfig
from looped.grid.ledger import Ledger
from looped.grid.lists import varied
from looped.grid.standing import DONE_BEFORE, Standing
from looped.names import Metric
from looped.training import loop
from looped.training.outcome import affordable_prompts
from looped.training.watcher import Stopped, Watcher

IN_NAME = ("size", "b", "seed", "task", "prompt", "b_draw", "b_draw_unit", "tied")
"""What the name of a training says already."""

FEWEST_SAMPLES = 3


def forecast(
    *,
    configs: Sequence[TrainConfig],
    groups: Sequence[Sequence[TrainConfig]],
    standings: Mapping[str, Standing],
    b_max: int,
    n_prompts: int | None,
    n_workers: int,
    n_threads: int,
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
    """

    def flops_of(config: TrainConfig) -> int:
        step = standings[config.identity].step
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
            facts += [f"{flops_of(config):.2g} FLOP", step, standing.reason]
        lines.append("  ".join(fact for fact in facts if fact))
    lines.append(Ledger(configs, standings).summary())
    if groups:
        to_train = [config for group in groups for config in group]
        sizes = dict.fromkeys(config.size for config in to_train)
        speeds = {size: _speed_of(size, groups, n_threads) for size in sizes}
        durations = [sum(map(flops_of, group)) / speeds[group[0].size] for group in groups]
        seconds = max(sum(durations) / n_workers, *durations)
        rates = ", ".join(f"{size} {speed / 1e9:,.3g}" for size, speed in speeds.items())
        lines.append(
            f"to train: {len(to_train):,} trainings, {sum(map(flops_of, to_train)):.3g} FLOP, "
            f"about {_duration(seconds)} here, {n_workers} at a time with {n_threads} threads "
            f"each (GFLOP/s of one, measured for a second: {rates})"
        )
    return "\n".join(lines)


def training_flops(
    config: TrainConfig, first_step: int = 0, b_max: int = 0, n_prompts: int = 0
) -> int:
    """FLOPs of the matrix products of a training and of its evaluations.

    Args:
        config: what is trained.
        first_step: steps that lie behind it already.
        b_max: loops to evaluate to, where that is more than b.
        n_prompts: held-out prompts.
    """
    evaluation = n_prompts * config.model_config.forward_flops(config.loops_up_to(b_max))
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
    return measure_speed(of_size[len(of_size) // 2], n_threads)


def _duration(seconds: float) -> str:
    hours, minutes = divmod(-(-round(seconds) // 60), 60)
    return f"{hours:,} h {minutes} min"
