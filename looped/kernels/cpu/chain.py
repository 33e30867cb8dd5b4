"""All loops of a program as one differentiable operation on the CPU.

Losses are formed inside it, so that a prompt goes forward and backward before the next one
begins: what it keeps in between stays in a core's caches, and memory does not grow with the batch.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from looped.kernels.cpu import library
from looped.kernels.folding import Folded, fold
from looped.kernels.shape import PaddedShape, segment_loops
from looped.sizes import ModelConfig
from looped.windows import Windows

LONGS: tuple[str, ...] = (
    *("n_layer", "n_head", "L", "e", "E", "d", "D", "F"),
    *("n_loops", "tracked", "loss_window", "grad_window"),
    *("query_from", "query_by", "segment", "batch"),
)


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in LONGS),
        ("score_scale", ctypes.c_float),
    )


class _Weights(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_void_p) for name in Folded._fields)


class CpuChain:
    """The loops of models of one shape; keeps its workspace from call to call.

    Args:
        config: of the models.
        checkpoint_loops: keep the activations of about sqrt(T) loops instead of all T, and
            compute the others again.
    """

    def __init__(self, config: ModelConfig, checkpoint_loops: bool = False) -> None:
        self.config, self.checkpoint_loops = config, checkpoint_loops
        self.shape = PaddedShape.in_sixteens(config)
        functions = library.library()
        assert functions is not None
        self.functions = functions
        self.functions.workspace.restype = ctypes.c_int64
        self.memory = torch.empty(0)

    def errors(
        self,
        weights: Mapping[str, Tensor],
        inject: Float[Tensor, "replica batch token embd"],
        targets: Float[Tensor, "replica batch query"],
        loops: Sequence[int],
        windows: Windows,
        of_prompts: tuple[int, ...] | None = None,
    ) -> tuple[Float[Tensor, " replica"], Float[Tensor, " replica"]]:
        """Return each replica's loss and its squared error at the query after its last loop.

        Args:
            weights: float32, by name, each (replica, *shape).
            inject: what every loop is given: p and the position embedding.
            targets: y of the queries.
            loops: b of each replica.
            windows: of the loss and the gradient.
            of_prompts: loops of each prompt of every replica, where they are not the replica's.
        """
        folded = fold(weights, self.shape, torch.float32)
        n_prompts = inject.shape[1]
        each = [of_prompts or (n_loops,) * n_prompts for n_loops in loops]
        losses, query_errors = _Errors.apply(  # type: ignore[no-untyped-call]
            self, self._padded(inject), targets.contiguous(), each, windows, *folded
        )
        return losses, query_errors

    @torch.no_grad()
    def follow(
        self,
        weights: Mapping[str, Tensor],
        inject: Float[Tensor, "batch token embd"],
        n_loops: int,
    ) -> tuple[Float[Tensor, "loop batch query"], Float[Tensor, "loop-1 batch"]]:
        """Return one model's predictions after each loop and how far each but the first moved it.

        Args:
            weights: float32, by name, each (1, *shape).
            inject: what every loop is given: p and the position embedding.
            n_loops: loops to run.
        """
        folded = _Pointed(fold(weights, self.shape, torch.float32))
        shape = self._describe(n_loops, Windows(1, 1), len(inject))
        forward, _ = self._packed(shape, folded)
        inject = self._padded(inject)
        reads = torch.empty(len(inject), n_loops, self.config.n_queries)
        changes = torch.empty(len(inject), n_loops - 1)

        def share(first: int, end: int, _: int, memory: Tensor) -> None:
            self._call(
                "predict", shape, folded, forward, inject, first, end, reads, changes, memory
            )

        self._in_shares(shape, len(inject), share)
        return reads.transpose(0, 1).contiguous(), changes.T.contiguous()

    def one(
        self,
        inject: Tensor,
        targets: Tensor,
        loops: Sequence[int],
        windows: Windows,
        weights: Folded,
    ) -> tuple[Tensor, Tensor, Tensor, Folded]:
        """Return one replica's loss, query error, and the gradients of inject and weights."""
        folded, n_prompts = _Pointed(weights), len(inject)
        shape = self._describe(max(loops), windows, n_prompts)
        of_prompts = torch.tensor(loops)
        forward, back = self._packed(shape, folded)
        errors, last = torch.empty(n_prompts), torch.empty(n_prompts)
        dinject = torch.empty_like(inject)
        tiles = [part.new_zeros(_threads(), *part.shape) for part in weights]

        def share(first: int, end: int, thread: int, memory: Tensor) -> None:
            thread_tiles = _Pointed(Folded._make(part[thread] for part in tiles))
            self._call(
                "train", shape, folded, forward, back, thread_tiles, of_prompts, inject, targets,
                first, end, errors, last, dinject, memory,
            )  # fmt: skip

        self._in_shares(shape, n_prompts, share)
        sums = Folded._make(part.sum(dim=0) for part in tiles)
        gradients = _Pointed(Folded._make(map(torch.clone, sums)))  # vectors are in order already
        self._call("unpack_gradients", shape, _Pointed(sums), gradients)
        losses = errors / (targets.shape[1] * of_prompts.clamp(max=windows.loss))
        return losses.mean(), last.mean(), dinject, gradients.parts

    def _padded(self, inject: Tensor) -> Tensor:
        wide = self.shape.padded_width - self.shape.width
        return (functional.pad(inject, (0, wide)) if wide else inject).contiguous()

    def _describe(self, n_loops: int, windows: Windows, batch: int) -> _Shape:
        shape, tracked = self.shape, windows.tracked(n_loops)
        is_joint = self.config.prompt == "joint"
        return _Shape(
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            L=shape.tokens,
            e=shape.width,
            E=shape.padded_width,
            d=shape.width // shape.n_head,
            D=shape.padded_head,
            F=shape.padded_mlp,
            n_loops=n_loops,
            tracked=tracked,
            loss_window=windows.loss,
            grad_window=windows.grad,
            query_from=shape.tokens - 1 if is_joint else 0,
            query_by=1 if is_joint else 2,
            segment=segment_loops(tracked) if self.checkpoint_loops else tracked,
            batch=batch,
            score_scale=(shape.width // shape.n_head) ** -0.5,
        )

    def _packed(self, shape: _Shape, folded: "_Pointed") -> "tuple[_Pointed, _Pointed]":
        forward, back = (
            _Pointed(Folded._make(map(torch.empty_like, folded.parts))) for _ in range(2)
        )
        self._call("pack_weights", shape, folded, forward, back)
        return forward, back

    def _in_shares(
        self, shape: _Shape, n_prompts: int, work: Callable[[int, int, int, Tensor], None]
    ) -> None:
        """Give every thread its share of the prompts and a workspace."""
        threads = _threads()
        floats = self.functions.workspace(ctypes.byref(shape))
        if self.memory.shape != (threads, floats):
            self.memory = torch.empty(threads, floats)
        ends = [n_prompts * thread // threads for thread in range(threads + 1)]
        calls = zip(ends[:-1], ends[1:], range(threads), self.memory, strict=True)
        if threads == 1:
            work(*next(calls))
        else:
            list(_pool(threads).map(lambda call: work(*call), calls))

    def _call(self, name: str, *arguments: "_Shape | _Pointed | Tensor | int") -> None:
        """Call a function of ``chain.cpp``, which knows its arguments by their order alone."""
        getattr(self.functions, name)(*map(_as_c, arguments))


class _Pointed:
    """Weights that C can find."""

    def __init__(self, folded: Folded) -> None:
        self.parts = Folded._make(part.detach().contiguous() for part in folded)
        self.pointers = _Weights(
            **{name: part.data_ptr() for name, part in self.parts._asdict().items()}
        )


def _as_c(argument: "_Shape | _Pointed | Tensor | int") -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return ctypes.byref(argument.pointers if isinstance(argument, _Pointed) else argument)


def _threads() -> int:
    return torch.get_num_threads()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads of our own: those of OpenMP go on spinning between two calls."""
    return ThreadPoolExecutor(threads)


class _Errors(torch.autograd.Function):
    """Losses whose gradients are computed with them and handed out when asked for."""

    @staticmethod
    def forward(
        ctx: Any,
        chain: CpuChain,
        inject: Tensor,
        targets: Tensor,
        loops: Sequence[Sequence[int]],
        windows: Windows,
        *folded: Tensor,
    ) -> tuple[Tensor, Tensor]:
        results = [
            chain.one(
                inject[row], targets[row], of_prompts, windows, Folded._make(p[row] for p in folded)
            )
            for row, of_prompts in enumerate(loops)
        ]
        losses, query_errors, dinject, gradients = zip(*results, strict=True)
        ctx.gradients = [
            torch.stack(dinject),
            *(torch.stack(g) for g in zip(*gradients, strict=True)),
        ]
        query_error = torch.stack(query_errors)
        ctx.mark_non_differentiable(query_error)
        return torch.stack(losses), query_error

    @staticmethod
    def backward(ctx: Any, dlosses: Tensor, _: Tensor) -> tuple[Any, ...]:
        dinject, *gradients = (
            gradient * dlosses.view(-1, *[1] * (gradient.ndim - 1)) for gradient in ctx.gradients
        )
        return None, dinject, None, None, None, *gradients
