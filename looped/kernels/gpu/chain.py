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

from looped.kernels.folding import Folded, fold
from looped.kernels.gpu.launch import Launcher, Segment, Work
from looped.kernels.shape import PaddedShape, segment_loops
from looped.sizes import ModelConfig
from looped.windows import Windows

SEGMENT_LOOPS = 5
Stretch = tuple[int, int, int]
"""The first loop, how many there are, and how many replicas run them."""


def looped_predictions(
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    inject: Float[Tensor, "replica batch token embd"],
    loops: tuple[int, ...],
    windows: Windows,
    dtype: torch.dtype,
    checkpoint_loops: bool = False,
) -> Float[Tensor, "loop replica batch token"]:
    """Run replicas through their loops and read every token out after each.

    Args:
        weights: float32, by name, each (replica, *shape).
        config: the model; ``PaddedShape.of`` must serve it.
        inject: what every loop is given: p and the position embedding, float32.
        loops: b of each replica, falling.
        windows: of the loss and the gradient; loops that run without one are not read out.
        dtype: of the products' operands.
        checkpoint_loops: keep of a segment only what it begins with, and of the loops about the
            root; run the others again in the backward pass.

    Returns:
        The read-out after every further loop, 0 where a replica no longer runs.
    """
    shape = PaddedShape.of(config)
    assert shape is not None
    folded = fold(weights, shape, dtype)
    wide = functional.pad(inject, (0, shape.padded_width - shape.width)).contiguous()
    predictions: Tensor = _Chain.apply(  # type: ignore[no-untyped-call]
        wide, shape, loops, windows, checkpoint_loops, *map(_contiguous, folded)
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
        windows: Windows,
        checkpoint_loops: bool,
        *folded: Tensor,
    ) -> Tensor:
        launcher = Launcher(inject, shape, Folded._make(folded))
        tracked = windows.tracked(loops[0])
        untracked = loops[0] - tracked
        read = launcher.new(tracked, *inject.shape[:3]).zero_()
        most_loops = segment_loops(tracked) if checkpoint_loops else SEGMENT_LOOPS
        u = _run_untracked(launcher, inject, untracked) if untracked else inject
        forward_passes: list[tuple[Stretch, Tensor, Segment | None]] = []
        for stretch in _stretches(loops, untracked, min(most_loops, SEGMENT_LOOPS)):
            first, n_loops, running = stretch
            start, at = u[:running], first - untracked - 1
            segment = Segment.empty(first, n_loops, running, launcher)
            u = torch.empty_like(start)
            _run(launcher, segment, start, inject, read[at : at + n_loops], u)
            is_last = first + n_loops > loops[0]  # its backward pass comes at once
            keeps_all = is_last or not checkpoint_loops
            forward_passes.append((stretch, start, segment if keeps_all else None))
        ctx.launcher, ctx.inject, ctx.untracked = launcher, inject, untracked
        ctx.n_loops, ctx.windows = loops[0], windows
        ctx.forward_passes = forward_passes
        return read

    @staticmethod
    def backward(ctx: Any, dread: Tensor) -> tuple[Any, ...]:
        launcher, inject = ctx.launcher, ctx.inject
        shape = launcher.shape
        dread = dread.contiguous()
        gradients = Folded._make(
            torch.zeros_like(part, dtype=torch.float32) for part in launcher.folded
        )
        gradient = torch.zeros_like(inject)
        dinject = torch.zeros_like(inject)
        while ctx.forward_passes:
            (first, n_loops, running), start, segment = ctx.forward_passes.pop()
            begin = first - ctx.untracked - 1
            if segment is None:
                segment = Segment.empty(first, n_loops, running, launcher)
                unread = torch.empty_like(dread[: segment.n_loops])
                _run(launcher, segment, start, inject, unread, torch.empty_like(start))
            work = Work(segment, launcher)
            for at in reversed(range(segment.n_loops)):
                if ctx.windows.cuts_before(first + at + 1, ctx.n_loops):
                    gradient.zero_()
                for layer in reversed(range(shape.n_layer)):
                    launcher.backward(
                        segment=segment,
                        at=at,
                        layer=layer,
                        work=work,
                        gradient=gradient,
                        dread=dread[begin + at],
                        dinject=dinject,
                    )
            work.add_to(gradients, segment)
        gradients.c.copy_(dread.sum(dim=(0, 2, 3)).unsqueeze(1))
        typed_gradients = [
            total.to(part.dtype) for total, part in zip(gradients, launcher.folded, strict=True)
        ]
        return dinject, None, None, None, None, *typed_gradients


def _run(
    launcher: Launcher, segment: Segment, start: Tensor, inject: Tensor, read: Tensor, out: Tensor
) -> None:
    """Run a segment's loops from ``start``; write what comes after into ``out``."""
    segment.u[:, 0, 0].copy_(start)
    n_layer = launcher.shape.n_layer
    for at in range(segment.n_loops):
        for layer in range(n_layer):
            if layer + 1 < n_layer:
                following = segment.u[:, layer + 1, at]
            elif at + 1 < segment.n_loops:
                following = segment.u[:, 0, at + 1]
            else:
                following = out
            launcher.forward(segment, at, layer, following, inject, read[at])


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


def _stretches(loops: tuple[int, ...], untracked: int, most_loops: int) -> list[Stretch]:
    """Cut the tracked loops into stretches of at most ``most_loops``."""
    stretches: list[Stretch] = []
    for loop in range(untracked + 1, loops[0] + 1):
        running = sum(b >= loop for b in loops)
        if stretches:
            first, n_loops, before = stretches[-1]
            if before == running and n_loops < most_loops:
                stretches[-1] = (first, n_loops + 1, before)
                continue
        stretches.append((loop, 1, running))
    return stretches
