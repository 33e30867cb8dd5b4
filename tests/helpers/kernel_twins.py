"""The same models twice, on plain operations and on compiled kernels, and what must be equal."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_trainings import TINY

from looped.sizes import SIZES, Size
from looped.training import loop, resolve
from looped.training.stacked_model import StackedModel

ODD = Size(n_layer=2, n_head=3, n_embd=21, n_mlp=37, learning_rate=1e-3)


def twins(monkeypatch, size, bs, batch=3, **settings):
    """The same models twice, plain and compiled, and prompts; no weight is 0 or 1."""
    monkeypatch.setattr("looped.sizes.SIZES", {**SIZES, "tiny": size})
    settings = {"loop_window": None, **settings}
    base = replace(TINY, b=max(bs), batch_size=batch, **settings)
    generator = torch.Generator().manual_seed(0)
    pair = []
    for kernels in ("off", "fused"):
        configs = [
            resolve.resolve(replace(base, b=b, seed=seed, kernels=kernels))
            for seed, b in enumerate(bs)
        ]
        pair.append(StackedModel([loop.seeded_model(config) for config in configs], configs))
    noise = 0.1 * torch.randn(pair[0].flat.shape, generator=generator)
    with torch.no_grad():
        for model in pair:
            model.flat.add_(noise)
    assert pair[0].cpu_chain is None
    assert pair[1].cpu_chain is not None
    shape = (len(bs), batch, base.n_examples + 1)
    xs = torch.randn(*shape, base.n_dims, generator=generator)
    return *pair, xs, torch.randn(shape, generator=generator)


def errors_and_gradient(model, xs, ys, drawn_loops=None):
    losses, query_errors = model.errors(xs, ys, drawn_loops)
    scale = torch.linspace(1, 2, len(losses))  # a gradient must know whose loss it is of
    gradients = torch.autograd.grad((scale * losses).sum(), list(model.weights.values()))
    return losses.detach(), query_errors, dict(zip(model.weights, gradients, strict=True))


def assert_equal(plain, compiled, xs, ys, drawn_loops=None, tolerance=2e-5):
    losses, query_errors, gradients = errors_and_gradient(plain, xs, ys, drawn_loops)
    came = errors_and_gradient(compiled, xs, ys, drawn_loops)
    torch.testing.assert_close(came[0], losses, rtol=tolerance, atol=0)
    torch.testing.assert_close(came[1], query_errors, rtol=10 * tolerance, atol=1e-6)
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        difference = float((came[2][name] - gradient).abs().max())
        assert difference <= tolerance * largest, name


def assert_evaluations_equal(plain, fused):
    # predictions agree to 1e-5; where they happen to be right their squares have fewer digits
    assert np.abs(fused.query_errors - plain.query_errors).max() < 1e-4 * plain.query_errors.max()
    assert fused.point_nmse == pytest.approx(plain.point_nmse, rel=1e-3)
    assert fused.state_change == pytest.approx(plain.state_change, rel=1e-3, abs=1e-6)
