"""The GPUs of this machine as a worker is given them, and how groups are parted among them."""

import os
from collections.abc import Sequence

from looped.config import TrainConfig
from looped.grid.engines.engine import After

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_devices(n_devices: int, variable: str | None) -> list[str]:
    """Name the GPUs that this process may use, each as ``CUDA_VISIBLE_DEVICES`` takes it.

    Numbers, UUIDs (``GPU-...``) and MIG instances (``MIG-...``) stay as the user wrote them. CUDA
    shows a process only one MIG instance, whatever it lists, so those are not counted.

    Args:
        n_devices: that CUDA shows this process.
        variable: the value of ``CUDA_VISIBLE_DEVICES``; None where it is not set.

    Example:
        >>> visible_devices(2, None)
        ['0', '1']
        >>> visible_devices(2, "3,GPU-8f2c")
        ['3', 'GPU-8f2c']
        >>> visible_devices(1, "MIG-aa,MIG-bb")
        ['MIG-aa', 'MIG-bb']
        >>> visible_devices(1, "2,-1,3")  # CUDA takes none behind one that is not there
        ['2']
    """
    if variable is None:
        return [str(number) for number in range(n_devices)]
    names = [name.strip() for name in variable.split(",")]
    for place, name in enumerate(names):
        if not name or name.startswith("-"):
            names = names[:place]
            break
    if names and all(name.startswith("MIG-") for name in names):
        return list(dict.fromkeys(names)) if n_devices else []
    return names[:n_devices]


def devices_here() -> list[str]:
    """Name the GPUs that this process may use; none without one."""
    import torch

    return visible_devices(torch.cuda.device_count(), os.environ.get(VISIBLE))


def part(groups: Sequence[Sequence[TrainConfig]], n_parts: int) -> list[list[TrainConfig]]:
    """Halve the groups of most work until none has more than its share of so many workers.

    Args:
        groups: trainings that run together.
        n_parts: how many groups run at the same time.
    """
    parts = [list(group) for group in groups]
    share = sum(map(flops_of, parts)) / n_parts
    while True:
        too_large = [group for group in parts if len(group) > 1 and flops_of(group) > share]
        if not too_large:
            return parts
        largest = max(too_large, key=flops_of)
        place = parts.index(largest)
        parts[place : place + 1] = _halves(largest)


def longest_first(
    groups: Sequence[Sequence[TrainConfig]], after: After
) -> list[Sequence[TrainConfig]]:
    """Order groups by their FLOPs, so that none of the long ones is waited for alone at the end.

    One that another waits for counts as that one, and comes before it.
    """
    work = [flops_of(group) for group in groups]
    steps = {config.identity: config.steps for group in groups for config in group}
    place_of = {config.identity: place for place, group in enumerate(groups) for config in group}
    for identity in sorted(after.keys() & steps.keys(), key=lambda each: -steps[each]):
        shorter = place_of.get(after[identity])
        if shorter is not None:
            work[shorter] = max(work[shorter], work[place_of[identity]])
    places = range(len(groups))
    return [
        groups[place]
        for place in sorted(places, key=lambda each: (-work[each], groups[each][0].steps))
    ]


def flops_of(group: Sequence[TrainConfig]) -> int:
    """Return the FLOPs of all steps of a group."""
    return sum(config.steps * config.step_flops for config in group)


def _halves(group: list[TrainConfig]) -> list[list[TrainConfig]]:
    """Cut a group, in its order, where its work is halved best."""
    cuts = range(1, len(group))
    best = min(cuts, key=lambda cut: abs(flops_of(group[:cut]) - flops_of(group[cut:])))
    return [group[:best], group[best:]]
