"""Replicas: trainings of one model shape that run as one program, and the optimiser they share."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from looped.config import TrainConfig
from looped.model import LoopedTransformer
from looped.training.groups import can_share
from looped.training.stacked_model import Drawn, StackedModel, Weights, named_views
from looped.training.tail_mean import TailMean

TAIL = "tail"
"""Begins the names of the mean's tensors in a checkpoint."""


class Replicas:
    """A stacked model and its Adam.

    Args:
        models: one per replica, all of one ``ModelConfig``; the starting weights.
        configs: how to train each, resolved, ordered by falling ``b``; every two of them must be
            able to share a program (``groups.can_share``).

    Attributes:
        model: computes the losses that the steps make smaller.
        flat: its weights, of shape (replica, weight), float32, on the device of the training.
        moments: Adam's running averages, each of the shape of ``flat``.
        steps_done: steps that lie behind Adam.
        tail: the mean of the weights over the last steps; None where it is not asked for.
    """

    def __init__(self, models: Sequence[LoopedTransformer], configs: Sequence[TrainConfig]) -> None:
        first = configs[0]
        assert all(can_share(first, config) for config in configs)
        assert all(former.b >= latter.b for former, latter in pairwise(configs))
        self.model = StackedModel(models, configs)
        self.flat = self.model.flat
        self.grad_clip = first.grad_clip
        self.betas = (first.beta1, first.beta2)
        on_gpu = first.device == "cuda"
        self.rate = torch.zeros((), device=first.device) if on_gpu else 0.0
        self.steps_done = torch.zeros((), device=first.device)
        self.moments = {
            "exp_avg": torch.zeros_like(self.flat),
            "exp_avg_sq": torch.zeros_like(self.flat),
        }
        self.tail = TailMean(self.flat, first.steps) if first.average == "tail" else None

    def tensors(self, model: LoopedTransformer) -> list[dict[str, Tensor]]:
        """Return what each replica needs to go on, on the CPU, by name; ``model`` names weights."""
        on_cpu = {part: values.cpu() for part, values in self._parts().items()}
        return [
            {
                f"{part}.{name}": tensor.contiguous()
                for part, values in on_cpu.items()
                if part != TAIL or self.tail_of(row) is not None
                for name, tensor in named_views(values[row], model).items()
            }
            for row in range(len(self.flat))
        ]

    def restore(self, row: int, model: LoopedTransformer, tensors: Weights) -> None:
        """Put one replica's tensors back, as of the step that was set.

        One whose checkpoint is from inside the tail and holds no mean has none from then on.
        """
        has_tail = any(name.startswith(f"{TAIL}.") for name in tensors)
        for part, values in self._parts().items():
            if part == TAIL and self.tail is not None and not has_tail:
                self.tail.is_whole[row] = False
                continue
            for name, view in named_views(values[row], model).items():
                view.copy_(tensors[f"{part}.{name}"])

    def tail_of(self, row: int) -> Tensor | None:
        """Return the mean of a replica's weights over the tail; None where there is none."""
        return None if self.tail is None else self.tail.of_row(row)

    def _parts(self) -> dict[str, Tensor]:
        moments = {f"adam.{name}": values for name, values in self.moments.items()}
        parts = {"model": self.flat.detach(), **moments}
        if self.tail is not None and self.tail.n_taken:
            parts[TAIL] = self.tail.mean
        return parts

    def set_step(self, steps_done: int) -> None:
        """Tell Adam, and the mean of the tail, how many steps lie behind."""
        self.steps_done.fill_(steps_done)
        if self.tail is not None:
            self.tail.set_step(steps_done)

    def average(self, step: int) -> None:
        """Take the weights after a step into the mean of the tail.

        Apart from ``step``, which a CUDA graph records once for all steps.
        """
        if self.tail is not None:
            self.tail.take_in(step, self.flat)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        if isinstance(self.rate, Tensor):
            self.rate.fill_(rate)
        else:
            self.rate = rate

    def step(
        self,
        xs: Float[Tensor, "replica batch point dim"],
        ys: Float[Tensor, "replica batch point"],
        drawn_loops: Drawn = None,
    ) -> Float[Tensor, "replica 3"]:
        """Take one gradient step; return each replica's loss, query error and gradient norm.

        Args:
            xs: the prompts of each replica.
            ys: their y's.
            drawn_loops: how many loops all replicas run, or each prompt; see ``StackedModel``.
        """
        losses, query_errors, flat = self.model.gradients(xs, ys, drawn_loops)
        norms = flat.norm(dim=1)
        self._adam(flat * (self.grad_clip / (norms + 1e-6)).clamp(max=1).unsqueeze(1))
        return torch.stack([losses, query_errors, norms], dim=1)

    @torch.no_grad()
    def _adam(self, gradient: Tensor) -> None:
        """Move the weights by Adam (Kingma and Ba, arXiv:1412.6980).

        ``torch.optim.Adam(fused=True)`` calls the same function; but to make one imports PyTorch's
        compiler, which takes seconds and 150 MiB in every process.
        """
        torch._fused_adam_(
            [self.flat],
            [gradient],
            [self.moments["exp_avg"]],
            [self.moments["exp_avg_sq"]],
            [],
            [self.steps_done.add_(1)],
            lr=self.rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
