"""The joint law of size and loops on planted studies."""

import numpy as np
import pandas as pd
import pytest

from analysis.answers.joint_law import PUBLISHED_PHI, fit_joint
from analysis.scaling.run_table import RunTableError

WEIGHTS = {"tiny": (300, 1e4), "small": (600, 1e5), "medium": (1200, 1e6)}


def planted_table(phi=0.5, floor=5e-4, noise=0.05, steps=(7500,), bs=(1, 5, 10, 15), rng=1):
    generator = np.random.default_rng(rng)
    rows = []
    for once, rec in WEIGHTS.values():
        for b in bs:
            for length in steps:
                for seed in range(3):
                    loss = floor + 0.02 * ((once + b**phi * rec) / 1e5) ** -0.6
                    loss += 0.004 * (length / 7500) ** -1.2 if len(steps) > 1 else 0
                    bits = -0.5 * np.log2(loss) + noise * generator.normal()
                    rows.append({"n_once": once, "n_rec": rec, "b": b, "seed": seed,
                                 "steps": length, "expressivity": bits})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("phi", [0.2, 0.5, 1.0])
def test_a_planted_exponent_is_recovered(phi):
    fit = fit_joint(planted_table(phi, noise=1e-4), resamples=100)
    assert fit.converged
    value, lower, upper = fit.phi
    assert value == pytest.approx(phi, abs=0.01)
    assert lower <= value <= upper
    values = fit.parameters.set_index("name")["value"]
    assert values["alpha"] == pytest.approx(0.6, rel=0.02)
    assert values["L_inf"] == pytest.approx(5e-4, rel=0.05)
    assert fit.n_reference == pytest.approx(1e5)


def test_noise_is_in_the_interval():
    is_held = [
        lower <= 0.5 <= upper
        for _, lower, upper in (
            fit_joint(planted_table(rng=i), resamples=200).phi for i in range(20)
        )
    ]
    assert sum(is_held) >= 16  # 19 expected; fewer than 16 has a chance below 1 %


def test_steps_get_a_term_where_they_vary():
    fit = fit_joint(planted_table(noise=1e-4, steps=(1500, 3000, 7500)), resamples=100)
    values = fit.parameters.set_index("name")["value"]
    assert values["beta"] == pytest.approx(1.2, rel=0.05)
    assert values["phi"] == pytest.approx(0.5, abs=0.02)
    assert "steps" in fit.describe()[0]


def test_a_floor_that_is_not_there_is_said_to_be_at_the_edge():
    fit = fit_joint(planted_table(floor=0.0, noise=0.01), resamples=100)
    row = fit.parameters.set_index("name").loc["L_inf"]
    assert row["lower"] < 1e-4
    assert fit.phi[0] == pytest.approx(0.5, abs=0.05)


def test_the_published_exponent_stands_beside():
    assert PUBLISHED_PHI == (0.46, 0.41, 0.53)
    text = "\n".join(fit_joint(planted_table(), resamples=100).describe())
    assert "phi 0.46 [0.41, 0.53] (arXiv:2604.21106)" in text


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        (
            planted_table()[lambda t: t["n_rec"] == 1e4],
            "the joint law needs 2 sizes or more, got 1",
        ),
        (planted_table(bs=(1,)), "needs 2 values of b or more, got 1"),
        (planted_table().drop(columns="n_once"), "needs the columns n_once"),
    ],
)
def test_too_little_is_refused(table, rule):
    with pytest.raises(RunTableError, match=rule):
        fit_joint(table)
