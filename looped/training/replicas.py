"""Replicas: models of one shape whose weights lie stacked, so that they train as one program.

Every product of the model becomes one batched product over the replicas. They may differ in
seed, and in ``b`` where the loss sees every loop: they are ordered by falling ``b``, and loop t
runs the first ones, those with b >= t. Where every step draws its loops anew they run the same
ones. A replica never sees another's numbers, so each equals its solo training up to the rounding
of the products.

Three ways lead to the same numbers: PyTorch's own operations, the twin of the others; fused
Triton kernels on a GPU in bf16; compiled C++ on a CPU in float32.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from looped.config import TrainConfig
from looped.kernels.cpu.chain import CpuChain
from looped.kernels.shape import segment_loops
from looped.model import LoopedTransformer, prompt_tokens
from looped.sizes import ModelConfig
from looped.training.groups import can_share
from looped.training.stacked_model import Weights, _is_multiplied, _linear, _loop


class Loops(NamedTuple):
    """The loops of one step: of each replica, falling; those before the window; T."""

    of_each: tuple[int, ...]
    untracked: int
    windows: int | Float[Tensor, " replica"]

    def running(self, loop: int) -> int:
        """Count the replicas that run loop ``loop`` (from 1 on)."""
        return sum(b >= loop for b in self.of_each)


class Replicas:
    """Models of one shape, their gradient and their Adam.

    Args:
        models: one per replica, all of one ``ModelConfig``; the starting weights.
        configs: how to train each, resolved, ordered by falling ``b``; see
            ``programs.can_share``.

    Attributes:
        flat: all weights, of shape (replica, weight), float32, on the device of the training.
        weights: the same memory by name, each of shape (replica, *shape of the weight).
        moments: Adam's running averages, each of the shape of ``flat``.
        done: steps that lie behind Adam.
    """

    def __init__(self, models: Sequence[LoopedTransformer], configs: Sequence[TrainConfig]) -> None:
        first = configs[0]
        assert all(can_share(first, config) for config in configs)
        assert all(former.b >= latter.b for former, latter in pairwise(configs))
        self.config: ModelConfig = models[0].config
        self.window = first.window
        self.fixed_loops = Loops(
            tuple(config.b for config in configs),
            first.b - first.window,
            torch.tensor([config.window for config in configs], device=first.device),
        )
        self.grad_clip = first.grad_clip
        self.dtype = torch.bfloat16 if first.precision == "bf16" else torch.float32
        self.checkpoint_loops = first.checkpoint_loops
        on_gpu, is_fused = first.device == "cuda", first.kernels == "fused"
        self.fused = on_gpu and is_fused
        self.cpu_chain = (
            CpuChain(self.config, first.checkpoint_loops) if is_fused and not on_gpu else None
        )
        rows = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models]
        self.flat = torch.stack(rows).to(first.device)
        self.weights = {
            name: values.requires_grad_()
            for name, values in named_views(self.flat, models[0]).items()
        }
        self.betas = (first.beta1, first.beta2)
        self.rate = torch.zeros((), device=first.device) if on_gpu else 0.0
        self.done = torch.zeros((), device=first.device)
        self.moments = {
            "exp_avg": torch.zeros_like(self.flat),
            "exp_avg_sq": torch.zeros_like(self.flat),
        }

    def tensors(self, model: LoopedTransformer) -> list[dict[str, Tensor]]:
        """Return what each replica needs to go on, on the CPU, by name; ``model`` names weights."""
        on_cpu = {part: values.cpu() for part, values in self._parts().items()}
        return [
            {
                f"{part}.{name}": tensor.contiguous()
                for part, values in on_cpu.items()
                for name, tensor in named_views(values[row], model).items()
            }
            for row in range(len(self.flat))
        ]

    def restore(self, row: int, model: LoopedTransformer, tensors: Weights) -> None:
        """Put one replica's tensors back."""
        for part, values in self._parts().items():
            for name, view in named_views(values[row], model).items():
                view.copy_(tensors[f"{part}.{name}"])

    def _parts(self) -> dict[str, Tensor]:
        moments = {f"adam.{name}": values for name, values in self.moments.items()}
        return {"model": self.flat.detach(), **moments}

    def set_step(self, done: int) -> None:
        """Tell Adam how many steps lie behind it."""
        self.done.fill_(done)

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
        drawn: int | None = None,
    ) -> Float[Tensor, "replica 3"]:
        """Take one gradient step; return each replica's loss, query error and gradient norm.

        Args:
            xs: the prompts of each replica.
            ys: their y's.
            drawn: how many loops all replicas run; each its own b if None.
        """
        losses, query_errors = self.errors(xs, ys, drawn)
        gradients = torch.autograd.grad(losses.sum(), list(self.weights.values()))
        flat = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)
        norms = flat.norm(dim=1)
        self._adam(flat * (self.grad_clip / (norms + 1e-6)).clamp(max=1).unsqueeze(1))
        return torch.stack([losses.detach(), query_errors, norms], dim=1)

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
            [self.done.add_(1)],
            lr=self.rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )

    def errors(
        self,
        xs: Float[Tensor, "replica batch point dim"],
        ys: Float[Tensor, "replica batch point"],
        drawn: int | None = None,
    ) -> tuple[Float[Tensor, " replica"], Float[Tensor, " replica"]]:
        """Return each replica's loss, and its squared error at the query after the last loop.

        The loss is the squared error averaged over the last T loops, the prompts and the
        queries (the truncated loss of Yang et al., arXiv:2311.12424).
        """
        loops = self._loops(drawn)
        targets = ys[..., -self.config.n_queries :]
        if self.cpu_chain is not None:
            p = self._embed(xs, ys)
            return self.cpu_chain.errors(self.weights, p, targets, loops.of_each, loops.untracked)
        losses: list[Tensor] = []
        query_errors: list[Tensor] = []
        for loop, predictions in enumerate(self.predict(xs, ys, loops), loops.untracked + 1):
            running = len(predictions)
            errors = (predictions.float() - targets[:running]).square()  # (R, B, Q)
            losses.append(functional.pad(errors.mean(dim=(1, 2)), (0, len(ys) - running)))
            ending = loops.of_each.count(loop)
            if ending:
                query_errors.insert(0, errors[running - ending :, :, -1].detach().mean(dim=1))
        return torch.stack(losses).sum(dim=0) / loops.windows, torch.cat(query_errors)

    def predict(
        self,
        xs: Float[Tensor, "replica batch point dim"],
        ys: Float[Tensor, "replica batch point"],
        loops: Loops,
    ) -> Iterator[Float[Tensor, "running batch query"]]:
        """Yield the predictions after every loop that the loss sees."""
        p = self._embed(xs, ys)
        if self.fused:
            yield from self._predict_fused(p, loops)
            return
        weights = {
            name: values.to(self.dtype) if _is_multiplied(name) else values
            for name, values in self.weights.items()
        }

        def stretch(z: Tensor, first: int, end: int) -> tuple[Tensor, list[Tensor]]:
            """Run the loops first..end - 1; return the state and the predictions after each."""
            predictions = []
            for loop in range(first, end):
                running = loops.running(loop)
                own = {name: values[:running] for name, values in weights.items()}
                z = _loop(own, self.config, z[:running] + p[:running])
                read = _linear(own, "read_out", z).squeeze(-1)
                predictions.append(self._at_queries(read))
            return z, predictions

        first, end = loops.untracked + 1, loops.of_each[0] + 1
        with torch.no_grad():
            z, _ = stretch(torch.zeros_like(p), 1, first)
        n_loops = segment_loops(end - first) if self.checkpoint_loops else end - first
        for begin in range(first, end, n_loops):
            until = min(begin + n_loops, end)
            if self.checkpoint_loops:
                z, predictions = checkpoint(stretch, z, begin, until, use_reentrant=False)
            else:
                z, predictions = stretch(z, begin, until)
            yield from predictions

    def _embed(self, xs: Tensor, ys: Tensor) -> Float[Tensor, "replica batch token embd"]:
        """Turn prompts into what every loop is given: p and the position embedding."""
        tokens = prompt_tokens(self.config, xs.flatten(0, 1), ys.flatten(0, 1))
        tokens = tokens.view(*ys.shape[:2], *tokens.shape[1:])  # (R, B, L, features)
        return _linear(self.weights, "read_in", tokens) + self.weights["positions.weight"][:, None]

    def _predict_fused(self, p: Tensor, loops: Loops) -> Iterator[Tensor]:
        from looped.kernels.gpu.chain import looped_predictions

        reads = looped_predictions(
            self.weights, self.config, p, loops.of_each, loops.untracked, self.dtype,
            self.checkpoint_loops,
        )  # fmt: skip
        for loop, read in enumerate(reads, start=loops.untracked + 1):
            yield self._at_queries(read[: loops.running(loop)])

    def _loops(self, drawn: int | None) -> Loops:
        if drawn is None:
            return self.fixed_loops
        window = min(self.window, drawn)
        return Loops((drawn,) * len(self.flat), drawn - window, window)

    def _at_queries(self, read: Float[Tensor, "running batch token"]) -> Tensor:
        return read[..., -1:] if self.config.prompt == "joint" else read[..., ::2]


def named_views(flat: Tensor, model: LoopedTransformer) -> dict[str, Tensor]:
    """Cut (..., weight) into the weights of a model by name, without copying."""
    views, start = {}, 0
    for name, parameter in model.named_parameters():
        end = start + parameter.numel()
        views[name] = flat[..., start:end].view(*flat.shape[:-1], *parameter.shape)
        start = end
    return views
