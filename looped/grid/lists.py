"""Lists of settings that are crossed into trainings, and what tells one from another."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, make_dataclass, replace
from itertools import product
from math import prod
from types import GenericAlias
from typing import Any, NamedTuple, get_type_hints

from looped.config import TrainConfig
from looped.grid.options import MOST_TRAININGS
from looped.grid.studies import left_to_study
from looped.rules import digest, require, shortened
from looped.sizes import STUDY_SIZES
from looped.tasks.own import crossed
from looped.titles import WINDOWS, word_of

PLURALS = {"size": "sizes", "b": "bs", "seed": "seeds"}
"""Settings whose list goes by another name; a list of any other goes by the setting's own."""

POLICY = (*WINDOWS, "tied", "b_draw_unit")
"""Settings that may decide nothing; see ``TrainConfig.policy``."""

STUDY: Mapping[str, tuple[Any, ...]] = {
    "size": STUDY_SIZES,
    "b": (1, 5, 10, 15),
    "seed": (42, 451, 1984),
}
"""The study's 36 runs: the default of a grid."""


def _declare() -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(TrainConfig)
    declarations = []
    for setting in fields(TrainConfig):
        default = STUDY.get(setting.name, (setting.default,))
        kind = GenericAlias(tuple, (hints[setting.name], ...))
        name = PLURALS.get(setting.name, setting.name)
        declarations.append((name, kind, left_to_study(setting, default)))
    return declarations


Lists: Any = make_dataclass("Lists", _declare(), frozen=True)
"""For each setting of ``TrainConfig`` the values that are crossed; defaults: the study's."""


class Cell(NamedTuple):
    """A row of a table of cells: its number, and the settings that it gives."""

    row: int
    settings: Mapping[str, Any]


def cross(lists: Any, pair: Sequence[str] = (), cells: Sequence[Cell] = ()) -> list[TrainConfig]:
    """Cross the lists into trainings.

    Args:
        lists: a ``Lists``.
        pair: names of lists that are walked together instead, all equally long.
        cells: settings that stand together; they take the place of the lists of their names.

    Raises:
        ValueError: a list is empty, paired ones are not equally long, or a training breaks a rule
            of ``TrainConfig``; the message names it by the values that only some of them have.

    Example:
        >>> lists = Lists(sizes=("tiny",), bs=(1, 4), seeds=(7,), steps=(400, 100))
        >>> [(config.b, config.steps) for config in cross(lists, pair=("b", "steps"))]
        [(1, 400), (4, 100)]
    """
    axes = _axes(lists, pair, cells)
    n_trainings = prod(map(len, axes))
    rule = f"a grid must have at most {MOST_TRAININGS:,} trainings"
    require(n_trainings <= MOST_TRAININGS, rule, f"lists that cross to {n_trainings:.3g}")
    varying = [name for axis in axes if len(axis) > 1 for name in axis[0].settings]
    configs = []
    for combination in product(*axes):
        settings = {name: value for part in combination for name, value in part.settings.items()}
        try:
            configs.append(TrainConfig(**settings))
        except (ValueError, OverflowError) as error:
            naming = varying or ["size", "b"]
            words = [f"row {part.row}" for part in combination if part.row]
            words += [f"{name}={word_of(settings[name])}" for name in naming]
            raise ValueError(
                f"every training must be one that train takes, got {', '.join(words)}: {error}"
            ) from None
    return _merged(configs) if set(POLICY) & set(varying) else configs


def _axes(lists: Any, pair: Sequence[str], cells: Sequence[Cell]) -> list[list[Cell]]:
    """Put the settings that walk together onto one axis each; only a table's rows have numbers."""
    names = [setting.name for setting in fields(TrainConfig)]
    together = _paired(pair, names)
    columns = list(cells[0].settings) if cells else []
    for name in together:
        rule = "a paired list must be none that the table of cells has a column for"
        require(name not in columns, rule, PLURALS.get(name, name))
    axes = [list(cells)] if cells else []
    if together:
        listed = [getattr(lists, PLURALS.get(name, name)) for name in together]
        lengths = " and ".join(
            f"{PLURALS.get(name, name)} of {len(values)}"
            for name, values in zip(together, listed, strict=True)
        )
        rule = "paired lists must be equally long"
        require(len({len(values) for values in listed}) == 1, rule, lengths)
        axes.append(
            [Cell(0, dict(zip(together, row, strict=True))) for row in zip(*listed, strict=True)]
        )
    for name in names:
        if name not in (*together, *columns):
            values = getattr(lists, PLURALS.get(name, name))
            values = crossed(values) if name == "task_options" else values
            rule = f"{PLURALS.get(name, name)} must list at least one value"
            require(len(values) > 0, rule, "none")
            axes.append([Cell(0, {name: value}) for value in values])
    return sorted(axes, key=lambda axis: min(map(names.index, axis[0].settings)))


def _paired(pair: Sequence[str], names: Sequence[str]) -> list[str]:
    together = [singular(name) for name in pair]
    for name, came in zip(together, pair, strict=True):
        require(name in names, f"pair must name lists, of {', '.join(names)}", shortened(came))
    rule = "pair must name two lists or more, each once, as b,steps"
    is_pair = len(set(together)) == len(together) != 1
    require(is_pair, rule, ",".join(pair))
    return together


def singular(name: str) -> str:
    """Name a setting by the name of its list, or by its own: ``bs`` and ``b`` are ``b``."""
    return {plural: setting for setting, plural in PLURALS.items()}.get(name, name)


def _merged(configs: Sequence[TrainConfig]) -> list[TrainConfig]:
    """Leave out what is another's training under a policy that decides nothing there.

    A window of 15 is all loops at b = 10; an untied model of b = 1 has one stack, as a looped one.
    """
    first_of: dict[str, TrainConfig] = {}
    merged_configs = []
    for config in configs:
        first = first_of.setdefault(config.identity, config)
        own_policy = {name: getattr(config, name) for name in POLICY}
        if first is config or first == config or replace(first, **own_policy) != config:
            merged_configs.append(config)
    return merged_configs


def refuse_doubles(configs: Sequence[TrainConfig]) -> None:
    """Raise ValueError if two trainings, resolved, are the same experiment."""
    first_of: dict[str, TrainConfig] = {}
    for config in configs:
        twin = first_of.setdefault(config.identity, config)
        if twin is not config:
            differences = ", ".join(
                f"{setting.name}={word_of(getattr(twin, setting.name))} and "
                f"{word_of(getattr(config, setting.name))}"
                for setting in fields(TrainConfig)
                if getattr(twin, setting.name) != getattr(config, setting.name)
            )
            came = f"{config.name} twice" + (
                f" (with {differences}, which decides nothing there)" if differences else ""
            )
            raise ValueError(f"trainings must differ in what decides their outcome, got {came}")


def grid_identity(configs: Sequence[TrainConfig]) -> str:
    """Name a grid: the set of its trainings, whatever their order."""
    return digest({"cells": sorted(config.identity for config in configs)})
