"""Function classes to learn in context: what they are, and how their functions are drawn.

The names below are loaded when first used: what draws needs torch, what describes does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from looped.tasks.functions import HELD_OUT_SEED, TASKS, from_config, make_task
    from looped.tasks.task import Task

__all__ = ["HELD_OUT_SEED", "TASKS", "Task", "from_config", "make_task"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.functions"), name)
