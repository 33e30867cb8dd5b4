"""The loop beyond b as a dynamical system: what states do, and how steep the loop is there.

A few of the held-out prompts tell it, in fp32 through PyTorch's own operations, for the states are
looked at and not predictions alone.
"""

from dataclasses import replace

import numpy as np
import torch

from looped.evaluation.behaviour import Behaviour, classify, shares, window_start
from looped.evaluation.evaluation import Evaluation
from looped.evaluation.held_out import held_out_batches
from looped.evaluation.jacobian import spectral_radii
from looped.model import LoopedTransformer
from looped.tasks import Task

FEWEST_PROMPTS, MOST_PROMPTS = 16, 128
SHARE = 100
"""One in so many of the held-out prompts, so that it costs little beside the errors."""
JACOBIAN_PROMPTS = 8
PROMPTS_AT_ONCE = 16
"""Whose states are in memory together: 128 tokens of width 192 over 100 loops take 160 MB."""


def with_dynamics(
    model: LoopedTransformer, task: Task, b: int, evaluation: Evaluation
) -> Evaluation:
    """Return an evaluation with what the state does beyond b.

    Args:
        model: that was evaluated. An untied one has no loops beyond b, and so no dynamics.
        task: where the prompts come from.
        b: the loop count that the model was trained at.
        evaluation: of the model; it says how many loops to run.
    """
    n_loops, n_prompts = evaluation.query_errors.shape
    first = window_start(b, n_loops)
    if first is None or model.config.n_stacks > 1:
        return evaluation
    n_followed = min(n_prompts, max(FEWEST_PROMPTS, min(n_prompts // SHARE, MOST_PROMPTS)))
    return replace(evaluation, dynamics=follow(model, task, first, n_loops, n_followed))


@torch.no_grad()
def follow(
    model: LoopedTransformer, task: Task, first: int, n_loops: int, n_prompts: int
) -> dict[str, float]:
    """Follow the states of the first held-out prompts to the end.

    Args:
        model: a looped one.
        task: where the prompts come from.
        first: the loop after which states are looked at; see ``window_start``.
        n_loops: loops to run.
        n_prompts: how many prompts to follow; the first ``JACOBIAN_PROMPTS`` of them have their
            Jacobian taken at the last state.

    Returns:
        What ``behaviour.shares`` says, and ``spectral_radius``, the median over prompts, with
        the least and the largest.
    """
    device = next(model.parameters()).device
    parts: list[Behaviour] = []
    radii: list[float] = []
    for xs, ys in held_out_batches(task, model.config.n_points, n_prompts):
        for start in range(0, len(xs), PROMPTS_AT_ONCE):
            chunk = slice(start, start + PROMPTS_AT_ONCE)
            p = model.embed(xs[chunk].to(device), ys[chunk].to(device))
            z = torch.zeros_like(p)
            states = []
            for number in range(1, n_loops + 1):
                z = model.loop(z, p, number)
                if number >= first:
                    states.append(z.flatten(1).cpu().numpy())
            parts.append(classify(np.stack(states), first))
            rest = JACOBIAN_PROMPTS - len(radii)
            if rest > 0 and bool(torch.isfinite(z).all()):
                radii += spectral_radii(model, z[:rest], p[:rest]).tolist()
    together = Behaviour(*(np.concatenate(each) for each in zip(*map(_arrays, parts), strict=True)))
    values = shares(together) | {"loops": float(n_loops), "first_loop": float(first)}
    if not radii:
        return values
    return values | {
        "spectral_radius": float(np.median(radii)),
        "spectral_radius_least": min(radii),
        "spectral_radius_most": max(radii),
        "spectral_radius_prompts": float(len(radii)),
    }


def _arrays(part: Behaviour) -> tuple[np.ndarray, np.ndarray]:
    return part.kinds, part.periods
