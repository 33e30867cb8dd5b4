"""Looped transformers: one weight-tied stack of blocks applied b times.

The names below are loaded when first used, so that a script can show its help without
waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from looped import datasets as datasets
    from looped.config import TrainConfig
    from looped.model import LoopedTransformer
    from looped.sizes import SIZES, ModelConfig, Size, register_size
    from looped.tasks.functions import make_task, register_task
    from looped.tasks.settings import TaskSetting
    from looped.tasks.task import Task
    from looped.tracking.registry import load
    from looped.training.loop import train

_HOMES = {
    "SIZES": "sizes",
    "ModelConfig": "sizes",
    "Size": "sizes",
    "TrainConfig": "config",
    "LoopedTransformer": "model",
    "Task": "tasks.task",
    "TaskSetting": "tasks.settings",
    "make_task": "tasks.functions",
    "register_size": "sizes",
    "register_task": "tasks.functions",
    "train": "training.loop",
    "load": "tracking.registry",
}

__all__ = [
    "SIZES",
    "LoopedTransformer",
    "ModelConfig",
    "Size",
    "Task",
    "TaskSetting",
    "TrainConfig",
    "load",
    "make_task",
    "register_size",
    "register_task",
    "train",
]


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "datasets":
        return import_module("looped.datasets")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
