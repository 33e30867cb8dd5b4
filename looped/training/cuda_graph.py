"""One gradient step of a program, plain or as a CUDA graph.

A step of a small model is hundreds of kernels of a few microseconds each: launched one by one
they wait for the processor. A graph records them once and launches them together.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from looped.kernels.cpu.threads import cores_to_kernels
from looped.training.replicas import Replicas
from looped.training.stacked_model import Drawn

Prompts = tuple[Tensor, Tensor]
Step = Callable[[Prompts, float, Drawn], Float[Tensor, "replica 3"]]
"""Takes the prompts, the learning rate and, where b is drawn, the loops of the step or of each
prompt; moves the weights and returns what it measured."""

WARM_UP_STEPS = 3


def step_of(replicas: Replicas) -> Step:
    """Choose how to run a program's steps: as a CUDA graph on a GPU."""
    if replicas.flat.is_cuda:
        return GraphStep(replicas)
    is_compiled = replicas.model.cpu_chain is not None

    def plain(prompts: Prompts, rate: float, drawn_loops: Drawn) -> Tensor:
        replicas.set_rate(rate)
        with cores_to_kernels() if is_compiled else nullcontext():
            return replicas.step(*prompts, drawn_loops)

    return plain


class GraphStep:
    """Gradient steps recorded as CUDA graphs, one for each number of loops, when first met.

    Where every prompt draws its loops, hardly two steps are the same work: those run plainly.

    Recording runs a few steps first, as libraries choose their kernels on their first calls;
    weights and moments are put back after them. All graphs share the memory of what is computed
    between: they run one after another, in any order, and none reads what another left there.
    """

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas
        self.prompts: Prompts | None = None
        self.pool = torch.cuda.graph_pool_handle()
        self.recorded: dict[int | None, tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, prompts: Prompts, rate: float, drawn_loops: Drawn) -> Tensor:
        """Take one step; see ``Step``."""
        if isinstance(drawn_loops, tuple):
            self.replicas.set_rate(rate)
            return self.replicas.step(*prompts, drawn_loops)
        if self.prompts is None:
            self.prompts = (prompts[0].clone(), prompts[1].clone())
        for graphs_part, part in zip(self.prompts, prompts, strict=True):
            graphs_part.copy_(part)
        self.replicas.set_rate(rate)
        if drawn_loops not in self.recorded:
            self.recorded[drawn_loops] = self._record(self.prompts, drawn_loops)
        graph, measurements = self.recorded[drawn_loops]
        graph.replay()
        return measurements.clone()

    def _record(self, prompts: Prompts, drawn_loops: Drawn) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        replicas = self.replicas
        changing = [replicas.flat.detach(), replicas.steps_done, *replicas.moments.values()]
        before = [tensor.clone() for tensor in changing]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP_STEPS):
                self.replicas.step(*prompts, drawn_loops)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool):
            measurements = self.replicas.step(*prompts, drawn_loops)
        for tensor, value in zip(changing, before, strict=True):
            tensor.copy_(value)
        return graph, measurements
