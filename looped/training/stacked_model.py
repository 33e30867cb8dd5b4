"""The model as training runs it: many of one shape, whose weights lie stacked.

Every product of ``looped.model`` becomes one batched product over the replicas. They may differ in
seed, and in ``b`` where the loss sees every loop: they are ordered by falling ``b``, and loop t
runs the first ones, those with b >= t. Where every step draws its loops anew they run the same
ones. Where every prompt draws its own, prompts are ordered by falling loops and end together: the
longest begin, and the others join them so many loops before the end. A replica never sees another's
numbers, so each equals its solo training up to the rounding of the products.

Three ways lead to the same numbers: PyTorch's own operations, the twin of the others; fused
Triton kernels on a GPU in bf16; compiled C++ on a CPU in float32, or in bf16 where the processor
multiplies it. Which of them serve what is in ``resolve``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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
from looped.windows import Windows

Weights = Mapping[str, Tensor]
Drawn = int | tuple[int, ...] | None
"""The loops that a step has drawn, or each of its prompts; None where every training runs its b."""


class Loops(NamedTuple):
    """The loops of one step: of each replica, falling; of each prompt, if they differ; windows."""

    of_each: tuple[int, ...]
    of_prompts: tuple[int, ...] | None
    windows: Windows

    @property
    def untracked(self) -> int:
        """Loops that run first, without a gradient."""
        return self.of_each[0] - self.windows.tracked(self.of_each[0])

    def running(self, loop: int) -> int:
        """Count the replicas that run loop ``loop`` (from 1 on)."""
        return sum(b >= loop for b in self.of_each)

    def joined(self, loop: int, batch: int) -> int:
        """Count the prompts of a batch that run loop ``loop``, those that run the most first."""
        if self.of_prompts is None:
            return batch
        return sum(n_loops > self.of_each[0] - loop for n_loops in self.of_prompts)


class StackedModel:
    """Models of one shape and the losses that they train on.

    Args:
        models: one per replica, all of one ``ModelConfig``; the starting weights.
        configs: how to train each, resolved, ordered by falling ``b``.

    Attributes:
        flat: all weights, of shape (replica, weight), float32, on the device of the training.
        weights: the same memory by name, each of shape (replica, *shape of the weight).
        uses_triton: whether loops run in the GPU's fused kernels.
        cpu_chain: the CPU's compiled loops where they are used, else None.
    """

    def __init__(self, models: Sequence[LoopedTransformer], configs: Sequence[TrainConfig]) -> None:
        first = configs[0]
        self.config: ModelConfig = models[0].config
        self.windows = first.windows
        self.bs = tuple(config.b for config in configs)
        self.seen = torch.tensor([config.windows.loss for config in configs], device=first.device)
        self.dtype = torch.bfloat16 if first.precision == "bf16" else torch.float32
        self.checkpoint_loops = first.checkpoint_loops
        on_gpu, is_fused = first.device == "cuda", first.kernels == "fused"
        self.uses_triton = on_gpu and is_fused
        self.cpu_chain = (
            CpuChain(self.config, first.checkpoint_loops, first.precision)
            if is_fused and not on_gpu
            else None
        )
        rows = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models]
        self.flat = torch.stack(rows).to(first.device)
        self.weights = {
            name: values.requires_grad_()
            for name, values in named_views(self.flat, models[0]).items()
        }

    def errors(
        self,
        xs: Float[Tensor, "replica batch point dim"],
        ys: Float[Tensor, "replica batch point"],
        drawn_loops: Drawn = None,
    ) -> tuple[Float[Tensor, " replica"], Float[Tensor, " replica"]]:
        """Return each replica's loss, and its squared error at the query after the last loop.

        The loss is the squared error averaged over the last loops that the loss window takes in,
        the prompts and the queries (the truncated loss of Yang et al., arXiv:2311.12424).

        Args:
            xs: the prompts of each replica.
            ys: their y's.
            drawn_loops: how many loops all replicas run, or each prompt of theirs; each replica
                its own b if None.
        """
        if self.cpu_chain is not None:
            return self.cpu_chain.errors(self.weights, *self._chain_work(xs, ys, drawn_loops))
        loops, n_seen = self._loops(drawn_loops)
        if isinstance(drawn_loops, tuple):
            order = sorted(range(len(drawn_loops)), key=lambda prompt: -drawn_loops[prompt])
            xs, ys = xs[:, order], ys[:, order]
        targets = ys[..., -self.config.n_queries :]
        losses: list[Tensor] = []
        query_errors: list[Tensor] = []
        for loop, predictions in enumerate(self.predict(xs, ys, loops), loops.untracked + 1):
            if loop <= loops.of_each[0] - loops.windows.loss:
                continue
            running, joined = predictions.shape[:2]
            errors = (predictions.float() - targets[:running, :joined]).square()  # (R, B, Q)
            if loops.of_prompts is None:
                of_loop = errors.mean(dim=(1, 2))
            else:
                of_loop = (errors.mean(dim=2) / n_seen[:joined]).sum(dim=1) / len(n_seen)
            losses.append(functional.pad(of_loop, (0, len(ys) - running)))
            ending = loops.of_each.count(loop)
            if ending:
                query_errors.insert(0, errors[running - ending :, :, -1].detach().mean(dim=1))
        loss = torch.stack(losses).sum(dim=0)
        return loss if loops.of_prompts else loss / n_seen, torch.cat(query_errors)

    def gradients(
        self, xs: Tensor, ys: Tensor, drawn_loops: Drawn = None
    ) -> tuple[Tensor, Tensor, Float[Tensor, "replica weight"]]:
        """Return what ``errors`` does of the same, and each loss's gradient."""
        if self.cpu_chain is not None:
            return self.cpu_chain.gradients(self.weights, *self._chain_work(xs, ys, drawn_loops))
        losses, query_errors = self.errors(xs, ys, drawn_loops)
        # the first stacks of an untied model may lie before both windows, and learn nothing then
        gradients = torch.autograd.grad(
            losses.sum(), list(self.weights.values()), materialize_grads=True
        )
        flat = torch.cat([gradient.flatten(1) for gradient in gradients], dim=1)
        return losses.detach(), query_errors, flat

    def _chain_work(self, xs: Tensor, ys: Tensor, drawn_loops: Drawn) -> tuple[Any, ...]:
        """Return what the CPU's kernels take beside the weights."""
        of_prompts = drawn_loops if isinstance(drawn_loops, tuple) else None
        loops, _ = self._loops(drawn_loops)
        targets = ys[..., -self.config.n_queries :]
        return self._tokens(xs, ys), targets, loops.of_each, self.windows, of_prompts

    def predict(
        self,
        xs: Float[Tensor, "replica batch point dim"],
        ys: Float[Tensor, "replica batch point"],
        loops: Loops,
    ) -> Iterator[Float[Tensor, "running batch query"]]:
        """Yield the predictions after every loop that runs with a gradient."""
        p = self._embed(xs, ys)
        if self.uses_triton:
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
                running, joined = loops.running(loop), loops.joined(loop, p.shape[1])
                running_weights = {name: values[:running] for name, values in weights.items()}
                z = functional.pad(z[:running], (0, 0, 0, 0, 0, joined - z.shape[1]))
                if loops.windows.cuts_before(loop, loops.of_each[0]):
                    z = z.detach()
                at = _stack_of(self.config, loop)
                z = _loop(running_weights, self.config, z + p[:running, :joined], at)
                read = _linear(running_weights, "read_out", z).squeeze(-1)
                predictions.append(self._at_queries(read))
            return z, predictions

        first, end = loops.untracked + 1, loops.of_each[0] + 1
        with torch.no_grad():
            z, _ = stretch(torch.zeros_like(p[:, : loops.joined(1, p.shape[1])]), 1, first)
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
        embedded = _linear(self.weights, "read_in", self._tokens(xs, ys))
        return embedded + self.weights["positions.weight"][:, None]

    def _tokens(self, xs: Tensor, ys: Tensor) -> Float[Tensor, "replica batch token feature"]:
        tokens = prompt_tokens(self.config, xs.flatten(0, 1), ys.flatten(0, 1))
        return tokens.view(*ys.shape[:2], *tokens.shape[1:])

    def _predict_fused(self, p: Tensor, loops: Loops) -> Iterator[Tensor]:
        from looped.kernels.gpu.chain import looped_predictions

        reads = looped_predictions(
            weights=self.weights,
            config=self.config,
            inject=p,
            loops=loops.of_each,
            windows=self.windows,
            dtype=self.dtype,
            checkpoint_loops=self.checkpoint_loops,
        )
        for loop, read in enumerate(reads, start=loops.untracked + 1):
            yield self._at_queries(read[: loops.running(loop)])

    def _loops(self, drawn_loops: Drawn) -> tuple[Loops, Tensor]:
        """Return a step's loops, and how many the loss sees of each replica's or prompt's."""
        if drawn_loops is None:
            return Loops(self.bs, None, self.windows), self.seen
        if isinstance(drawn_loops, int):
            loops = Loops((drawn_loops,) * len(self.flat), None, self.windows)
            return loops, self.seen.clamp(max=drawn_loops)
        of_prompts = tuple(sorted(drawn_loops, reverse=True))
        loops = Loops((of_prompts[0],) * len(self.flat), of_prompts, self.windows)
        n_seen = torch.tensor(of_prompts, device=self.flat.device)
        return loops, n_seen.clamp(max=self.windows.loss)

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


