"""Whether a task of one's own can be trained on, asked before the first step is.

A few prompts are drawn and each baseline answers them: what is missing or of a wrong shape shows
here, in a line, and not after hours.
"""

import math
from functools import cache

import torch
from torch import Tensor

from looped.evaluation.baselines import baselines_for
from looped.rules import one_line, require
from looped.tasks.functions import from_config
from looped.tasks.task import Task
from looped.tasks.task_config import TaskConfig

N_PROMPTS = 1024
"""For the mean and variance of y; shapes are seen on the first ``N_FIRST``."""
N_FIRST = 8
TOLERANCE = 0.05
"""How far the variance of y may lie from 1, beside five standard errors of its estimate."""


@cache
def require_sound(config: TaskConfig, n_examples: int) -> None:
    """Raise ValueError unless a task of one's own can be drawn, and its baselines can answer.

    Args:
        config: the function class; one of the package's own is sound.
        n_examples: in-context examples N.
    """
    if config.reference is None:
        return
    config.require_examples(n_examples)
    try:
        task = from_config(config)
        xs, ys = (part[:N_FIRST] for part in _draw(task, N_FIRST, n_examples + 1, step=0))
    except ValueError:
        raise
    except Exception as error:
        rule = f"{config.word} must draw prompts"
        raise ValueError(f"{rule}, got {type(error).__name__}: {one_line(error)}") from error
    again, next_step = (_draw(task, N_FIRST, n_examples + 1, step=step) for step in (0, 1))
    is_pure = torch.equal(xs, again[0]) and torch.equal(ys, again[1])
    rule = f"{config.word} must draw from the draws that it is given, the same at every call"
    require(is_pure, rule, "other prompts at the second call")
    require(not torch.equal(ys, next_step[1]), rule, "the same prompts at every step")
    _require_scale(config, _draw(task, N_PROMPTS, n_examples + 1, step=0)[1])
    for name, predict in baselines_for(task).items():
        try:
            answer = predict(xs, ys)
        except Exception as error:
            rule = f"the baseline {name} of {config.word} must answer prompts"
            raise ValueError(f"{rule}, got {type(error).__name__}: {one_line(error)}") from error
        rule = f"the baseline {name} of {config.word} must answer {N_FIRST} prompts with as many"
        rule += " finite numbers"
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        require(isinstance(shape, tuple) and shape[1:] == (N_FIRST, 1), rule, f"{shape}")
        require(bool(torch.isfinite(answer).all()), rule, "others")


def _draw(task: Task, n_prompts: int, n_points: int, step: int) -> tuple[Tensor, Tensor]:
    """Draw prompts that no training reads, and hold them to their shapes."""
    xs, ys = task.batch(0, step, n_prompts, n_points, held_out=True)
    shapes = {"xs": (n_prompts, n_points, task.n_dims), "ys": (n_prompts, n_points)}
    for name, part in {"xs": xs, "ys": ys}.items():
        rule = f"{task.config.word} must draw {name} of shape {shapes[name]}, float32"
        came = f"{tuple(part.shape)}, {str(part.dtype).removeprefix('torch.')}"
        require((tuple(part.shape), part.dtype) == (shapes[name], torch.float32), rule, came)
        is_finite = bool(torch.isfinite(part).all())
        require(is_finite, f"{task.config.word} must draw finite {name}", "others")
    return xs, ys


def _require_scale(config: TaskConfig, ys: Tensor) -> None:
    """Require a mean of 0 and a variance of 1, as far as the prompts can tell."""
    ys = ys.double()
    means, squares = ys.mean(dim=1), ys.square().mean(dim=1)
    mean, mean_se = float(means.mean()), float(means.std()) / math.sqrt(len(ys))
    variance, se = float(squares.mean()), float(squares.std()) / math.sqrt(len(ys))
    rule = f"y of {config.word} must have mean 0 over prompts"
    require(abs(mean) <= TOLERANCE + 5 * mean_se, rule, f"{mean:.3g}, with error {mean_se:.2g}")
    rule = f"y of {config.word} must have variance 1 over prompts, so that errors are NMSE"
    came = f"{variance:.3g}, with error {se:.2g} (divide y by {math.sqrt(variance):.4g})"
    require(abs(variance - 1) <= TOLERANCE + 5 * se, rule, came)
