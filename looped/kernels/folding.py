"""A program's weights as the kernels want them."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from looped.kernels.shape import PaddedShape


class Folded(NamedTuple):
    """Weights as the kernels want them: norms folded in, layers stacked, padded.

    Products' weights are of shape (replica, layer, out, in) and of the operands' type, the
    rest (replica, layer, out) in float32; those behind the blocks have no layer.
    """

    wqkv: Tensor
    wo: Tensor
    w1: Tensor
    w2: Tensor
    bqkv: Tensor
    bo: Tensor
    b1: Tensor
    b2: Tensor
    gain: Tensor
    bias: Tensor
    v: Tensor
    c: Tensor


def fold(weights: Mapping[str, Tensor], shape: PaddedShape, dtype: torch.dtype) -> Folded:
    """Fold the norms into the products behind them, and pad.

    LayerNorm's output is xhat g + b, so W (xhat g + b) + a is (W g) xhat + (W b + a); xhat is
    all that a kernel needs to compute. Differentiable; in float32 until the end.
    """

    def layers(name: str) -> Tensor:
        return torch.stack([weights[f"blocks.{i}.{name}"] for i in range(shape.n_layer)], dim=1)

    def behind(norm: str, linear: str) -> tuple[Tensor, Tensor]:
        weight, gain = layers(f"{linear}.weight"), layers(f"{norm}.weight")
        offset = (weight @ layers(f"{norm}.bias").unsqueeze(-1)).squeeze(-1)
        return weight * gain.unsqueeze(-2), layers(f"{linear}.bias") + offset

    wide = shape.padded_width - shape.width
    deep = shape.padded_head - shape.width // shape.n_head
    long = shape.padded_mlp - layers("mlp_in.bias").shape[-1]
    wqkv, bqkv = behind("attention_norm", "qkv")
    wqkv = wqkv.view(*wqkv.shape[:2], 3, shape.n_head, -1, shape.width)
    wqkv = functional.pad(wqkv, (0, wide, 0, deep)).flatten(2, 4)
    bqkv = functional.pad(bqkv.view(*bqkv.shape[:2], 3, shape.n_head, -1), (0, deep)).flatten(2)
    wo = layers("attention_out.weight")
    wo = wo.view(*wo.shape[:3], shape.n_head, -1)
    wo = functional.pad(wo, (0, deep, 0, 0, 0, wide)).flatten(3)
    w1, b1 = behind("mlp_norm", "mlp_in")
    gain, bias = weights["final_norm.weight"], weights["final_norm.bias"]
    read = weights["read_out.weight"].squeeze(1)
    return Folded(
        wqkv=wqkv.to(dtype),
        wo=wo.to(dtype),
        w1=functional.pad(w1, (0, wide, 0, long)).to(dtype),
        w2=functional.pad(layers("mlp_out.weight"), (0, long, 0, wide)).to(dtype),
        bqkv=bqkv,
        bo=functional.pad(layers("attention_out.bias"), (0, wide)),
        b1=functional.pad(b1, (0, long)),
        b2=functional.pad(layers("mlp_out.bias"), (0, wide)),
        gain=functional.pad(gain, (0, wide)),
        bias=functional.pad(bias, (0, wide)),
        v=functional.pad(gain * read, (0, wide)),
        c=(bias * read).sum(-1, keepdim=True) + weights["read_out.bias"],
    )
