"""What a grid would do: its trainings, their FLOPs, and an estimate of its time."""

from collections.abc import Sequence

from looped.config import TrainConfig
from looped.counting import counted
from looped.grid.records.ledger import Ledger
from looped.grid.records.standing import DONE_BEFORE
from looped.grid.timing.plan import Plan, Speeds
from looped.titles import value_of, varied

IN_NAME = ("size", "b", "seed", "task", "prompt", "b_draw", "b_draw_unit", "tied")
"""What the name of a training says already."""

WORTH_MEASURING = 1e13
"""FLOPs from which on a grid's time is measured before it begins: about a minute on two cores."""
LONG_SECONDS = 3600.0
SMALLER = (
    "smaller: `make study` (-P study=quick) fits the law of 40 small models in about ten minutes "
    "on two cores; fewer sizes, bs, seeds or steps take less, as -P dry_run=true says"
)


def listing(configs: Sequence[TrainConfig], plan: Plan) -> str:
    """Write a line for each training of a grid, then how many stand where.

    Args:
        configs: of all its trainings, resolved.
        plan: what is left of them.
    """
    differing = [name for name in varied(configs) if name not in IN_NAME]
    width = max(len(config.name) for config in configs)
    lines = []
    for config in configs:
        standing = plan.standings[config.identity]
        settings = [f"{name}={value_of(config, name)}" for name in differing]
        facts = [f"{config.name:{width}}  {config.identity}", *settings, standing.state]
        if standing.state == DONE_BEFORE:
            nmse = "" if standing.nmse is None else f"NMSE {standing.nmse:.4g}"
            facts += [nmse, f"code {standing.commit[:10]}", standing.run_id]
        else:
            step = f"at step {standing.step:,}" if standing.step else ""
            if standing.first_step:
                step = f"from step {standing.first_step:,}, where a shorter one ends"
            facts += [f"{plan.flops(config):.2g} FLOP", step, standing.reason]
        lines.append("  ".join(fact for fact in facts if fact))
    lines.append(Ledger(configs, plan.standings).summary())
    return "\n".join(lines)


def is_worth_measuring(plan: Plan) -> bool:
    """Tell whether there is so much to do that its time is measured before it begins."""
    return sum(map(plan.flops, plan.to_train)) >= WORTH_MEASURING


def outlook(plan: Plan, speeds: Speeds) -> list[str]:
    """Say before a grid begins how long it will take, and what would be smaller than a long one."""
    is_long = plan.seconds(speeds) > LONG_SECONDS
    return [time_line(plan, speeds), SMALLER] if is_long else [time_line(plan, speeds)]


def time_line(plan: Plan, speeds: Speeds) -> str:
    """Say in a line how long a plan takes at the speeds that were measured."""
    rates = ", ".join(f"{size} {speed.training / 1e9:,.3g}" for size, speed in speeds.items())
    return (
        f"to train: {counted(len(plan.to_train), 'training')}, "
        f"{sum(map(plan.flops, plan.to_train)):.3g} FLOP, "
        f"about {duration(plan.seconds(speeds))} here, {plan.n_workers} at a time with "
        f"{counted(plan.n_threads, 'thread')} each (GFLOP/s of one, measured for a second: {rates})"
    )


def duration(seconds: float) -> str:
    """Write a time in hours and minutes, rounded up.

    Example:
        >>> duration(5_401)
        '1 h 31 min'
    """
    hours, minutes = divmod(-(-round(seconds) // 60), 60)
    return f"{hours:,} h {minutes} min"
