"""Which trainings run as one program."""

from collections.abc import Sequence

from looped.config import TrainConfig


def can_share(first: TrainConfig, second: TrainConfig) -> bool:
    """Tell whether two resolved configurations may train as one program.

    They must share model, task, recipe and device, and either their b and windows or, where b
    is not drawn, a loss that sees every loop of both with a gradient through all.
    """
    alike = (
        *("model_config", "task_config", "rate", "base_recipe", "policy", "device", "kernels"),
        *("checkpoint_loops", "log_every", "average"),
    )
    if any(getattr(first, name) != getattr(second, name) for name in alike):
        return False
    same_loops = (first.b, first.windows) == (second.b, second.windows)
    see_all = all(config.windows == (config.b, config.b) for config in (first, second))
    return same_loops or (first.b_draw == "fixed" and see_all)


def replica_groups(configs: Sequence[TrainConfig], replicas: str) -> list[list[TrainConfig]]:
    """Say which trainings run together, each group in the order given.

    Args:
        configs: of the trainings, resolved.
        replicas: ``off``, the largest number of trainings in a group, or ``auto``: all that may
            share a program on a GPU, off on a CPU.
    """
    groups: list[list[TrainConfig]] = []
    with_room: list[list[TrainConfig]] = []
    for config in configs:
        automatic = len(configs) if config.device == "cuda" else 1
        group_size = {"auto": automatic, "off": 1}.get(replicas) or int(replicas)
        group = next((group for group in with_room if can_share(group[0], config)), None)
        if group is None:
            group = []
            groups.append(group)
            with_room.append(group)
        group.append(config)
        if len(group) == group_size:
            with_room.remove(group)
    return groups
