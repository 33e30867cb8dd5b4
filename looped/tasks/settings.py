"""Settings of tasks: what is declared of each, and the rules that their values keep."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from looped.rules import require, require_positive, require_whole

MOST_SUBSETS = 5_000
"""Of the coordinates, among which parity hides: its Bayes predictor tries them all."""

Check = Callable[[str, Any, int], None]
"""Raises ValueError unless a setting, by name, keeps its rule for so many dimensions."""


def positive(name: str, value: Any, n_dims: int) -> None:
    """Require a finite number above 0."""
    require_positive(name, value)


def whole(name: str, value: Any, n_dims: int) -> None:
    """Require a whole number of at least 1."""
    require_whole(name, value, 1)


def at_most_dims(name: str, value: Any, n_dims: int) -> None:
    """Require a whole number from 1 to ``n_dims``."""
    require_whole(name, value, 1)
    require(value <= n_dims, f"{name} must be at most n_dims={n_dims}", value)


def at_most_sixteen(name: str, value: Any, n_dims: int) -> None:
    """Require a whole number from 1 to 16."""
    require_whole(name, value, 1)
    require(value <= 16, f"{name} must be at most 16", value)


def chain_of_keys(name: str, value: Any, n_dims: int) -> None:
    """Require a number of hops, and an x that holds two keys."""
    require_whole(name, value, 1)
    require(n_dims >= 4, "n_dims must be at least 4, two for each of the two keys in x", n_dims)


def few_subsets(name: str, value: Any, n_dims: int) -> None:
    """Require so many coordinates of which there are few subsets."""
    at_most_dims(name, value, n_dims)
    n_subsets = math.comb(n_dims, value)
    rule = f"{name}={value} of n_dims={n_dims} coordinates must be one of at most {MOST_SUBSETS:,}"
    require(n_subsets <= MOST_SUBSETS, f"{rule} subsets", f"{n_subsets:,}")


def like_default(name: str, value: Any, n_dims: int) -> None:
    """Stands for the rule that follows from a setting's default."""


@dataclass(frozen=True, kw_only=True)
class TaskSetting:
    """A setting that a task has besides ``n_dims``.

    Attributes:
        name: as a parameter.
        default: its value where none is given.
        help: what it is, for a command line.
        word: stands before its value in the names of registered models; the name if left out.
        check: its rule, ``check(name, value, n_dims)``, which raises ValueError. If left out, a
            whole number of at least 1, or, where the default is a float, a positive number.
        is_of_examples: whether it counts examples of a prompt, which must be as many at least.

    Example:
        >>> scale = TaskSetting(name="scale", default=1.0, help="how steep the square is")
        >>> scale.check("scale", -2.0, 5)
        Traceback (most recent call last):
        ValueError: scale must be a finite number above 0, got -2.0
    """

    name: str
    default: int | float
    help: str = ""
    word: str = ""
    check: Check = like_default
    is_of_examples: bool = False

    def __post_init__(self) -> None:
        if self.check is like_default:
            rule = positive if isinstance(self.default, float) else whole
            object.__setattr__(self, "check", rule)
        object.__setattr__(self, "word", self.word or self.name)
