"""The training step that most people would write: what the benchmark compares with.

One model at a time, eager, a list of predictions, PyTorch's own attention and Adam, no autocast.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from looped.config import TrainConfig
from looped.model import Block, LoopedTransformer, prompt_tokens


def plain_step(model: LoopedTransformer, config: TrainConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that takes one gradient step on the prompts (xs, ys) given to it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config.rate)
    first_seen = config.b - config.windows.loss  # the gradient's window is the same
    queries = slice(-1, None) if config.prompt == "joint" else slice(None, None, 2)

    def step(xs: Tensor, ys: Tensor) -> Tensor:
        p = model.read_in(prompt_tokens(model.config, xs, ys))
        positions = model.positions(torch.arange(p.shape[1], device=p.device))
        z = torch.zeros_like(p)
        predictions = []
        for loop in range(config.b):
            with torch.set_grad_enabled(loop >= first_seen):
                z = z + p + positions
                for block in model.blocks:
                    z = _block(block, z)  # type: ignore[arg-type]
                z = model.final_norm(z)
            if loop >= first_seen:
                predictions.append(model.read_out(z)[:, queries, 0])
        targets = ys[:, -model.config.n_queries :]
        losses = [functional.mse_loss(prediction, targets) for prediction in predictions]
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        optimizer.step()
        return loss.detach()

    return step


def _block(block: Block, z: Tensor) -> Tensor:
    batch, tokens, width = z.shape
    q, k, v = block.qkv(block.attention_norm(z)).chunk(3, dim=-1)
    split = (batch, tokens, block.n_head, width // block.n_head)
    q, k, v = (part.view(split).transpose(1, 2) for part in (q, k, v))
    heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    z = z + block.attention_out(heads.transpose(1, 2).reshape(batch, tokens, width))
    hidden = functional.gelu(block.mlp_in(block.mlp_norm(z)), approximate="tanh")
    return z + block.mlp_out(hidden)  # type: ignore[no-any-return]
