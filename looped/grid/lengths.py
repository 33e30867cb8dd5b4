"""Trainings of a grid that differ in their length alone: each begins where a shorter one ends."""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from looped.config import TrainConfig
from looped.grid.records.standing import TO_DO, Standing
from looped.records.first_steps import (
    can_begin_with,
    folders_by_name,
    shorter_trainings,
    way_of,
)
from looped.records.folder import load_config
from looped.records.origin import Code


def plan_first_steps(
    to_train: Sequence[TrainConfig],
    standings: MutableMapping[str, Standing],
    root: Path,
    code: Code | None,
) -> dict[str, str]:
    """Say which trainings wait for a shorter one; write into the standings where they will begin.

    Args:
        to_train: resolved.
        standings: by identity.
        root: folder of all runs, where shorter trainings may have ended already.
        code: that must have taken all steps; None for any.

    Returns:
        By the identity of a training that of the one which it begins after.
    """
    by_way: dict[TrainConfig, list[TrainConfig]] = {}
    alike_of = {config.identity: by_way.setdefault(way_of(config), []) for config in to_train}
    for config in to_train:
        alike_of[config.identity].append(config)
    folders, load = folders_by_name(root), cache(load_config)
    after = {}
    for config in to_train:
        if standings[config.identity].state != TO_DO:
            continue
        alike = alike_of[config.identity]
        planned = [shorter for shorter in alike if can_begin_with(config, shorter)]
        namesakes = folders.get(config.name, [])
        left = [each.config for each in shorter_trainings(config, namesakes, code, load)]
        shorter = max((*left, *planned), key=lambda each: each.steps, default=None)
        if shorter is not None:
            standing = standings[config.identity]
            standings[config.identity] = replace(standing, first_step=shorter.steps)
            if shorter in planned:
                after[config.identity] = shorter.identity
    return after


def in_order(to_train: Iterable[TrainConfig], after: Mapping[str, str]) -> list[TrainConfig]:
    """Order trainings: the longest first, so that none is waited for alone.

    One that a longer one waits for counts as that one, and comes before it.
    """
    by_length = sorted(to_train, key=lambda config: -config.steps)
    flops = {config.identity: config.steps * config.step_flops for config in by_length}
    for config in by_length:
        shorter = after.get(config.identity)
        if shorter is not None:
            flops[shorter] = max(flops[shorter], flops[config.identity])
    return sorted(by_length, key=lambda config: (-flops[config.identity], config.steps))


def first_free(
    queue: Sequence[Sequence[TrainConfig]], running: set[str], after: Mapping[str, str]
) -> int | None:
    """Return the place of the first group that waits for none that is queued or runs, if any."""
    if not queue or not after:
        return 0 if queue else None
    unended = running.union(config.identity for group in queue for config in group)
    places = (
        place
        for place, group in enumerate(queue)
        if not any(after.get(config.identity) in unended for config in group)
    )
    return next(places, None)
