"""Slow plain twins of what looped computes at speed."""

import math
from functools import partial

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

# Our names for the weights of PyTorch's own pre-norm layer.
ENCODER_LAYER = {
    "norm1": "attention_norm",
    "self_attn.in_proj_": "qkv",
    "self_attn.out_proj": "attention_out",
    "norm2": "mlp_norm",
    "linear1": "mlp_in",
    "linear2": "mlp_out",
}


def tokens(config, xs, ys):
    batch = []
    for prompt_xs, prompt_ys in zip(xs.tolist(), ys.tolist(), strict=True):
        prompt_tokens = []
        for i, x in enumerate(prompt_xs):
            y = 0.0 if i == config.n_points - 1 else prompt_ys[i]
            if config.prompt == "joint":
                prompt_tokens.append([*x, y])
            else:
                prompt_tokens += [x, [y] + [0.0] * (config.n_dims - 1)]
        batch.append(prompt_tokens)
    return torch.tensor(batch, dtype=xs.dtype)


def encoder_layer(block, size):
    """PyTorch's layer computing with the block's own weights, so that they get its gradient."""
    layer = nn.TransformerEncoderLayer(
        size.n_embd,
        size.n_head,
        size.n_mlp,
        dropout=0.0,
        activation=partial(functional.gelu, approximate="tanh"),
        batch_first=True,
        norm_first=True,
    ).double()
    weights = {
        (their_name if their_name.endswith("_") else f"{their_name}.") + kind: getattr(
            getattr(block, our_name), kind
        )
        for their_name, our_name in ENCODER_LAYER.items()
        for kind in ("weight", "bias")
    }
    assert weights.keys() == dict(layer.named_parameters()).keys()
    return lambda z, mask: functional_call(layer, weights, (z, mask))


def looped_predictions(model, xs, ys, n_loops, loss_window, grad_window=None):
    """Predictions after each of the last loops that the loss sees, as a list.

    Loop after loop of one batch; an untied model's stacks are taken in turn.
    """
    config = model.config
    stacks = [model, *model.later_stacks]
    p = model.read_in(tokens(config, xs, ys))
    mask = nn.Transformer.generate_square_subsequent_mask(p.shape[1], dtype=p.dtype)
    queries = [p.shape[1] - 1] if config.prompt == "joint" else range(0, p.shape[1], 2)
    z = torch.zeros_like(p)
    predictions = []
    for loop in range(n_loops):
        stack = stacks[min(loop, len(stacks) - 1)]
        if (n_loops - loop) % (grad_window or loss_window) == 0:
            z = z.detach()
        z = z + p + model.positions(torch.arange(p.shape[1]))
        for block in stack.blocks:
            z = encoder_layer(block, config.size)(z, mask)
        z = stack.final_norm(z)
        predictions.append(torch.cat([model.read_out(z[:, query]) for query in queries], dim=1))
    return predictions[n_loops - loss_window :]


def step_error(model, xs, ys, loops, loss_window, grad_window):
    """A step's loss and its error at the query after the last loop, prompt after prompt."""
    targets = ys[:, -model.config.n_queries :]
    losses, last_errors = [], []
    for prompt, n_loops in enumerate(loops):
        one = slice(prompt, prompt + 1)
        n_seen = min(loss_window, n_loops)
        predictions = looped_predictions(model, xs[one], ys[one], n_loops, n_seen, grad_window)
        errors = torch.stack([(each - targets[one]) ** 2 for each in predictions])
        losses.append(errors.mean())
        last_errors.append(errors[-1, 0, -1])
    return torch.stack(losses).mean(), torch.stack(last_errors).mean().detach()


def linear(weights, x):
    return sum(w * value for w, value in zip(weights, x, strict=True)) / math.sqrt(len(x))


def noisy_linear(noise_std, weights, x):
    return linear(weights, x) / math.sqrt(1 + noise_std**2)


def decision_tree(coordinates, leaves, x):
    node = 0
    while node < len(coordinates):
        node = 2 * node + 2 if x[coordinates[node]] > 0 else 2 * node + 1
    return leaves[node - len(coordinates)]


def relu_network(first, second, x):
    total = 0.0
    for weights, a in zip(first, second, strict=True):
        total += a * max(0.0, sum(w * value for w, value in zip(weights, x, strict=True)))
    return total / math.sqrt(len(second) * len(x) / 2)


def standard_errors_off(samples, truth):
    """How far the mean of independent samples (dim 0) is from the truth, in standard errors.

    The errors are the samples' own, so 5 is out of reach of chance whatever the sample size.
    """
    samples = samples.double()
    errors = samples.std(dim=0) / math.sqrt(len(samples))
    return ((samples.mean(dim=0) - truth) / errors).abs().max().item()
