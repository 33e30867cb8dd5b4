"""Error after every loop on held-out prompts, and whether the state comes to rest.

All models are measured on the same prompts, drawn on the CPU from a stream that no training
reads, in fp32 whatever they were trained in.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from looped.evaluation.evaluation import Evaluation
from looped.kernels.cpu import library
from looped.kernels.cpu.chain import CpuChain
from looped.model import LoopedTransformer, prompt_tokens
from looped.tasks import HELD_OUT_SEED, Task

PROMPTS_PER_BATCH = 256
DRAWS_ON_GPU = 10  # at once: a GPU is not filled by one


def held_out_batches(
    task: Task, n_points: int, n_prompts: int, n_draws: int = 1, first: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the first ``n_prompts`` held-out prompts, the same for every predictor.

    Args:
        task: where they come from.
        n_points: points of a prompt.
        n_prompts: how many there are in all.
        n_draws: draws of ``PROMPTS_PER_BATCH`` prompts to yield at once.
        first: leave out so many at the beginning.
    """
    at_once = n_draws * PROMPTS_PER_BATCH
    for start in range(first - first % PROMPTS_PER_BATCH, n_prompts, at_once):
        steps = range(start // PROMPTS_PER_BATCH, (start + at_once) // PROMPTS_PER_BATCH)
        batches = [
            task.batch(HELD_OUT_SEED, step, PROMPTS_PER_BATCH, n_points, held_out=True)
            for step in steps
        ]
        prompts_to_run = slice(max(first - start, 0), n_prompts - start)
        xs, ys = (torch.cat(parts)[prompts_to_run] for parts in zip(*batches, strict=True))
        yield xs, ys


@torch.no_grad()
def evaluate(
    model: LoopedTransformer,
    task: Task,
    n_loops: int,
    n_prompts: int,
    on_batch: Callable[[int], None] = lambda prompts_done: None,
    kernels: str = "auto",
    first: int = 0,
) -> Evaluation:
    """Run held-out prompts through ``n_loops`` loops; memory does not grow with ``n_loops``.

    Args:
        model: any looped transformer; ``n_loops`` need not be what it was trained at.
        task: where the prompts come from; the first ``n_prompts`` of its held-out stream.
        n_loops: loops to run and to measure after each; an untied model has as many as stacks.
        n_prompts: prompts, 2 or more.
        on_batch: told after each batch how many prompts are done; may raise to stop.
        kernels: ``off`` for PyTorch's own operations, else compiled ones where they serve.
        first: leave out so many of the prompts at the beginning, which were run before.
    """
    if n_loops < 1:
        raise ValueError(f"n_loops must be at least 1, got {n_loops}")
    if n_prompts < 2:
        raise ValueError(f"n_prompts must be at least 2, got {n_prompts}")
    device = next(model.parameters()).device
    n_run = n_prompts - first
    query_errors = np.empty((n_loops, n_run), dtype=np.float32)
    point_sums = np.zeros((n_loops, model.config.n_queries))
    change_sums, read_sums = np.zeros(n_loops - 1), np.zeros(n_loops - 1)
    n_done = 0
    n_draws = DRAWS_ON_GPU if device.type == "cuda" else 1
    flops = n_run * model.config.forward_flops(n_loops)
    is_served = device.type == "cpu" and model.config.n_stacks == 1
    is_fused = kernels != "off" and is_served and library.serves(flops)
    follow = _fused(model) if is_fused else partial(_plain, model)
    for prompts in held_out_batches(task, model.config.n_points, n_prompts, n_draws, first):
        xs, ys = (part.to(device) for part in prompts)
        targets = ys[:, -model.config.n_queries :]
        predictions, changes = follow(xs, ys, n_loops)
        errors = (predictions - targets).square()  # (loop, B, Q)
        query_errors[:, n_done : n_done + len(xs)] = errors[:, :, -1].cpu().numpy()
        point_sums += errors.sum(dim=1).cpu().numpy()
        change_sums += changes.sum(dim=1).cpu().numpy()
        read_sums += predictions[:, :, -1].diff(dim=0).abs().sum(dim=1).cpu().numpy()
        n_done += len(xs)
        on_batch(first + n_done)
    point_nmse, state_change = point_sums / n_run, change_sums / n_run
    return Evaluation(query_errors, point_nmse, state_change, prediction_change=read_sums / n_run)


def evaluate_further(
    model: LoopedTransformer,
    task: Task,
    b: int,
    evaluation: Evaluation,
    n_prompts: int,
    on_batch: Callable[[int], None] = lambda prompts_done: None,
    kernels: str = "auto",
) -> Evaluation:
    """Run the prompts that follow an evaluation's through the trained loops alone.

    Args:
        model: see ``evaluate``.
        task: see ``evaluate``.
        b: the loop count that the model was trained at.
        evaluation: on the first prompts.
        n_prompts: how many there are to be in all; the evaluation stays as it is where it has
            them.
        on_batch: see ``evaluate``.
        kernels: see ``evaluate``.
    """
    first = evaluation.query_errors.shape[1]
    if n_prompts <= first:
        return evaluation
    further = evaluate(model, task, b, n_prompts, on_batch, kernels, first)
    return replace(evaluation, further_errors=further.query_errors[b - 1])


def _plain(model: LoopedTransformer, xs: Tensor, ys: Tensor, n_loops: int) -> tuple[Tensor, Tensor]:
    """Return predictions (loop, B, Q) and how far each loop but the first moved the state."""
    p = model.embed(xs, ys)
    z = torch.zeros_like(p)
    predictions, changes = [], [p.new_empty(0, len(p))]
    for number in range(1, n_loops + 1):
        before, z = z, model.loop(z, p, number)
        predictions.append(model.predict(z))
        if number > 1:
            change = (z - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
            changes.append(change.unsqueeze(0))
    return torch.stack(predictions), torch.cat(changes)


def _fused(model: LoopedTransformer) -> Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    chain = CpuChain(model.config)
    weights = dict(model.named_parameters())
    return lambda xs, ys, n_loops: chain.follow(
        weights, prompt_tokens(model.config, xs, ys), n_loops
    )
