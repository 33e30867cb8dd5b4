"""Memory for the kernels, and their launches: one block of one loop at a time."""

from dataclasses import dataclass

import torch
import triton.language as tl
from torch import Tensor

from looped.kernels.folding import Folded
from looped.kernels.gpu.block import (
    attention_backward,
    attention_forward,
    input_backward,
    mlp_backward,
    mlp_forward,
)
from looped.kernels.shape import MLP_CHUNK, PaddedShape

TILE = 64  # tokens that one program of an MLP kernel works on
CROWDED_FROM = 2 * 132  # two programs for each multiprocessor of an H100


def _tuning(shape: PaddedShape, n_tiles: int) -> dict[str, dict[str, int]]:
    """How each kernel is cut and scheduled; measured, see docs/performance.md.

    A multiprocessor holds three programs of 128 threads if each is content with 168 registers.
    That pays where there are more tiles than two a multiprocessor; with fewer, a program alone
    goes faster with all the registers and its loads ahead of time.
    """
    room: dict[str, int] = {"num_warps": 4, "num_stages": 2}
    if n_tiles > CROWDED_FROM:
        room = {"num_warps": 4, "num_stages": 1, "maxnreg": 168}
    is_wide = shape.padded_width > 64
    return {
        "attention_forward": {"HEADS": min(4, shape.n_head) if is_wide else 1, **room},
        "mlp_forward": {"M": TILE, "HC": MLP_CHUNK, **room},
        "mlp_backward": {"M": TILE, "HC": MLP_CHUNK, **room},
        "attention_backward": {"HEADS": 1, "BQ": min(64, shape.padded_tokens), **room},
        "input_backward": {"M": TILE, "num_warps": 4, "num_stages": 2},
    }