def _stack_of(config: ModelConfig, loop: int) -> str:
    """Return what the names of the weights of loop ``loop`` begin with."""
    return "" if config.n_stacks == 1 or loop == 1 else f"later_stacks.{loop - 2}."


def _loop(weights: Weights, config: ModelConfig, z: Tensor, stack: str) -> Tensor:
    """Apply the stack of blocks and the final norm to z + p + positions."""
    for layer in range(config.size.n_layer):
        at = f"{stack}blocks.{layer}."
        qkv = _linear(weights, at + "qkv", _norm(weights, at + "attention_norm", z))
        heads = _attend(qkv, config.size.n_head)
        z = z + _linear(weights, at + "attention_out", heads)
        hidden = _linear(weights, at + "mlp_in", _norm(weights, at + "mlp_norm", z))
        hidden = functional.gelu(hidden, approximate="tanh")
        z = z + _linear(weights, at + "mlp_out", hidden)
    return _norm(weights, f"{stack}final_norm", z)


def _attend(qkv: Float[Tensor, "replica batch token qkv"], n_head: int) -> Tensor:
    replicas, batch, tokens, _ = qkv.shape
    q, k, v = qkv.view(replicas * batch, tokens, 3, n_head, -1).permute(2, 0, 3, 1, 4)
    heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)  # (RB, H, L, D)
    return heads.transpose(1, 2).reshape(replicas, batch, tokens, -1)


def _is_multiplied(name: str) -> bool:
    """Tell the blocks' products, which take operands of the chosen precision, from the rest.

    Norms, read-in and read-out stay in float32: they cost little, and prompts keep their digits.
    """
    return "blocks." in name and "norm" not in name


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    rows: Tensor
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    x = x.to(weight.dtype)
    if len(weight) == 1:
        return functional.linear(x, weight[0], bias[0])
    rows = torch.baddbmm(bias.unsqueeze(1), x.flatten(1, -2), weight.mT)
    return rows.view(*x.shape[:-1], -1)


def _norm(weights: Weights, name: str, z: Tensor) -> Tensor:
    gain, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    z = z.to(gain.dtype)
    if len(gain) == 1:
        return functional.layer_norm(z, z.shape[-1:], gain[0], bias[0])
    xhat = functional.layer_norm(z, z.shape[-1:])
    return xhat * gain[:, None, None] + bias[:, None, None]
