"""What people read to tell trainings and cells apart; nothing else goes by it.

A name (``TrainConfig.name``) is short and names folders too, so that it stays as it is. A title
says more: the ways of training that are no default, and what tells namesakes apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from looped.config import TrainConfig
from looped.rules import shortened

WINDOWS = ("loop_window", "loss_window", "grad_window")
_WAYS = ("loss_window", "grad_window", "learning_rate", "learning_rate_factor")
"""Ways of training that a name does not say."""


def title_of(config: TrainConfig) -> str:
    """Name a training with its windows and rate where they are no default.

    Example:
        >>> title_of(TrainConfig(b=3)), title_of(TrainConfig(b=3, loss_window=2.0))
        ('tiny-b3-s42', 'tiny-b3-s42 loss_window=2')
    """
    usual = TrainConfig().policy
    ways = [name for name in _WAYS if config.policy[name] != usual[name]]
    return " ".join([config.name, *_settings(config, ways)])


def cell_titles(configs: Iterable[TrainConfig]) -> dict[str, str]:
    """Name cells by their identity: as ``title_of`` names trainings, whatever the seed.

    Those that are left with one name get what tells them apart as well.

    Args:
        configs: one of each cell.

    Example:
        >>> configs = [TrainConfig(b=3, steps=100), TrainConfig(b=3, steps=200), TrainConfig(b=2)]
        >>> list(cell_titles(configs).values())
        ['tiny-b3 steps=100', 'tiny-b3 steps=200', 'tiny-b2']
    """
    namesakes: dict[str, list[TrainConfig]] = {}
    for config in configs:
        namesakes.setdefault(without_seed(config, title_of(config)), []).append(config)
    titles = {}
    for title, of_title in namesakes.items():
        names = [name for name in varied(of_title) if name not in _WAYS] if of_title[1:] else []
        for config in of_title:
            deciding = {**config.base_recipe, **config.policy, **config.task_config.content}
            words = _settings(config, [name for name in names if name in (*deciding, "task")])
            titles[config.cell_identity] = " ".join([title, *words])
    return titles


def without_seed(config: TrainConfig, title: str) -> str:
    """Leave the seed out of a name or title of a training.

    Example:
        >>> without_seed(TrainConfig(), "tiny-b5-s42-untied")
        'tiny-b5-untied'
    """
    return title.replace(f"-s{config.seed}", "", 1)


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


def titles(configs: Sequence[TrainConfig]) -> dict[str, str]:
    """Name trainings, resolved, by identity: those of one name with what tells them apart.

    Example:
        >>> configs = [TrainConfig(b=2, steps=n) for n in (100, 200)] + [TrainConfig(b=3)]
        >>> list(titles([config.resolved("cpu", "fp32") for config in configs]).values())
        ['tiny-b2-s42 steps=100', 'tiny-b2-s42 steps=200', 'tiny-b3-s42']
    """
    by_name: dict[str, list[TrainConfig]] = {}
    for config in configs:
        by_name.setdefault(config.name, []).append(config)
    title_of = {}
    for name, namesakes in by_name.items():
        differing = varied(namesakes) if len(namesakes) > 1 else []
        for config in namesakes:
            title_of[config.identity] = " ".join([name, *_settings(config, differing)])
    return {config.identity: title_of[config.identity] for config in configs}


def value_of(config: TrainConfig, name: str) -> str:
    """Write a setting of a training, resolved, as it was asked for: windows as ``all``, say."""
    settings = {**config.base_recipe, **config.policy}
    return word_of(settings.get(name, getattr(config, name)))


def word_of(value: Any) -> str:
    """Write a setting's value in a line, None as ``auto``."""
    return "auto" if value is None else shortened(str(value))


def _settings(config: TrainConfig, names: Iterable[str]) -> list[str]:
    return [f"{name}={value_of(config, name)}" for name in names]
