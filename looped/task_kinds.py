"""What each task is: its settings and their rules, title, baselines, Bayes predictor.

A task is written here once; configuration, commands, baselines, notes, names of registered
models and analysis follow. How its functions are drawn is in ``tasks``. Imports nothing heavy.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from looped.rules import (
    digest,
    require,
    require_one_of,
    require_positive,
    require_whole,
    setting,
)

MOST_SUBSETS = 5_000
"""Of the coordinates, among which parity hides: its Bayes predictor tries them all."""

Check = Callable[[str, Any, int], None]
"""Raises ValueError unless a setting, by name, keeps its rule for so many dimensions."""


@dataclass(frozen=True, kw_only=True)
class TaskSetting:
    """A setting that a task has besides ``n_dims``.

    Attributes:
        name: as a parameter.
        default: its value where none is given.
        help: what it is, for a command line.
        word: stands before its value in the names of registered models.
        check: its rule.
        is_of_examples: whether it counts examples of a prompt, which must be as many at least.
    """

    name: str
    default: int | float
    help: str
    word: str
    check: Check
    is_of_examples: bool = False


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """What a function class is, but for how its functions are drawn.

    Attributes:
        title: in a sentence; settings stand in braces.
        settings: those that it has besides ``n_dims``.
        baselines: what a statistician would try on it, by name; see ``evaluation.baselines``.
        bayes: the one of them that no predictor can beat on average, where it is known.
        reads_tables: whether its models have learned what real tables of numbers ask.
        dial: the setting that says how many steps, one after another, lead to the answer.
    """

    title: str
    settings: tuple[TaskSetting, ...] = ()
    baselines: tuple[str, ...]
    bayes: str | None = None
    reads_tables: bool = False
    dial: str | None = None

    @property
    def setting_names(self) -> tuple[str, ...]:
        """Names of the settings, in their order."""
        return tuple(setting.name for setting in self.settings)


def _positive(name: str, value: Any, n_dims: int) -> None:
    require_positive(name, value)


def _whole(name: str, value: Any, n_dims: int) -> None:
    require_whole(name, value, 1)


def _at_most_dims(name: str, value: Any, n_dims: int) -> None:
    require_whole(name, value, 1)
    require(value <= n_dims, f"{name} must be at most n_dims={n_dims}", value)


def _at_most_sixteen(name: str, value: Any, n_dims: int) -> None:
    require_whole(name, value, 1)
    require(value <= 16, f"{name} must be at most 16", value)


def _chain_of_keys(name: str, value: Any, n_dims: int) -> None:
    require_whole(name, value, 1)
    require(n_dims >= 4, "n_dims must be at least 4, two for each of the two keys in x", n_dims)


def _few_subsets(name: str, value: Any, n_dims: int) -> None:
    _at_most_dims(name, value, n_dims)
    n_subsets = math.comb(n_dims, value)
    rule = f"{name}={value} of n_dims={n_dims} coordinates must be one of at most {MOST_SUBSETS:,}"
    require(n_subsets <= MOST_SUBSETS, f"{rule} subsets", f"{n_subsets:,}")


_NOISE_STD = TaskSetting(
    name="noise_std",
    default=0.25,
    help="noise of noisy_linear, relative to the noiseless y",
    word="noise",
    check=_positive,
)
_SPARSITY = TaskSetting(
    name="sparsity",
    default=3,
    help="non-zero weights of sparse_linear",
    word="sparsity",
    check=_at_most_dims,
)
_TREE_DEPTH = TaskSetting(
    name="tree_depth",
    default=4,
    help="depth of decision_tree",
    word="depth",
    check=_at_most_sixteen,
)
_N_HIDDEN = TaskSetting(
    name="n_hidden",
    default=100,
    help="hidden units of relu_network",
    word="hidden",
    check=_whole,
)
_HOPS = TaskSetting(
    name="hops",
    default=2,
    help="examples that a pointer_chain meets",
    word="hops",
    check=_chain_of_keys,
    is_of_examples=True,
)
_N_BITS = TaskSetting(
    name="n_bits",
    default=2,
    help="coordinates whose product parity is",
    word="bits",
    check=_few_subsets,
)
_LINEAR_BASELINES = ("least_squares", "averaging", "nearest_neighbours", "gradient_descent")

TASK_KINDS: Mapping[str, TaskKind] = MappingProxyType(
    {
        "linear": TaskKind(
            title="linear regression",
            baselines=_LINEAR_BASELINES,
            bayes="least_squares",
            reads_tables=True,
        ),
        "noisy_linear": TaskKind(
            title="noisy linear regression (noise_std {noise_std})",
            settings=(_NOISE_STD,),
            baselines=(*_LINEAR_BASELINES, "ridge"),
            bayes="ridge",
            reads_tables=True,
        ),
        "sparse_linear": TaskKind(
            title="sparse linear regression ({sparsity} non-zeros)",
            settings=(_SPARSITY,),
            baselines=(*_LINEAR_BASELINES, "lasso"),
            reads_tables=True,
        ),
        "decision_tree": TaskKind(
            title="decision trees of depth {tree_depth}",
            settings=(_TREE_DEPTH,),
            baselines=(
                *("greedy_tree", "greedy_tree_on_signs"),
                *("nearest_neighbours", "least_squares"),
            ),
        ),
        "relu_network": TaskKind(
            title="two-layer ReLU networks of {n_hidden} hidden units",
            settings=(_N_HIDDEN,),
            baselines=("network", "nearest_neighbours", "least_squares"),
        ),
        "pointer_chain": TaskKind(
            title="pointer chains ({hops} hops)",
            settings=(_HOPS,),
            baselines=("whole_chain", "hop_by_hop", "mean_of_values"),
            bayes="whole_chain",
            dial="hops",
        ),
        "parity": TaskKind(
            title="parity ({n_bits} hidden bits)",
            settings=(_N_BITS,),
            baselines=(
                *("consistent_subsets", "elimination_mod_2"),
                *("least_squares_on_products", "seen_before"),
            ),
            bayes="consistent_subsets",
            dial="n_bits",
        ),
    }
)
"""Every task by name."""

TASK_SETTINGS: Mapping[str, TaskSetting] = MappingProxyType(
    {setting.name: setting for kind in TASK_KINDS.values() for setting in kind.settings}
)
"""Every setting of any task by name."""


def task_setting(name: str) -> Any:
    """Declare the field of a dataclass that holds a task's setting; see ``rules.setting``."""
    return setting(TASK_SETTINGS[name].default, TASK_SETTINGS[name].help)


