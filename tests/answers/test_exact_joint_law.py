"""The joint law of size and loops, against small cases worked out by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.answers import joint_law
from analysis.answers.joint_form import JointForm
from analysis.scaling.run_table import RunTableError


def table_of(n_rec=(1e4, 1e5, 1e6), bs=(1, 5, 10), seeds=2, steps=(7500,)):
    rows = [
        {"n_once": 100.0, "n_rec": each, "b": b, "seed": seed, "steps": length,
         "expressivity": 1 + 0.3 * math.log10(each) + 0.1 * b + 0.01 * seed}
        for each in n_rec for b in bs for seed in range(seeds) for length in steps
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("with_steps", [False, True])
def test_slopes_of_the_joint_law_are_its_derivatives(with_steps):
    steps = (1500, 7500) if with_steps else (7500,)
    terms = JointForm(table_of(steps=steps), with_steps)
    assert terms.n_reference == pytest.approx(1e5)
    assert terms.steps_reference == pytest.approx(math.sqrt(1500 * 7500) if with_steps else 1)
    theta = np.array([[-7.0, -4.0, -0.5, 0.4, *([-5.0, 0.1] if with_steps else [])]])
    expected, slopes = terms.model(theta)
    floor, factor, alpha = np.exp(theta[0, :3])
    rows = table_of(steps=steps)
    weights = (rows["n_once"] + rows["b"] ** 0.4 * rows["n_rec"]) / terms.n_reference
    total = floor + factor * weights**-alpha
    if with_steps:
        total += math.exp(-5) * (rows["steps"] / terms.steps_reference) ** -math.exp(0.1)
    assert expected[0] == pytest.approx(-0.5 * np.log2(total.to_numpy()))
    for index in range(theta.shape[1]):
        step = np.zeros_like(theta)
        step[0, index] = 1e-6
        high, low = (terms.model(theta + sign * step)[0][0] for sign in (1, -1))
        assert slopes[0, :, index] == pytest.approx((high - low) / 2e-6, rel=1e-4, abs=1e-8)


def test_what_is_searched_for_has_stated_bounds():
    terms = JointForm(table_of(steps=(1, 2)), True)
    lower, upper = terms.bounds
    names = ["L_inf", "A", "alpha", "phi", "B", "beta"]
    assert terms.names == names
    ends = [
        (float(np.exp(low)), float(np.exp(high))) if name != "phi" else (low, high)
        for name, low, high in zip(names, lower, upper, strict=True)
    ]
    flat_ends = [end for pair in ends for end in pair]
    assert flat_ends == pytest.approx([1e-7, 1, 1e-7, 1e3, 0.01, 10, -1, 5, 1e-7, 1e3, 0.01, 10])
    starts = terms.starts
    assert len(starts) == 2 * 2 * 2 * 3 * 1 * 2
    assert ((starts > lower) & (starts < upper)).all()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (table_of(n_rec=(1e4, 1e5), bs=(1, 5))[:6], "needs 4 cells or more, got 3"),
        (table_of(n_rec=(1e4, 1e5), bs=(1, 5), seeds=1), "needs 6 runs or more, got 4"),
        (table_of(n_rec=(1e4, 1e5), bs=(1, 5), seeds=1, steps=(1, 2))[:5],
         "needs 6 cells or more, got 5"),
        (table_of(n_rec=(1e4, 1e5), bs=(1, 5), seeds=1, steps=(1, 2))[:7],
         "needs 8 runs or more, got 7"),
    ],
)  # fmt: skip
def test_the_joint_law_asks_for_runs_to_spare(table, words):
    with pytest.raises(RunTableError, match=words):
        joint_law.fit_joint(table, resamples=100)
