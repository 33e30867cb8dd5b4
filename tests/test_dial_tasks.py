"""Tasks with a dial for depth: pointer chains and parity, against slow plain twins."""

from itertools import combinations
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import standard_errors_off
from strategies import seeds, steps

from looped.config import TrainConfig
from looped.tasks import make_task

CHANCE = 5.0
"""Standard errors that no honest draw is off by."""

chains = st.tuples(st.integers(4, 9), st.integers(1, 6), st.integers(0, 6))
"""n_dims, hops and examples beside those of the chain."""


def named_example(x, names):
    """The example whose key is the second half of ``names``, in plain Python."""
    width = len(names) // 2
    return [point[:width] for point in x].index(names[width : 2 * width])


@given(chains, seeds, steps)
def test_the_query_is_the_sum_along_its_chain(shape, seed, step):
    n_dims, hops, n_further = shape
    xs, ys = make_task("pointer_chain", n_dims, hops=hops).batch(
        seed, step, 3, hops + n_further + 1
    )
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        *examples, query = x
        met = [named_example(examples, query)]
        while len(met) < hops:
            met.append(named_example(examples, examples[met[-1]]))
        assert met == sorted(set(met), reverse=True), "each names an earlier one"
        assert y[-1] == pytest.approx(sum(y[i] for i in met) / hops**0.5, abs=1e-5)


def test_every_example_but_the_first_names_an_earlier_one():
    xs, _ = make_task("pointer_chain", 8, hops=3).batch(1, 0, 200, 9)
    for x in xs.tolist():
        pointers = [named_example(x[:-1], point) for point in x[:-1]]
        assert pointers[0] == 0
        assert all(earlier < i for i, earlier in enumerate(pointers[1:], start=1))


def test_keys_have_one_length_and_no_direction():
    xs, _ = make_task("pointer_chain", 7, hops=2).batch(1, 0, 20_000, 4)
    keys, next_keys, rest = xs[:, 0, :3], xs[:, -1, 3:6], xs[:, :, 6]
    torch.testing.assert_close(keys.square().sum(dim=1), torch.full((20_000,), 3.0))
    for part in (keys, next_keys):
        assert standard_errors_off(part, 0.0) < CHANCE
        assert standard_errors_off(part.unsqueeze(1) * part.unsqueeze(2), torch.eye(3)) < CHANCE
    assert standard_errors_off(rest**2, 1.0) < CHANCE


def test_every_example_is_as_likely_in_the_chain():
    n_examples, hops = 5, 2
    _, ys = make_task("pointer_chain", 4, hops=hops).batch(3, 0, 20_000, n_examples + 1)
    # The query's covariance with a value is 1 / sqrt(hops) where that is in the chain.
    shares = ys[:, :-1] * ys[:, -1:]
    assert standard_errors_off(shares, hops / n_examples / hops**0.5) < CHANCE


@given(st.integers(1, 6), st.data(), seeds, steps)
def test_parity_is_the_product_of_so_many_coordinates(n_dims, data, seed, step):
    n_bits = data.draw(st.integers(1, n_dims))
    xs, ys = make_task("parity", n_dims, n_bits=n_bits).batch(seed, step, 3, 6)
    assert set(xs.unique().tolist()) <= {-1.0, 1.0}
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        subsets = combinations(range(n_dims), n_bits)
        assert any([prod(point[i] for i in hidden) for point in x] == y for hidden in subsets)


def test_parity_hides_every_subset_equally_often():
    xs, ys = make_task("parity", 4, n_bits=2).batch(0, 0, 20_000, 30)
    for i, j in combinations(range(4), 2):
        is_hidden = (xs[..., i] * xs[..., j] == ys).all(dim=1)
        assert standard_errors_off(is_hidden, 1 / 6) < CHANCE


@pytest.mark.parametrize(
    ("name", "settings"),
    [("pointer_chain", {"hops": hops}) for hops in (1, 2, 4)]
    + [("parity", {"n_bits": n_bits}) for n_bits in (1, 2, 3)],
)
def test_ys_have_mean_0_and_variance_1_and_functions_of_their_own(name, settings):
    _, ys = make_task(name, 5, **settings).batch(2, 0, 40_000, 6)
    assert standard_errors_off(ys, 0.0) < CHANCE
    if name == "parity":
        assert (ys**2 == 1).all()
    else:
        assert standard_errors_off(ys**2, 1.0) < CHANCE
    assert standard_errors_off(ys[::2] * ys[1::2], 0.0) < CHANCE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "pointer_chain", "n_dims": 3}, "n_dims must be at least 4, two for each"),
        (
            {"task": "pointer_chain", "hops": 4, "n_examples": 3},
            "hops must be at most n_examples=3, got 4",
        ),
        ({"task": "pointer_chain", "hops": 0}, "hops must be a whole number of at least 1, got 0"),
        ({"task": "parity", "n_bits": 6}, "n_bits must be at most n_dims=5, got 6"),
        (
            {"task": "parity", "n_dims": 40, "n_bits": 4},
            "n_bits=4 of n_dims=40 coordinates must be one of at most 5,000 subsets, got 91,390",
        ),
    ],
)
def test_rules_are_one_clear_line(settings, message):
    with pytest.raises(ValueError, match="got") as refused:
        TrainConfig(**settings)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_drawing_fewer_examples_than_hops_is_refused():
    with pytest.raises(ValueError, match="hops must be at most n_examples=2, got 3"):
        make_task("pointer_chain", 4, hops=3).batch(0, 0, 2, 3)
