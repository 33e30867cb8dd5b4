"""The stacked model, which trainings run, against ``LoopedTransformer.forward``, its plain twin."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_trainings import TINY
from strategies import seeds, steps

from looped import tasks
from looped.training import loop, resolve
from looped.training.stacked_model import StackedModel, named_views


@st.composite
def programs(draw, kernels):
    """Configurations that may train together, by falling b."""
    base = replace(
        TINY,
        device="cpu",
        precision="fp32",
        size=draw(st.sampled_from(("tiny", "small"))),
        prompt=draw(st.sampled_from(("joint", "interleaved"))),
        kernels=kernels,
        checkpoint_loops=draw(st.booleans()),
    )
    if draw(st.booleans()):
        bs = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
        configs = [replace(base, b=b, seed=draw(seeds)) for b in sorted(bs, reverse=True)]
    else:
        b = draw(st.integers(2, 5))
        base = replace(base, b=b, loop_window=draw(st.integers(1, b)))
        base = replace(base, b_draw=draw(st.sampled_from(("fixed", "uniform"))))
        several_seeds = draw(st.lists(seeds, min_size=1, max_size=3))
        configs = [replace(base, seed=seed) for seed in several_seeds]
    return [resolve.resolve(config) for config in configs]


@pytest.mark.parametrize("kernels", ["off", "auto"])
@settings(max_examples=15)
@given(data=st.data(), step=steps)
def test_it_has_the_losses_and_gradients_of_each_model_alone(kernels, data, step):
    configs = data.draw(programs(kernels))
    models = [loop.seeded_model(config) for config in configs]
    with torch.no_grad():
        for model in models:
            for weights in model.parameters():  # no bias stays 0, no gain 1
                weights.add_(torch.randn_like(weights), alpha=0.1)
    stacked = StackedModel(models, configs)
    task = tasks.from_config(configs[0].task_config)
    prompts = [task.batch(config.seed, 0, 4, config.n_examples + 1) for config in configs]
    xs, ys = (torch.stack(parts) for parts in zip(*prompts, strict=True))
    is_drawn = configs[0].b_draw != "fixed"
    losses, query_errors = stacked.errors(
        xs, ys, configs[0].loops_of_step(step) if is_drawn else None
    )
    gradients = torch.autograd.grad(losses.sum(), list(stacked.weights.values()))
    for row, (model, config) in enumerate(zip(models, configs, strict=True)):
        n_loops = config.loops_of_step(step)
        predictions = model(*prompts[row], n_loops, grad_loops=min(config.window, n_loops))
        errors = (predictions - prompts[row][1][:, -model.config.n_queries :]).square()
        torch.testing.assert_close(losses[row], errors.mean(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(
            query_errors[row], errors[-1, :, -1].mean(), rtol=1e-4, atol=1e-6
        )
        model_gradients = torch.autograd.grad(errors.mean(), list(model.parameters()))
        largest = max(gradient.abs().max() for gradient in model_gradients)
        for gradient, expected in zip(gradients, model_gradients, strict=True):
            assert (gradient[row] - expected).abs().max() < 1e-4 * largest


def test_named_views_share_the_memory():
    model = loop.seeded_model(TINY)
    flat = torch.zeros(3, sum(p.numel() for p in model.parameters()))
    views = named_views(flat, model)
    assert views.keys() == dict(model.named_parameters()).keys()
    for view in views.values():
        view[1] += 1
    assert torch.equal(flat, torch.tensor([0.0, 1, 0])[:, None].expand_as(flat))
