"""What a grid would do: its cells, their FLOPs, and an estimate of the time left."""

from collections.abc import Mapping, Sequence

from looped import grid
from looped.config import TrainConfig
from looped.ledger import Ledger
from looped.speed import measure_speed
from looped.training import HELD_OUT_PROMPTS


def forecast(
    cells: Sequence[TrainConfig],
    left: Sequence[TrainConfig],
    known: Mapping[str, grid.Known],
    b_max: int,
    n_workers: int,
    n_threads: int,
) -> str:
    """Write what a grid would do.

    Args:
        cells: resolved.
        left: those that would be trained.
        known: how far each cell is, by identity.
        b_max: loops to evaluate to; 0 for no evaluation.
        n_workers: cells trained at the same time.
        n_threads: threads of each.
    """

    def flops_of(cell: TrainConfig) -> int:
        begun = known[cell.identity].step
        return grid.cell_flops(cell, begun, b_max, HELD_OUT_PROMPTS)

    width = max(len(cell.name) for cell in cells)
    lines = []
    for cell in cells:
        state, run_id, nmse, reason, commit, step = known[cell.identity]
        facts = [f"{cell.name:{width}}  {cell.identity}  {state}"]
        if state == "done":
            facts += [f"NMSE {nmse:.4g}" if nmse is not None else "", f"code {commit[:10]}", run_id]
        else:
            facts += [f"{flops_of(cell):.2g} FLOP", f"at step {step:,}" if step else "", reason]
        lines.append("  ".join(fact for fact in facts if fact))
    lines.append(Ledger(cells, known).summary())
    if left:
        sizes = dict.fromkeys(cell.size for cell in left)
        speeds = {size: _speed_of(size, left, n_threads) for size in sizes}
        seconds = grid.seconds_left(left, lambda cell: speeds[cell.size], flops_of, n_workers)
        measured = ", ".join(f"{size} {speed / 1e9:,.3g}" for size, speed in speeds.items())
        lines.append(
            f"to train: {len(left):,} cells, {sum(map(flops_of, left)):.3g} FLOP, about "
            f"{_duration(seconds)} here, {n_workers} at a time with {n_threads} "
            f"threads each (GFLOP/s of one, measured for a second: {measured})"
        )
    return "\n".join(lines)


def _speed_of(size: str, left: Sequence[TrainConfig], n_threads: int) -> float:
    """Measure the middle cell of a size, by its FLOPs."""
    own = sorted((cell for cell in left if cell.size == size), key=lambda cell: cell.step_flops)
    return measure_speed(own[len(own) // 2], n_threads)


def _duration(seconds: float) -> str:
    hours, minutes = divmod(-(-round(seconds) // 60), 60)
    return f"{hours:,} h {minutes} min"
