"""One gradient step of a program, plain or as a CUDA graph.

A step of a small model is hundreds of kernels of a few microseconds each: launched one by one
they wait for the processor. A graph records them once and launches them together.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from looped.replicas import Replicas

Prompts = tuple[Tensor, Tensor]
Step = Callable[[Prompts, float], Float[Tensor, "replica 3"]]
"""Takes the prompts and the learning rate, moves the weights, and returns what it measured."""

WARM_UP_STEPS = 3


def step_of(replicas: Replicas, example: Prompts) -> Step:
    """Choose how to run a program's steps: as a CUDA graph on a GPU.

    Args:
        replicas: the program; its weights are as before afterwards.
        example: prompts of the shapes to come.
    """
    if replicas.flat.is_cuda:
        return GraphStep(replicas, example)

    def plain(prompts: Prompts, rate: float) -> Tensor:
        replicas.set_rate(rate)
        return replicas.step(*prompts)

    return plain


class GraphStep:
    """A gradient step recorded as a CUDA graph.

    Recording runs a few steps first, as libraries choose their kernels on their first calls;
    weights and moments are put back after them.
    """

    def __init__(self, replicas: Replicas, example: Prompts) -> None:
        self.replicas = replicas
        self.prompts = tuple(part.clone() for part in example)
        state = replicas.optimizer.state[replicas.flat]
        changing = [replicas.flat.detach(), *state.values()]
        before = [tensor.clone() for tensor in changing]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_STEPS):
                replicas.step(*self.prompts)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.measured = replicas.step(*self.prompts)
        for tensor, value in zip(changing, before, strict=True):
            tensor.copy_(value)

    def __call__(self, prompts: Prompts, rate: float) -> Tensor:
        """Take one step; see ``Step``."""
        for mine, given in zip(self.prompts, prompts, strict=True):
            mine.copy_(given)
        self.replicas.set_rate(rate)
        self.graph.replay()
        return self.measured.clone()
