"""The stacked twin."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from looped.sizes import ModelConfig

Weights = Mapping[str, Tensor]


def _loop(weights: Weights, config: ModelConfig, z: Tensor) -> Tensor:
    """Apply the stack of blocks and the final norm to z + p + positions."""
    for layer in range(config.size.n_layer):
        at = f"blocks.{layer}."
        qkv = _linear(weights, at + "qkv", _norm(weights, at + "attention_norm", z))
        heads = _attend(qkv, config.size.n_head)
        z = z + _linear(weights, at + "attention_out", heads)
        hidden = _linear(weights, at + "mlp_in", _norm(weights, at + "mlp_norm", z))
        hidden = functional.gelu(hidden, approximate="tanh")
        z = z + _linear(weights, at + "mlp_out", hidden)
    return _norm(weights, "final_norm", z)


def _attend(qkv: Float[Tensor, "replica batch token qkv"], n_head: int) -> Tensor:
    replicas, batch, tokens, _ = qkv.shape
    q, k, v = qkv.view(replicas * batch, tokens, 3, n_head, -1).permute(2, 0, 3, 1, 4)
    heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)  # (RB, H, L, D)
    return heads.transpose(1, 2).reshape(replicas, batch, tokens, -1)


def _is_multiplied(name: str) -> bool:
    """Tell the blocks' products, which take operands of the chosen precision, from the rest.

    Norms, read-in and read-out stay in float32: they cost little, and prompts keep their digits.
    """
    return name.startswith("blocks.") and "norm" not in name


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
    normed = functional.layer_norm(z, z.shape[-1:])
    return normed * gain[:, None, None] + bias[:, None, None]
