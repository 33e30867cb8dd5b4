"""What each task is: its settings and their rules, title, baselines, Bayes predictor.

A task is written here once; configuration, commands, baselines, notes, names of registered
models and analysis follow. How its functions are drawn is in ``functions``. Imports nothing heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from looped.rules import setting
from looped.tasks.settings import (
    TaskSetting,
    at_most_dims,
    at_most_sixteen,
    chain_of_keys,
    few_subsets,
    positive,
    whole,
)


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


_NOISE_STD = TaskSetting(
    name="noise_std",
    default=0.25,
    help="noise of noisy_linear, relative to the noiseless y",
    word="noise",
    check=positive,
)
_SPARSITY = TaskSetting(
    name="sparsity",
    default=3,
    help="non-zero weights of sparse_linear",
    word="sparsity",
    check=at_most_dims,
)
_TREE_DEPTH = TaskSetting(
    name="tree_depth",
    default=4,
    help="depth of decision_tree",
    word="depth",
    check=at_most_sixteen,
)
_N_HIDDEN = TaskSetting(
    name="n_hidden",
    default=100,
    help="hidden units of relu_network",
    word="hidden",
    check=whole,
)
_HOPS = TaskSetting(
    name="hops",
    default=2,
    help="examples that a pointer_chain meets",
    word="hops",
    check=chain_of_keys,
    is_of_examples=True,
)
_N_BITS = TaskSetting(
    name="n_bits",
    default=2,
    help="coordinates whose product parity is",
    word="bits",
    check=few_subsets,
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
