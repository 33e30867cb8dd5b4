"""All loops of a program as one differentiable operation on the CPU.

Losses are formed inside it, so that a prompt goes forward and backward before the next one
begins: what it keeps in between stays in a core's caches, and memory does not grow with the batch.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from looped.kernels.cpu import library, threads
from looped.kernels.shape import segment_loops
from looped.sizes import ModelConfig
from looped.windows import Windows

LONGS: tuple[str, ...] = (
    *("n_layer", "n_head", "L", "E", "F", "features"),
    *("n_loops", "tracked", "loss_window", "grad_window"),
    *("query_from", "query_by", "segment", "batch"),
)


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in LONGS),
        ("score_scale", ctypes.c_float),
    )


_OF_BLOCK = ("attention_norm", "qkv", "attention_out", "mlp_norm", "mlp_in", "mlp_out")
_LAST = ("final_norm", "read_out")


_Argument = _Shape | Tensor | int | Sequence[Tensor]


class CpuChain:
    """The loops of models of one shape; keeps its workspace from call to call.

    Args:
        config: of the models.
        checkpoint_loops: keep the activations of about sqrt(T) loops instead of all T, and
            compute the others again.
        precision: of the products' operands; all else is float32.
    """

    def __init__(
        self, config: ModelConfig, checkpoint_loops: bool = False, precision: str = "fp32"
    ) -> None:
        self.config, self.checkpoint_loops = config, checkpoint_loops
        functions = library.library(precision)
        assert functions is not None
        self.functions = functions
        for name in ("workspace", "weights_size", "sums_size"):
            getattr(self.functions, name).restype = ctypes.c_int64
        self.memory = torch.empty(0)
        blocks = [f"blocks.{i}.{part}" for i in range(config.size.n_layer) for part in _OF_BLOCK]
        parts = (*blocks, *_LAST, "read_in")
        self.names = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
        self.names.append("positions.weight")

    def errors(
        self,
        weights: Mapping[str, Tensor],
        tokens: Float[Tensor, "replica batch token feature"],
        targets: Float[Tensor, "replica batch query"],
        loops: Sequence[int],
        windows: Windows,
        of_prompts: tuple[int, ...] | None = None,
    ) -> tuple[Float[Tensor, " replica"], Float[Tensor, " replica"]]:
        """Return each replica's loss and its squared error at the query after its last loop.

        Args:
            weights: float32, by name, each (replica, *shape).
            tokens: the prompts, as the model reads them in.
            targets: y of the queries.
            loops: b of each replica.
            windows: of the loss and the gradient.
            of_prompts: loops of each prompt of every replica, where they are not the replica's.
        """
        work = tokens, targets, loops, windows, of_prompts
        losses, query_errors = _Errors.apply(  # type: ignore[no-untyped-call]
            self, list(weights), work, *weights.values()
        )
        return losses, query_errors

    @torch.no_grad()
    def gradients(
        self,
        weights: Mapping[str, Tensor],
        tokens: Float[Tensor, "replica batch token feature"],
        targets: Float[Tensor, "replica batch query"],
        loops: Sequence[int],
        windows: Windows,
        of_prompts: tuple[int, ...] | None = None,
    ) -> tuple[Tensor, Tensor, Float[Tensor, "replica weight"]]:
        """Return what ``errors`` does of the same, and each loss's gradient by all weights."""
        n_prompts = tokens.shape[1]
        flat = tokens.new_empty(len(tokens), sum(part[0].numel() for part in weights.values()))
        gradients = dict(zip(weights, _cut(flat, list(weights.values())), strict=True))
        tokens, targets = tokens.contiguous(), targets.contiguous()
        results = [
            self._one(
                tokens[row],
                targets[row],
                of_prompts or (n_loops,) * n_prompts,
                windows,
                [weights[name][row].contiguous() for name in self.names],
                [gradients[name][row] for name in self.names],
            )
            for row, n_loops in enumerate(loops)
        ]
        losses, query_errors = torch.tensor(results).unbind(1)
        return losses, query_errors, flat

    @torch.no_grad()
    def follow(
        self,
        weights: Mapping[str, Tensor],
        tokens: Float[Tensor, "batch token feature"],
        n_loops: int,
    ) -> tuple[Float[Tensor, "loop batch query"], Float[Tensor, "loop-1 batch"]]:
        """Return one model's predictions after each loop and how far each but the first moved it.

        Args:
            weights: float32, by name.
            tokens: the prompts, as the model reads them in.
            n_loops: loops to run.
        """
        shape = self._describe(n_loops, Windows(1, 1), len(tokens))
        sets = self._prepared(shape, [weights[name].contiguous() for name in self.names])
        tokens = tokens.contiguous()
        reads = torch.empty(len(tokens), n_loops, self.config.n_queries)
        changes = torch.empty(len(tokens), n_loops - 1)

        def share(first: int, end: int, _: int, memory: Tensor) -> None:
            self._call("predict", shape, sets, tokens, first, end, reads, changes, memory)

        self._in_shares(shape, len(tokens), share)
        return reads.transpose(0, 1).contiguous(), changes.T.contiguous()

    def _one(
        self,
        tokens: Tensor,
        targets: Tensor,
        loops: Sequence[int],
        windows: Windows,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
    ) -> tuple[float, float]:
        """Return one replica's loss and query error; write the gradients of its weights."""
        n_prompts = len(tokens)
        shape = self._describe(max(loops), windows, n_prompts)
        of_prompts = torch.tensor(loops)
        sets = self._prepared(shape, weights)
        errors, last = torch.empty(2, n_prompts)
        sums = torch.zeros(threads.n_threads(), self.functions.sums_size(ctypes.byref(shape)))

        def share(first: int, end: int, thread: int, memory: Tensor) -> None:
            self._call(
                "train", shape, sets, sums[thread], of_prompts, tokens, targets, first, end,
                errors, last, memory,
            )  # fmt: skip

        self._in_shares(shape, n_prompts, share)
        self._call("finish_gradients", shape, weights, sums, len(sums), gradients, sets)
        losses = errors / (targets.shape[1] * of_prompts.clamp(max=windows.loss))
        return float(losses.mean()), float(last.mean())

    def _prepared(self, shape: _Shape, weights: Sequence[Tensor]) -> Tensor:
        """Return the weights folded, and packed for each of the two passes."""
        size = self.functions.weights_size(ctypes.byref(shape))
        sets = torch.empty(4, size)
        self._call("prepare_weights", shape, weights, sets)
        return sets

    def _describe(self, n_loops: int, windows: Windows, batch: int) -> _Shape:
        config, size, tracked = self.config, self.config.size, windows.tracked(n_loops)
        is_joint = config.prompt == "joint"
        return _Shape(
            n_layer=size.n_layer,
            n_head=size.n_head,
            L=config.n_tokens,
            E=size.n_embd,
            F=size.n_mlp,
            features=config.n_features,
            n_loops=n_loops,
            tracked=tracked,
            loss_window=windows.loss,
            grad_window=windows.grad,
            query_from=config.n_tokens - 1 if is_joint else 0,
            query_by=1 if is_joint else 2,
            segment=segment_loops(tracked) if self.checkpoint_loops else tracked,
            batch=batch,
            score_scale=(size.n_embd // size.n_head) ** -0.5,
        )

    def _in_shares(
        self, shape: _Shape, n_prompts: int, work: Callable[[int, int, int, Tensor], None]
    ) -> None:
        """Give every thread its share of the prompts and a workspace."""
        n_threads = threads.n_threads()
        floats = self.functions.workspace(ctypes.byref(shape))
        if self.memory.shape != (n_threads, floats):
            self.memory = torch.empty(n_threads, floats)
        ends = [n_prompts * thread // n_threads for thread in range(n_threads + 1)]
        calls = zip(ends[:-1], ends[1:], range(n_threads), self.memory, strict=True)
        if n_threads == 1:
            work(*next(calls))
        else:
            list(threads.pool(n_threads).map(lambda call: work(*call), calls))

    def _call(self, name: str, *arguments: _Argument) -> None:
        """Call a function of ``chain.cpp``, which knows its arguments by their order alone."""
        getattr(self.functions, name)(*map(_as_c, arguments))


def _as_c(argument: _Argument) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    if isinstance(argument, _Shape):
        return ctypes.byref(argument)
    return (ctypes.c_void_p * len(argument))(*(part.data_ptr() for part in argument))


class _Errors(torch.autograd.Function):
    """Losses whose gradients are computed with them and handed out when asked for."""

    @staticmethod
    def forward(
        ctx: Any, chain: CpuChain, names: Sequence[str], work: Any, *weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        named_weights = dict(zip(names, weights, strict=True))
        losses, query_errors, ctx.flat = chain.gradients(named_weights, *work)
        ctx.like = weights
        ctx.mark_non_differentiable(query_errors)
        return losses, query_errors

    @staticmethod
    def backward(ctx: Any, dlosses: Tensor, _: Tensor) -> tuple[Any, ...]:
        return None, None, None, *_cut(ctx.flat * dlosses.view(-1, 1), ctx.like)


def _cut(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """View each row of ``flat`` as tensors of those shapes, one after another."""
    parts = flat.split_with_sizes([part[0].numel() for part in like], dim=1)
    return [rows.view(shaped.shape) for rows, shaped in zip(parts, like, strict=True)]
