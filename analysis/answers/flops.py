"""FLOPs of a training and of one prompt, by size and b."""

import math
from collections.abc import Sequence
from dataclasses import replace

from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig

KINDS = {"train": "a training", "infer": "one prompt"}
"""What FLOPs are counted of."""


def flops_of(config: TrainConfig, kind: str, b: int) -> float:
    """FLOPs of the matrix products at some b, with the loss over the last loops as by default.

    Args:
        config: a training of the size; its b is replaced.
        kind: one of ``KINDS``; a training is counted whole, with all its steps.
        b: loops, whole.

    Example:
        >>> from analysis.answers.flops import flops_of
        >>> from looped.config import TrainConfig
        >>> config = TrainConfig(size="tiny", steps=100)
        >>> flops_of(config, "train", 5) / flops_of(config, "train", 1) < 5
        True
    """
    training = replace(config.under({}), b=b)
    if kind == "infer":
        return float(training.model_config.forward_flops(b))
    return float(training.steps * training.step_flops)


def flops_between(config: TrainConfig, kind: str, b: float) -> float:
    """The same at a b that need not be whole: on the straight line between its neighbours.

    Example:
        >>> from analysis.answers.flops import flops_between, flops_of
        >>> from looped.config import TrainConfig
        >>> config = TrainConfig(size="tiny")
        >>> ends = [flops_of(config, "infer", b) for b in (2, 3)]
        >>> flops_between(config, "infer", 2.5) == sum(ends) / 2
        True
    """
    if math.isinf(b):
        return math.inf
    below = math.floor(b)
    low = flops_of(config, kind, below)
    return low + (b - below) * (flops_of(config, kind, below + 1) - low) if b > below else low


def length_of(runs: Sequence[LoggedRun]) -> str:
    """Say how long trainings are: ``7,500 steps``, or ``1,500 to 7,500 steps``."""
    steps = sorted({run.config.steps for run in runs})
    return " to ".join(f"{count:,}" for count in dict.fromkeys((steps[0], steps[-1]))) + " steps"