@dataclass(frozen=True, init=False)
class TaskConfig:
    """A function class and its settings, which are read like attributes: ``task.noise_std``.

    Args:
        name: one of ``TASK_KINDS``.
        n_dims: length of an x.
        settings: a value for each setting of that task, and for no other.

    Raises:
        ValueError: a rule is broken.

    Example:
        >>> TaskConfig("sparse_linear", 5, sparsity=2).sparsity
        2
    """

    name: str
    n_dims: int
    settings: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, n_dims: int, **settings: Any) -> None:
        require_one_of("task", name, tuple(TASK_KINDS))
        require_whole("n_dims", n_dims, 1)
        kind = TASK_KINDS[name]
        for unknown in settings.keys() - set(kind.setting_names):
            require(settings[unknown] is None, f"task {name} has no {unknown}", settings[unknown])
        for declared in kind.settings:
            declared.check(declared.name, settings.get(declared.name), n_dims)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "n_dims", n_dims)
        pairs = tuple((setting, settings[setting]) for setting in kind.setting_names)
        object.__setattr__(self, "settings", pairs)

    def __getattr__(self, name: str) -> Any:
        for setting_name, value in self.__dict__.get("settings", ()):
            if setting_name == name:
                return value
        raise AttributeError(f"{type(self).__name__} has no {name}")

    def require_examples(self, n_examples: int) -> None:
        """Raise ValueError unless prompts of so many examples can hold the task."""
        for declared in self.kind.settings:
            value = getattr(self, declared.name)
            rule = f"{declared.name} must be at most n_examples={n_examples}"
            require(not declared.is_of_examples or value <= n_examples, rule, value)

    @property
    def kind(self) -> TaskKind:
        """What the task is, whatever its settings."""
        return TASK_KINDS[self.name]

    @property
    def title(self) -> str:
        """The task in words: ``noisy linear regression (noise_std 0.25)``."""
        return self.kind.title.format(**dict(self.settings))

    @property
    def content(self) -> dict[str, Any]:
        """The task's name and those settings that it has."""
        return {"name": self.name, "n_dims": self.n_dims, **dict(self.settings)}

    def baselines_identity(self, n_examples: int, n_loops: int, n_prompts: int) -> str:
        """Name what decides the scores of the task's baselines on the held-out prompts.

        Args:
            n_examples: in-context examples N.
            n_loops: steps of gradient descent.
            n_prompts: the first so many prompts of the held-out stream.
        """
        counts = {"n_examples": n_examples, "n_loops": n_loops, "n_prompts": n_prompts}
        return digest({"task": self.content, **counts})

    def prompts_identity(self, n_examples: int) -> str:
        """Name what decides the stream of held-out prompts, the same for every model.

        Args:
            n_examples: in-context examples N.
        """
        return digest({"task": self.content, "n_examples": n_examples})