@dataclass(kw_only=True)
class Segment:
    """A stretch of loops and what its forward pass keeps, each (replica, layer, loop, ...)."""

    first: int
    n_loops: int
    running: int
    u: Tensor
    x_mid: Tensor
    qkv: Tensor
    att: Tensor
    x_end: Tensor

    @property
    def activations(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What every block keeps."""
        return self.u, self.x_mid, self.qkv, self.att

    @classmethod
    def empty(cls, first: int, n_loops: int, running: int, like: "Launcher") -> "Segment":
        s, new = like.shape, like.new
        place = (running, s.n_layer, n_loops, like.batch, s.tokens)
        return cls(
            first=first,
            n_loops=n_loops,
            running=running,
            u=new(*place, s.padded_width),
            x_mid=new(*place, s.padded_width),
            qkv=new(*place, 3 * s.attention_width, dtype=like.dtype),
            att=new(*place, s.attention_width, dtype=like.dtype),
            x_end=new(running, n_loops, like.batch, s.tokens, s.padded_width),
        )


class Launcher:
    """Launches the kernels for one call of the chain."""

    def __init__(self, inject: Tensor, shape: PaddedShape, folded: Folded) -> None:
        self.shape, self.folded = shape, folded
        self.batch, self.device, self.dtype = inject.shape[1], inject.device, folded.wqkv.dtype
        self.n_tokens = self.batch * shape.tokens
        self.operand_type = {
            "DT": {torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}[self.dtype]
        }
        self.layout = {"N_LAYER": shape.n_layer, "E": shape.width, "EP": shape.padded_width}
        self.attention = {
            "A": shape.attention_width,
            "DP": shape.padded_head,
            "SCALE": (shape.width // shape.n_head) ** -0.5,
            "LP": shape.padded_tokens,
        }
        self.mlp = {"A": shape.attention_width, "HP": shape.padded_mlp}

    def new(self, *sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(sizes, dtype=dtype, device=self.device)

    def weights(self, layer: int, names: tuple[str, ...]) -> dict[str, Tensor]:
        return {name: getattr(self.folded, name)[:, layer] for name in names}

    def tuning(self, running: int) -> dict[str, dict[str, int]]:
        return _tuning(self.shape, running * self.tiles)

    def rows(self, segment: Segment) -> int:
        return self.shape.n_layer * segment.n_loops * self.n_tokens

    @property
    def tiles(self) -> int:
        """Tiles of one replica's tokens."""
        return -(-self.n_tokens // TILE)

    def forward(
        self, segment: Segment, at: int, layer: int, out: Tensor, inject: Tensor, read: Tensor
    ) -> None:
        """Run one block of the segment's loop ``at``; ``out`` is the next block's input."""
        u, x_mid, qkv, att = (part[:, layer, at] for part in segment.activations)
        rows, running, tune = self.rows(segment), segment.running, self.tuning(segment.running)
        heads = self.shape.n_head // tune["attention_forward"]["HEADS"]
        attention_forward[(self.batch, running, heads)](
            u=u, rows=rows, qkv=qkv, att=att, L=self.shape.tokens,
            **self.weights(layer, ("wqkv", "bqkv")),
            **self.layout, **self.attention, **self.operand_type, **tune["attention_forward"],
        )  # fmt: skip
        mlp_forward[(self.tiles, running)](
            u=u, att=att, rows=rows, x_mid=x_mid,
            **self.weights(layer, ("wo", "bo", "w1", "b1", "w2", "b2")),
            out=out, out_rows=out.stride(0) // self.shape.padded_width,
            x_end=segment.x_end[:, at], end_rows=segment.n_loops * self.n_tokens,
            gain=self.folded.gain, bias=self.folded.bias, inject=inject,
            v=self.folded.v, c=self.folded.c, predictions=read,
            n_tokens=self.n_tokens, ENDS_LOOP=layer == self.shape.n_layer - 1,
            **self.layout, **self.mlp, **self.operand_type, **tune["mlp_forward"],
        )  # fmt: skip

    def backward(
        self, segment: Segment, at: int, layer: int, work: "Work",
        gradient: Tensor, dread: Tensor, dinject: Tensor,
    ) -> None:  # fmt: skip
        """Carry ``gradient`` back through the same block."""
        u, x_mid, qkv, att = (part[:, layer, at] for part in segment.activations)
        rows, shape, running = self.rows(segment), self.shape, segment.running
        tiles, tune = self.tiles, self.tuning(running)
        xhat_1, dqkv, dmid, xhat_2, hidden, dpre, dout = (
            part[:, layer, at] for part in work.operands
        )
        sum_qkv, sum_o, sum_1, sum_2 = (part[:, layer, at] for part in work.sums)
        sum_gain, sum_bias, sum_v = (part[:, at] for part in work.end_sums)
        mlp_backward[(tiles, running)](
            gradient=gradient, x_mid=x_mid, rows=rows,
            **self.weights(layer, ("wo", "w1", "b1", "w2")),
            datt=work.datt, dmid=dmid, xhat_2=xhat_2, hidden=hidden, dpre=dpre, dout=dout,
            sum_o=sum_o, sum_1=sum_1, sum_2=sum_2,
            sum_rows=shape.n_layer * segment.n_loops * tiles,
            x_end=segment.x_end[:, at], end_rows=segment.n_loops * self.n_tokens,
            gain=self.folded.gain, v=self.folded.v, dpredictions=dread,
            sum_gain=sum_gain, sum_bias=sum_bias, sum_v=sum_v,
            end_sum_rows=segment.n_loops * tiles,
            n_tokens=self.n_tokens, ENDS_LOOP=layer == shape.n_layer - 1,
            **self.layout, **self.mlp, **self.operand_type, **tune["mlp_backward"],
        )  # fmt: skip
        heads = shape.n_head // tune["attention_backward"]["HEADS"]
        attention_backward[(self.batch, running, heads)](
            qkv=qkv, att=att, rows=rows, datt=work.datt, dqkv=dqkv,
            sum_qkv=sum_qkv, sum_rows=shape.n_layer * segment.n_loops * self.batch,
            n_tokens=self.n_tokens, L=shape.tokens,
            **self.attention, **self.operand_type, **tune["attention_backward"],
        )  # fmt: skip
        input_backward[(tiles, running)](
            gradient=gradient, u=u, dqkv=dqkv, rows=rows, **self.weights(layer, ("wqkv",)),
            xhat_1=xhat_1, dinject=dinject, n_tokens=self.n_tokens,
            BEGINS_LOOP=layer == 0, A=shape.attention_width,
            **self.layout, **self.operand_type, **tune["input_backward"],
        )  # fmt: skip


class Work:
    """What one segment's backward pass writes for the weights' gradients."""

    def __init__(self, segment: Segment, launcher: Launcher) -> None:
        s, new = launcher.shape, launcher.new
        width, heads, mlp = s.padded_width, s.attention_width, s.padded_mlp
        tiles, batch = launcher.tiles, launcher.batch
        loops = (segment.running, s.n_layer, segment.n_loops)
        # xhat_1, dqkv, dmid, xhat_2, hidden, dpre, dout
        self.operands = [
            new(*loops, batch, s.tokens, n, dtype=launcher.dtype)
            for n in (width, 3 * heads, width, width, mlp, mlp, width)
        ]
        self.sums = [
            new(*loops, parts, n)
            for parts, n in ((batch, 3 * heads), (tiles, width), (tiles, mlp), (tiles, width))
        ]
        ends = (segment.running, segment.n_loops, tiles, width)
        self.end_sums = [new(*ends) for _ in range(3)]  # gain, bias, v
        self.datt = new(segment.running, batch, s.tokens, heads, dtype=launcher.dtype)

    def add_to(self, gradients: Folded, segment: Segment) -> None:
        """Sum over the segment's loops, prompts and tokens."""
        xhat_1, dqkv, dmid, xhat_2, hidden, dpre, dout = self.operands
        n = segment.running
        products = (
            (gradients.wqkv, dqkv, xhat_1),
            (gradients.wo, dmid, segment.att),
            (gradients.w1, dpre, xhat_2),
            (gradients.w2, dout, hidden),
        )
        for total, left, right in products:
            # One product per replica, layer and loop fills the chip; one over all loops does not.
            by_loop = _product(
                left.flatten(0, 2).flatten(1, 2).mT, right.flatten(0, 2).flatten(1, 2)
            )
            total[:n] += by_loop.view(*left.shape[:3], *by_loop.shape[1:]).sum(dim=2)
        for total, part in zip(gradients[4:8], self.sums, strict=True):
            total[:n] += part.sum(dim=(2, 3))
        for total, part in zip(gradients[8:11], self.end_sums, strict=True):
            total[:n] += part.sum(dim=(1, 2))


def _product(left: Tensor, right: Tensor) -> Tensor:
    """A batched product with a float32 result whatever the operands."""
    if left.dtype == torch.float32:
        return left @ right
    return torch.bmm(left, right, out_dtype=torch.float32)
