"""The cells of a study: lists that are crossed, and what tells one cell from another."""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from itertools import product
from types import GenericAlias
from typing import Any, get_type_hints

from looped.config import TrainConfig
from looped.rules import digest, require
from looped.sizes import SIZES

PLURALS = {"size": "sizes", "b": "bs", "seed": "seeds"}
"""Settings whose list goes by another name; a list of any other goes by the setting's own."""

STUDY: Mapping[str, tuple[Any, ...]] = {
    "size": tuple(SIZES),
    "b": (1, 5, 10, 15),
    "seed": (42, 451, 1984),
}
"""The study's 36 runs: the default of a grid."""


def _declare() -> list[tuple[str, Any, Any]]:
    hints = get_type_hints(TrainConfig)
    declared = []
    for setting in fields(TrainConfig):
        default = STUDY.get(setting.name, (setting.default,))
        metadata = {"help": setting.metadata["help"], "choices": None}
        kind = GenericAlias(tuple, (hints[setting.name], ...))
        declared.append(
            (
                PLURALS.get(setting.name, setting.name),
                kind,
                field(default=default, metadata=metadata),
            )
        )
    return declared


Lists: Any = make_dataclass("Lists", _declare(), frozen=True)
"""For each setting of ``TrainConfig`` the values that are crossed; defaults: the study's."""


def cross(lists: Any) -> list[TrainConfig]:
    """Cross the lists into cells.

    Raises:
        ValueError: a list is empty, or a cell breaks a rule of ``TrainConfig``; the message
            names the cell by the values that only some cells have.
    """
    names = [setting.name for setting in fields(TrainConfig)]
    values = [getattr(lists, PLURALS.get(name, name)) for name in names]
    for name, own in zip(names, values, strict=True):
        require(len(own) > 0, f"{PLURALS.get(name, name)} must list at least one value", "none")
    cells = []
    for chosen in product(*values):
        settings = dict(zip(names, chosen, strict=True))
        try:
            cells.append(TrainConfig(**settings))
        except ValueError as error:
            told_by = [n for n, own in zip(names, values, strict=True) if len(own) > 1]
            cell = ", ".join(f"{name}={_word(settings[name])}" for name in told_by or ["size", "b"])
            raise ValueError(
                f"every cell must be one that train takes, got {cell}: {error}"
            ) from None
    return cells


def refuse_doubles(cells: Sequence[TrainConfig]) -> None:
    """Raise ValueError if two cells, resolved, are the same experiment."""
    known: dict[str, TrainConfig] = {}
    for cell in cells:
        twin = known.setdefault(cell.identity, cell)
        if twin is not cell:
            differ = ", ".join(
                f"{setting.name}={_word(getattr(twin, setting.name))} and "
                f"{_word(getattr(cell, setting.name))}"
                for setting in fields(TrainConfig)
                if getattr(twin, setting.name) != getattr(cell, setting.name)
            )
            came = f"{cell.name} twice" + (
                f" (with {differ}, which decides nothing there)" if differ else ""
            )
            raise ValueError(f"cells must differ in what decides their outcome, got {came}")


def grid_identity(cells: Sequence[TrainConfig]) -> str:
    """Name a grid: the set of its cells, whatever their order."""
    return digest({"cells": sorted(cell.identity for cell in cells)})


def varied(cells: Sequence[TrainConfig]) -> list[str]:
    """Name the settings that tell the cells apart, those that follow from others left out."""
    if not cells:
        return []
    return [
        setting.name
        for setting in fields(TrainConfig)
        if setting.name not in ("learning_rate", "loop_window", "precision", "device")
        and len({getattr(cell, setting.name) for cell in cells}) > 1
    ] + [
        name
        for name in ("learning_rate", "loop_window", "precision")
        if len({cell.recipe[name] for cell in cells}) > 1
    ]


def _word(value: Any) -> str:
    return "auto" if value is None else str(value)
