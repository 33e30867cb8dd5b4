"""What a grid would do: its cells, their FLOPs, and an estimate of the time left."""

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from looped.config import TrainConfig
from looped.grid import standing
from looped.grid.ledger import Ledger
from looped.grid.lists import varied
from looped.training import loop
from looped.training.outcome import affordable_prompts

NAMED = ("size", "b", "seed", "task", "prompt", "b_draw")
"""What the name of a cell says already."""


def forecast(
    cells: Sequence[TrainConfig],
    groups: Sequence[Sequence[TrainConfig]],
    known: Mapping[str, standing.Known],
    b_max: int,
    n_prompts: int | None,
    n_workers: int,
    n_threads: int,
) -> str:
    """Write what a grid would do.

    Args:
        cells: resolved.
        groups: those that would be trained, as they would be together.
        known: how far each cell is, by identity.
        b_max: loops to evaluate to; 0 for no evaluation.
        n_prompts: held-out prompts; as many as the training affords if None.
        n_workers: groups trained at the same time.
        n_threads: threads of each.
    """

    def flops_of(cell: TrainConfig) -> int:
        begun = known[cell.identity].step
        return cell_flops(cell, begun, b_max, n_prompts or affordable_prompts(cell))

    differ = [name for name in varied(cells) if name not in NAMED]
    width = max(len(cell.name) for cell in cells)
    lines = []
    for cell in cells:
        state, run_id, nmse, reason, commit, step = known[cell.identity]
        apart = [f"{name}={getattr(cell, name)}" for name in differ]
        facts = [f"{cell.name:{width}}  {cell.identity}", *apart, state]
        if state == "done":
            facts += [f"NMSE {nmse:.4g}" if nmse is not None else "", f"code {commit[:10]}", run_id]
        else:
            facts += [f"{flops_of(cell):.2g} FLOP", f"at step {step:,}" if step else "", reason]
        lines.append("  ".join(fact for fact in facts if fact))
    lines.append(Ledger(cells, known).summary())
    if groups:
        left = [cell for group in groups for cell in group]
        sizes = dict.fromkeys(cell.size for cell in left)
        speeds = {size: _speed_of(size, groups, n_threads) for size in sizes}
        spent = [sum(map(flops_of, group)) / speeds[group[0].size] for group in groups]
        seconds = max(sum(spent) / n_workers, *spent)
        measured = ", ".join(f"{size} {speed / 1e9:,.3g}" for size, speed in speeds.items())
        lines.append(
            f"to train: {len(left):,} cells, {sum(map(flops_of, left)):.3g} FLOP, about "
            f"{_duration(seconds)} here, {n_workers} at a time with {n_threads} threads each "
            f"(GFLOP/s of one, measured for a second: {measured})"
        )
    return "\n".join(lines)


def _speed_of(size: str, groups: Sequence[Sequence[TrainConfig]], n_threads: int) -> float:
    """Measure the middle group of a size, by its FLOPs."""
    own = [group for group in groups if group[0].size == size]
    own.sort(key=lambda group: sum(cell.step_flops for cell in group))
    return measure_speed(own[len(own) // 2], n_threads)


def _duration(seconds: float) -> str:
    hours, minutes = divmod(-(-round(seconds) // 60), 60)
    return f"{hours:,} h {minutes} min"


def cell_flops(cell: TrainConfig, begun: int = 0, b_max: int = 0, n_prompts: int = 0) -> int:
    """FLOPs of the matrix products of a training and of its evaluation.

    Args:
        cell: what is trained.
        begun: steps that are done already.
        b_max: loops to evaluate to, where that is more than b.
        n_prompts: held-out prompts.
    """
    evaluation = n_prompts * cell.model_config.forward_flops(max(cell.b, b_max))
    return (cell.steps - begun) * cell.step_flops + evaluation


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
        with suppress(loop.Stopped):
            loop.train_together(endless, [None] * len(endless), watch, should_stop)
    finally:
        torch.set_num_threads(before)
    return statistics.median(speeds[1:])
