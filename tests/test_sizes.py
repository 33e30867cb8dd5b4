"""The sizes, and the weights and FLOPs that they come to."""

from dataclasses import asdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import loops_and_windows, model_configs
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from looped.config import TrainConfig
from looped.model import LoopedTransformer
from looped.sizes import PROMPTS, SIZES, ModelConfig
from looped.windows import Windows


@pytest.mark.parametrize(
    ("name", "row", "about"),
    [
        ("nano", (1, 1, 12, 64, 1e-3), 3e3),
        ("tiny", (1, 2, 26, 128, 1e-3), 1e4),
        ("mini", (1, 3, 48, 192, 7e-4), 3e4),
        ("small", (2, 4, 64, 256, 5e-4), 1e5),
        ("base", (3, 6, 96, 384, 5e-4), 3e5),
        ("medium", (4, 8, 128, 768, 5e-4), 1e6),
        ("large", (6, 12, 192, 1152, 3.5e-4), 3e6),
    ],
)
def test_sizes_are_the_studys_and_those_between_and_around_them(name, row, about):
    assert tuple(asdict(SIZES[name]).values()) == row
    assert about / 1.5 < ModelConfig(SIZES[name], 5, 64).n_params() < about * 1.5


def assert_counts_parameters(config):
    modules = dict(LoopedTransformer.from_config(config).named_children())
    counts = {name: sum(w.numel() for w in part.parameters()) for name, part in modules.items()}
    assert config.n_params() == sum(counts.values())
    assert config.n_params(position_embedding=False) == config.n_params() - counts["positions"]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("size", SIZES)
def test_n_params_counts_the_weights_of_the_study(size, prompt):
    assert_counts_parameters(ModelConfig(SIZES[size], 5, 64, prompt))


@given(model_configs())
def test_n_params_counts_the_weights(config):
    assert_counts_parameters(config)


@given(st.integers(1, 100))
def test_n_params_does_not_depend_on_b(b):
    assert TrainConfig(b=b).model_config == TrainConfig(b=1).model_config


@settings(max_examples=15)  # counting is slow
@given(model_configs(), st.integers(1, 3), loops_and_windows(most=3))
def test_flops_are_those_of_the_real_products(config, batch, loops):
    b, window = loops
    model = LoopedTransformer.from_config(config)
    prompt = torch.randn(batch, config.n_points, config.n_dims), torch.randn(batch, config.n_points)
    with sdpa_kernel(SDPBackend.MATH):  # the one backend whose products are all counted
        with torch.no_grad(), FlopCounterMode(display=False) as forward:
            model(*prompt, b)
        with FlopCounterMode(display=False) as train:
            model(*prompt, b, window).square().mean().backward()
    assert forward.get_total_flops() == batch * config.forward_flops(b)
    assert train.get_total_flops() == batch * config.train_flops(b, Windows(window, window))


@given(st.integers(1, 20), st.integers(1, 100))
def test_a_step_costs_a_whole_batch(b, batch_size):
    config = TrainConfig(b=b, batch_size=batch_size)
    assert config.step_flops == batch_size * config.model_config.train_flops(b, Windows(b, b))
