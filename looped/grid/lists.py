"""Lists of settings that are crossed into trainings, and what tells one from another."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, make_dataclass, replace
from itertools import product
from math import prod
from types import GenericAlias
from typing import Any, get_type_hints

from looped.config import TrainConfig
from looped.grid.options import MOST_TRAININGS, shortened
from looped.grid.studies import left_to_study
from looped.rules import digest, require
from looped.sizes import STUDY_SIZES
from looped.tasks.own import crossed

PLURALS = {"size": "sizes", "b": "bs", "seed": "seeds"}
"""Settings whose list goes by another name; a list of any other goes by the setting's own."""

WINDOWS = ("loop_window", "loss_window", "grad_window")
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
        declarations.append((name, kind, left_to_study(setting, name, default)))
    return declarations


Lists: Any = make_dataclass("Lists", _declare(), frozen=True)
"""For each setting of ``TrainConfig`` the values that are crossed; defaults: the study's."""


def cross(lists: Any) -> list[TrainConfig]:
    """Cross the lists into trainings.

    Raises:
        ValueError: a list is empty, or a training breaks a rule of ``TrainConfig``; the message
            names it by the values that only some of them have.
    """
    names = [setting.name for setting in fields(TrainConfig)]
    values = [getattr(lists, PLURALS.get(name, name)) for name in names]
    at = names.index("task_options")
    values[at] = crossed(values[at])
    for name, values_of_name in zip(names, values, strict=True):
        require(
            len(values_of_name) > 0,
            f"{PLURALS.get(name, name)} must list at least one value",
            "none",
        )
    n_trainings = prod(len(values_of_name) for values_of_name in values)
    rule = f"a grid must have at most {MOST_TRAININGS:,} trainings"
    require(n_trainings <= MOST_TRAININGS, rule, f"lists that cross to {n_trainings:.3g}")
    varying = [name for name, listed in zip(names, values, strict=True) if len(listed) > 1]
    configs = []
    for combination in product(*values):
        settings = dict(zip(names, combination, strict=True))
        try:
            configs.append(TrainConfig(**settings))
        except (ValueError, OverflowError) as error:
            naming = varying or ["size", "b"]
            training = ", ".join(f"{name}={_word(settings[name])}" for name in naming)
            raise ValueError(
                f"every training must be one that train takes, got {training}: {error}"
            ) from None
    return _merged(configs) if set(POLICY) & set(varying) else configs


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
                f"{setting.name}={_word(getattr(twin, setting.name))} and "
                f"{_word(getattr(config, setting.name))}"
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


def varied(configs: Sequence[TrainConfig]) -> list[str]:
    """Name the settings that tell trainings apart, those that follow from others left out."""
    if not configs:
        return []
    return [
        setting.name
        for setting in fields(TrainConfig)
        if setting.name not in ("learning_rate", "precision", "device", *WINDOWS)
        and len({getattr(config, setting.name) for config in configs}) > 1
    ] + [
        name
        for name in ("learning_rate", "precision", "loss_window", "grad_window")
        if len({{**config.base_recipe, **config.policy}[name] for config in configs}) > 1
    ]


def _word(value: Any) -> str:
    return "auto" if value is None else shortened(str(value))
