"""Baselines of the tasks with a dial: exact against brute force on tiny prompts."""

from itertools import combinations, product

import pytest
import torch
from baseline_prompts import clearly_less, errors_of, prompts_of, task_of
from hypothesis import given
from hypothesis import strategies as st
from reference import standard_errors_off
from strategies import seeds

from looped.evaluation import dial_baselines
from looped.evaluation.baselines import baselines_for
from looped.evaluation.dial_baselines import consistent_subsets, elimination_mod_2

CHANCE = 5.0


@pytest.mark.parametrize("hops", [1, 2, 5])
def test_each_hop_takes_its_share_of_the_variance(hops):
    task = task_of("pointer_chain", 8, hops=hops)
    xs, ys = prompts_of(task, 4000, 9)
    baselines = baselines_for(task, 6)
    errors = (baselines["hop_by_hop"](xs, ys)[..., 0] - ys[:, -1]).square()  # (loop, B)
    for t in range(1, 7):
        assert standard_errors_off(errors[t - 1], max(0, 1 - t / hops)) < CHANCE or t >= hops
    assert errors[hops - 1 :].max() < 1e-10
    assert torch.equal(baselines["whole_chain"](xs, ys)[0], baselines["hop_by_hop"](xs, ys)[-1])
    assert (
        standard_errors_off(errors_of(baselines["mean_of_values"], xs, ys), 1 - hops / 9) < CHANCE
    )


def test_a_chain_is_followed_in_whatever_order_its_examples_stand():
    task = task_of("pointer_chain", 8, hops=3)
    xs, ys = prompts_of(task, 50, 9)
    order = [*torch.randperm(9, generator=torch.Generator().manual_seed(0)).tolist(), 9]
    for baseline in baselines_for(task, 4).values():
        torch.testing.assert_close(baseline(xs[:, order], ys[:, order]), baseline(xs, ys))


def plain_posterior_mean(x, y, subsets):
    """The mean over subsets that fit the examples, in plain Python."""
    votes = []
    for hidden in subsets:
        values = [1.0] * len(x)
        for i in hidden:
            values = [value * point[i] for value, point in zip(values, x, strict=True)]
        if values[:-1] == y[:-1]:
            votes.append(values[-1])
    return sum(votes) / len(votes)


@given(st.integers(1, 5), st.integers(1, 7), st.data(), seeds)
def test_parity_is_predicted_as_brute_force_does(n_dims, n_examples, data, seed):
    n_bits = data.draw(st.integers(1, n_dims))
    task = task_of("parity", n_dims, n_bits=n_bits)
    xs, ys = task.batch(seed, 0, 4, n_examples + 1)
    of_so_many = list(combinations(range(n_dims), n_bits))
    of_any = [[i for i in range(n_dims) if bits[i]] for bits in product([0, 1], repeat=n_dims)]
    for answer, subsets in [
        (consistent_subsets(xs, ys, n_bits), of_so_many),
        (elimination_mod_2(xs, ys), of_any),
    ]:
        plain = [
            plain_posterior_mean(x, y, subsets)
            for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
        ]
        assert answer[0, :, 0].tolist() == pytest.approx(plain, abs=1e-6)


def test_parity_does_not_mind_the_order_of_examples_or_coordinates(monkeypatch):
    task = task_of("parity", 5, n_bits=2)
    xs, ys = prompts_of(task, 60, 6)
    order, coordinates = [3, 1, 5, 0, 4, 2, 6], [2, 0, 4, 1, 3]
    for baseline in baselines_for(task).values():
        torch.testing.assert_close(
            baseline(xs[:, order][..., coordinates], ys[:, order]), baseline(xs, ys)
        )
    whole = consistent_subsets(xs, ys, 2)
    monkeypatch.setattr(dial_baselines, "NUMBERS_TOGETHER", 100)
    assert torch.equal(consistent_subsets(xs, ys, 2), whole)


def test_knowing_the_number_of_bits_helps_and_so_does_reading_the_examples():
    task = task_of("parity", 6, n_bits=2)
    xs, ys = prompts_of(task, 5000, 6)
    errors = {name: errors_of(baseline, xs, ys) for name, baseline in baselines_for(task).items()}
    assert clearly_less(errors["consistent_subsets"], errors["elimination_mod_2"])
    assert clearly_less(errors["elimination_mod_2"], errors["seen_before"])
    assert clearly_less(errors["elimination_mod_2"], torch.ones(5000).double())


def test_one_seen_before_is_remembered():
    task = task_of("parity", 6, n_bits=3)
    xs, ys = prompts_of(task, 100, 4)
    xs[:, -1] = xs[:, 2]
    answer = baselines_for(task)["seen_before"](xs, ys)
    torch.testing.assert_close(answer[0, :, 0], ys[:, 2])
