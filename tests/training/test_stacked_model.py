"""The stacked model, which trainings run, against plain twins, one prompt after another."""

from dataclasses import replace

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_trainings import TINY
from strategies import seeds, steps

from looped import tasks
from looped.training import loop, resolve
from looped.training.stacked_model import StackedModel, named_views

window = st.integers(1, 6).map(float) | st.sampled_from([0.3, 0.5]) | st.none()


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
        base = replace(base, b=draw(st.integers(2, 5)))
        base = replace(base, loss_window=draw(window), grad_window=draw(window))
        unit = draw(st.sampled_from(("fixed", "step", "prompt", "untied")))
        if unit == "untied":
            base = replace(base, tied=kernels != "off")
        elif unit != "fixed":
            base = replace(base, b_draw="uniform", b_draw_unit=unit)
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
    gradients = torch.autograd.grad(
        losses.sum(), list(stacked.weights.values()), materialize_grads=True
    )
    for row, (model, config) in enumerate(zip(models, configs, strict=True)):
        loops = config.loops_of_step(step)
        loops = loops if isinstance(loops, tuple) else (loops,) * 4
        twin = model.double()
        loss, query_error = reference.step_error(
            twin, *(part.double() for part in prompts[row]), loops, *config.windows
        )
        torch.testing.assert_close(losses[row].double(), loss, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(query_errors[row].double(), query_error, rtol=1e-4, atol=1e-6)
        twin_gradients = torch.autograd.grad(loss, list(twin.parameters()), allow_unused=True)
        largest = max(gradient.abs().max() for gradient in twin_gradients if gradient is not None)
        for gradient, expected in zip(gradients, twin_gradients, strict=True):
            difference = gradient[row] - (0 if expected is None else expected)
            assert difference.abs().max() < 1e-4 * largest


def test_named_views_share_the_memory():
    model = loop.seeded_model(TINY)
    flat = torch.zeros(3, sum(p.numel() for p in model.parameters()))
    views = named_views(flat, model)
    assert views.keys() == dict(model.named_parameters()).keys()
    for view in views.values():
        view[1] += 1
    assert torch.equal(flat, torch.tensor([0.0, 1, 0])[:, None].expand_as(flat))
