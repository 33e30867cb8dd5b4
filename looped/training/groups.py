"""Which trainings run as one program."""

from collections.abc import Hashable, Sequence

from looped.config import TrainConfig


def program_of(config: TrainConfig) -> Hashable:
    """Return what resolved configurations have in common that may train as one program.

    It is model, task, recipe and device, how their machine runs them, and either b and the
    windows or, where b is not drawn, that the loss sees every loop with a gradient through all.
    """
    sees_all = config.b_draw == "fixed" and config.windows == (config.b, config.b)
    return (
        *(config.model_config, config.task_config, config.rate, config.device, config.kernels),
        *(config.checkpoint_loops, config.log_every, config.average),
        *(*config.base_recipe.items(), *config.policy.items()),
        None if sees_all else (config.b, config.windows),
    )


def can_share(first: TrainConfig, second: TrainConfig) -> bool:
    """Tell whether two resolved configurations may train as one program."""
    return program_of(first) == program_of(second)


def replica_groups(configs: Sequence[TrainConfig], replicas: str) -> list[list[TrainConfig]]:
    """Say which trainings run together, each group in the order given.

    Args:
        configs: of the trainings, resolved.
        replicas: ``off``, the largest number of trainings in a group, or ``auto``: all that may
            share a program on a GPU, off on a CPU.
    """
    groups: list[list[TrainConfig]] = []
    with_room: dict[Hashable, list[TrainConfig]] = {}
    for config in configs:
        automatic = len(configs) if config.device == "cuda" else 1
        group_size = {"auto": automatic, "off": 1}.get(replicas) or int(replicas)
        program = program_of(config)
        group = with_room.get(program)
        if group is None:
            group = with_room[program] = []
            groups.append(group)
        group.append(config)
        if len(group) == group_size:
            del with_room[program]
    return groups
