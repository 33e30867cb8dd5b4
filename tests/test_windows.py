"""Which loops a training has, its loss sees and its gradient goes back through."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looped.b_draw import DISTRIBUTIONS, longest
from looped.config import TrainConfig


@given(st.integers(1, 40), st.integers(1, 20) | st.none(), st.sampled_from(DISTRIBUTIONS[1:]))
def test_a_drawn_b_has_a_window_recipe_and_name_of_its_own(b, window, distribution):
    config = TrainConfig(b=b, b_draw=distribution, loop_window=window)
    assert config.windows.loss >= (window or longest(distribution, b))
    fixed = replace(config, b_draw="fixed", loop_window=None)
    assert config.name == f"{fixed.name}-{distribution}"
    assert "b_draw" not in fixed.recipe
    assert config.recipe["b_draw"] == distribution
    variants = (
        fixed,
        *(replace(config, b_draw=name) for name in DISTRIBUTIONS[1:] if name != distribution),
    )
    for name in ("identity", "recipe_identity"):
        assert getattr(config, name) not in [getattr(variant, name) for variant in variants]
    explicit = replace(config, loop_window=config.windows.loss)
    assert (explicit.identity, explicit.recipe) == (config.identity, config.recipe)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(DISTRIBUTIONS))
def test_a_window_that_takes_in_all_loops_is_the_default_s_training(b, window, distribution):
    config = TrainConfig(b=b, b_draw=distribution)
    windowed = replace(config, loop_window=window)
    if distribution == "fixed":
        assert (windowed.identity == config.identity) == (window >= b)
    former = replace(config, loop_window=15)
    assert (former.identity == config.identity) == (longest(distribution, b) <= 15)
    assert former.recipe_identity == replace(config, b=1).recipe_identity
    assert config.under(former.policy).identity == former.identity
    assert config.follows(former.policy) == (former.identity == config.identity)
    assert config.follows({"tied": False}) == (b == 1)
    assert config.follows({"b_draw_unit": "prompt"}) == (b == 1 or distribution == "fixed")
    assert former.under(config.policy).identity == config.identity
    resolved = windowed.resolved("cpu", "fp32")
    assert resolved.windows == windowed.windows
    assert resolved.recipe == replace(windowed, precision="fp32").recipe


@given(
    st.integers(1, 12), st.sampled_from([0.25, 0.5, 1.0, 4.0]), st.sampled_from([0.5, 3.0, None])
)
def test_windows_may_be_set_apart_and_as_shares_of_b(b, loss, grad):
    config = TrainConfig(b=b, loss_window=loss, grad_window=grad)
    loops = {
        name: b if window is None else min(b, math.ceil(window * b if window < 1 else window))
        for name, window in (("loss", loss), ("grad", grad))
    }
    assert config.windows._asdict() == loops
    resolved = config.resolved("cpu", "fp32")
    assert resolved.identity == replace(config, precision="fp32").identity
    assert resolved.recipe == replace(config, precision="fp32").recipe
    if loops["loss"] == loops["grad"]:
        assert config.identity == TrainConfig(b=b, loop_window=loops["loss"]).identity


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 9))
def test_a_step_of_a_drawn_b_costs_the_mean_over_its_draws(b, window, batch_size):
    config = TrainConfig(b=b, b_draw="uniform", loop_window=window, batch_size=batch_size)
    each = [replace(config, b=n_loops, b_draw="fixed").step_flops for n_loops in range(1, 2 * b)]
    assert config.step_flops == pytest.approx(sum(each) / len(each), abs=batch_size)
    assert isinstance(config.step_flops, int)


@pytest.mark.parametrize("distribution", ["uniform", "poisson_lognormal"])
def test_a_drawn_b_has_a_bound_of_its_own(distribution):
    with pytest.raises(ValueError, match="a drawn b must be at most 10000, got 10001"):
        TrainConfig(b=10_001, b_draw=distribution)
    assert TrainConfig(b=10_001).b == 10_001
