"""What of a grid fits into a time: whole seeds are left out first, then the costliest cells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from looped.config import TrainConfig
from looped.counting import counted
from looped.grid.timing.duration import budget_seconds, written
from looped.grid.timing.plan import Plan, Speeds
from looped.titles import without_seed


class BudgetError(ValueError):
    """Not even the shortest training fits."""


@dataclass(frozen=True)
class Choice:
    """What a budget holds.

    Attributes:
        to_train: the trainings that fit.
        left_out: those that do not.
        seconds: that the former take, as forecast.
        lines: what was left out and why, to be said.
    """

    to_train: Sequence[TrainConfig]
    left_out: Sequence[TrainConfig]
    seconds: float
    lines: Sequence[str]


def fit_budget(
    to_train: Sequence[TrainConfig],
    plan_of: Callable[[Sequence[TrainConfig]], Plan],
    speeds: Speeds,
    budget: str,
) -> Choice:
    """Choose what fits: first whole seeds are left out, the last one first, then whole cells.

    So every cell keeps equally many seeds. Of the cells the one that takes longest goes first, and
    one that a longer training begins with stays as long as that one does.

    Args:
        to_train: what is left of the grid, in any order; what is finished costs nothing.
        plan_of: plans a part of them.
        speeds: measured, by size.
        budget: as ``budget_seconds`` reads it.

    Raises:
        BudgetError: not even the shortest training fits.
    """
    seconds, chosen_configs = budget_seconds(budget), list(to_train)
    seeds = list(dict.fromkeys(config.seed for config in to_train))
    cell_of = {config.identity: _cell(config) for config in to_train}
    dropped_seeds: list[int] = []
    dropped_cells: list[TrainConfig] = []

    def needed() -> float:
        return plan_of(chosen_configs).seconds(speeds)

    while chosen_configs and needed() > seconds and len(seeds) > 1:
        dropped_seeds.insert(0, seeds.pop())
        chosen_configs = [each for each in chosen_configs if each.seed != dropped_seeds[0]]
    while chosen_configs and needed() > seconds:
        cell = _costliest(plan_of(chosen_configs), speeds, cell_of)
        dropped_cells.append(cell)
        name = cell_of[cell.identity]
        chosen_configs = [each for each in chosen_configs if cell_of[each.identity] != name]
    if to_train and not chosen_configs:
        plan = plan_of(dropped_cells[-1:])
        raise BudgetError(
            f"budget must hold at least one training, got {budget} (the shortest that is left, "
            f"{dropped_cells[-1].name}, takes about {written(plan.seconds(speeds))})"
        )
    identities = {config.identity for config in chosen_configs}
    left_out = [config for config in to_train if config.identity not in identities]
    return Choice(
        chosen_configs,
        left_out,
        needed(),
        _lines(budget, chosen_configs, dropped_seeds, dropped_cells, needed()),
    )


def _cell(config: TrainConfig) -> str:
    return config.cell_identity


def _costliest(plan: Plan, speeds: Speeds, cell_of: Mapping[str, str]) -> TrainConfig:
    """Find the cell that takes longest, of those that no other training begins with."""
    seconds: dict[str, float] = {}
    first_of: dict[str, TrainConfig] = {}
    identities = {config.identity for config in plan.to_train}
    waited_for = {plan.after[longer] for longer in identities & plan.after.keys()}
    begun_with = {cell_of[shorter] for shorter in waited_for & identities}
    for config in plan.to_train:
        cell = cell_of[config.identity]
        first_of.setdefault(cell, config)
        seconds[cell] = seconds.get(cell, 0.0) + plan.seconds_of(config, speeds)
    free = [cell for cell in seconds if cell not in begun_with] or list(seconds)
    return first_of[max(free, key=lambda cell: seconds[cell])]


def _lines(
    budget: str,
    chosen_configs: Sequence[TrainConfig],
    dropped_seeds: Sequence[int],
    dropped_cells: Sequence[TrainConfig],
    seconds: float,
) -> list[str]:
    about = f"{counted(len(chosen_configs), 'training')}, about {written(seconds)}"
    if not dropped_seeds and not dropped_cells:
        return [f"budget {budget}: all that is left to train fits, {about}"]
    lines = [f"budget {budget}: {about}; the same command goes on with the others"]
    if dropped_seeds:
        seeds = ", ".join(map(str, dropped_seeds))
        lines.append(f"left out first: seeds {seeds}, in every cell")
    if dropped_cells:
        lines.append(f"left out next, the longest first: {', '.join(map(_told, dropped_cells))}")
    return lines


def _told(config: TrainConfig) -> str:
    return without_seed(config, config.name)
