"""All loops of a program as one differentiable operation on the GPU.

The forward pass is two kernels per block and loop, the backward pass three; the weights'
gradients are summed over the loops by one matrix product per weight and segment. A segment is a
stretch of loops that the same replicas run, at most ``SEGMENT_LOOPS`` of them, so that what the
backward pass writes between is bounded.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from looped.config import ModelConfig
from looped.kernels.folding import Folded, fold
from looped.kernels.launch import Launcher, Segment, Work
from looped.kernels.shape import PaddedShape

SEGMENT_LOOPS = 5


def looped_predictions(
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    inject: Float[Tensor, "replica batch token embd"],
    loops: tuple[int, ...],
    untracked: int,
    dtype: torch.dtype,
) -> Float[Tensor, "loop replica batch token"]:
    """Run replicas through their loops and read every token out after each.

    Args:
        weights: float32, by name, each (replica, *shape).
        config: the model; ``PaddedShape.of`` must serve it.
        inject: what every loop is given: p and the position embedding, float32.
        loops: b of each replica, falling.
        untracked: loops to run first, without a gradient and without reading out.
        dtype: of the products' operands.

    Returns:
        The read-out after every further loop, 0 where a replica no longer runs.
    """
    shape = PaddedShape.of(config)
    assert shape is not None
    folded = fold(weights, shape, dtype)
    wide = functional.pad(inject, (0, shape.padded_width - shape.width)).contiguous()
    predictions: Tensor = _Chain.apply(  # type: ignore[no-untyped-call]
        wide, shape, loops, untracked, *map(_contiguous, folded)
    )
    return predictions


def _contiguous(tensor: Tensor) -> Tensor:
    return tensor.contiguous()


class _Chain(torch.autograd.Function):
    """Forward and backward passes over all loops, written out."""

    @staticmethod
    def forward(
        ctx: Any,
        inject: Tensor,
        shape: PaddedShape,
        loops: tuple[int, ...],
        untracked: int,
        *folded: Tensor,
    ) -> Tensor:
        launcher = Launcher(inject, shape, Folded(*folded))
        segments = [
            Segment.empty(first, n_loops, running, launcher)
            for first, n_loops, running in _stretches(loops, untracked)
        ]
        read = launcher.new(loops[0] - untracked, *inject.shape[:3]).zero_()
        places = [(segment, at) for segment in segments for at in range(segment.n_loops)]
        spare = torch.empty_like(inject)
        u = inject
        if untracked:
            u = _run_untracked(launcher, inject, untracked)
        first, _ = places[0]
        first.u[:, 0, 0].copy_(u)
        for loop, (segment, at) in enumerate(places):
            is_last = loop + 1 == len(places)
            following, there = (segment, at) if is_last else places[loop + 1]
            for layer in range(shape.n_layer):
                if layer + 1 < shape.n_layer:
                    out = segment.u[:, layer + 1, at]
                elif is_last or following.running < segment.running:
                    out = spare
                else:
                    out = following.u[:, 0, there]
                launcher.forward(segment, at, layer, out, inject, read[loop])
            if not is_last and following.running < segment.running:
                following.u[:, 0, there].copy_(spare[: following.running])
        ctx.launcher, ctx.places, ctx.inject_shape = launcher, places, inject.shape
        return read

    @staticmethod
    def backward(ctx: Any, dread: Tensor) -> tuple[Any, ...]:
        launcher, shape = ctx.launcher, ctx.launcher.shape
        dread = dread.contiguous()
        gradients = Folded(
            *(torch.zeros_like(part, dtype=torch.float32) for part in launcher.folded)
        )
        gradient = launcher.new(*ctx.inject_shape).zero_()
        dinject = launcher.new(*ctx.inject_shape).zero_()
        for loop in reversed(range(len(ctx.places))):
            segment, at = ctx.places[loop]
            if at == segment.n_loops - 1:
                work = Work(segment, launcher)
            for layer in reversed(range(shape.n_layer)):
                launcher.backward(segment, at, layer, work, gradient, dread[loop], dinject)
            if at == 0:
                work.add_to(gradients, segment)
        gradients.c.copy_(dread.sum(dim=(0, 2, 3)).unsqueeze(1))
        typed = [
            total.to(part.dtype) for total, part in zip(gradients, launcher.folded, strict=True)
        ]
        return dinject, None, None, None, *typed


def _run_untracked(launcher: Launcher, inject: Tensor, n_loops: int) -> Tensor:
    """Run loops that nothing is kept of; return the next loop's input."""
    scratch = Segment.empty(1, 1, len(inject), launcher)
    read = launcher.new(*inject.shape[:3])
    out = torch.empty_like(inject)
    scratch.u[:, 0, 0].copy_(inject)
    n_layer = launcher.shape.n_layer
    for _ in range(n_loops):
        for layer in range(n_layer):
            following = scratch.u[:, layer + 1, 0] if layer + 1 < n_layer else out
            launcher.forward(scratch, 0, layer, following, inject, read)
        scratch.u[:, 0, 0].copy_(out)
    return out


def _stretches(loops: tuple[int, ...], untracked: int) -> list[tuple[int, int, int]]:
    """Cut the tracked loops into (first, how many, replicas that run them)."""
    stretches: list[tuple[int, int, int]] = []
    for loop in range(untracked + 1, loops[0] + 1):
        running = sum(b >= loop for b in loops)
        if stretches:
            first, n_loops, before = stretches[-1]
            if before == running and n_loops < SEGMENT_LOOPS:
                stretches[-1] = (first, n_loops + 1, before)
                continue
        stretches.append((loop, 1, running))
    return stretches
