"""The joint law of size and loops on planted studies."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.answers import joint_checks
from analysis.answers.joint_form import JointForm
from analysis.answers.joint_law import MISFIT, PUBLISHED_PHI, fit_joint
from analysis.answers.joint_runs import read_joint_runs
from analysis.answers.joint_text import describe
from analysis.scaling.run_table import RunTableError

WEIGHTS = {"tiny": (300, 1e4), "small": (600, 1e5), "medium": (1200, 1e6)}


def planted_table(phi=0.5, floor=5e-4, noise=0.05, steps=(7500,), bs=(1, 5, 10, 15), rng=1,
                  weights=WEIGHTS, off=None, seeds=3):  # fmt: skip
    """Runs of a law; ``noise`` may be by size, ``off`` is how far a size lies off the law."""
    generator = np.random.default_rng(rng)
    rows = []
    for name, (once, rec) in weights.items():
        scatter = noise[name] if isinstance(noise, dict) else noise
        for b in bs:
            for length in steps:
                for seed in range(seeds):
                    loss = floor + 0.02 * ((once + b**phi * rec) / 1e5) ** -0.6
                    loss += 0.004 * (length / 7500) ** -1.2 if len(steps) > 1 else 0
                    bits = -0.5 * np.log2(loss) + scatter * generator.normal()
                    bits += (off or {}).get(name, 0)
                    rows.append({"size": name, "n_once": once, "n_rec": rec, "b": b, "seed": seed,
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


def holds(row, truth, ends=("lower", "upper")):
    return row[ends[0]] <= truth <= row[ends[1]]


def test_noise_is_in_both_intervals():
    rows = [
        fit_joint(planted_table(rng=i), resamples=150).parameters.set_index("name").loc["phi"]
        for i in range(20)
    ]
    # 19 expected; fewer than 16 has a chance below 1 %
    assert sum(holds(row, 0.5) for row in rows) >= 16
    assert sum(holds(row, 0.5, ("lower_runs", "upper_runs")) for row in rows) >= 16


def test_sizes_that_lie_off_the_law_are_in_the_interval_that_says_so():
    generator, rows = np.random.default_rng(0), []
    for i in range(20):
        off = dict(zip(WEIGHTS, 0.15 * generator.normal(size=3), strict=True))
        fit = fit_joint(planted_table(phi=1.0, noise=0.08, rng=i, off=off), resamples=100)
        rows.append(fit.parameters.set_index("name").loc["phi"])
    assert sum(holds(row, 1.0) for row in rows) >= 16
    assert sum(holds(row, 1.0, ("lower_runs", "upper_runs")) for row in rows) < 16


def test_two_sizes_have_an_interval_too():
    weights = {name: WEIGHTS[name] for name in ("tiny", "medium")}
    fit = fit_joint(planted_table(weights=weights), resamples=100)
    row = fit.parameters.set_index("name").loc["phi"]
    assert not fit.is_by_leaving_out
    assert row["upper"] - row["lower"] > 2 * (row["upper_runs"] - row["lower_runs"])
    assert fit.phi_by_sizes.empty
    text = "\n".join(describe(fit))
    assert "a wild bootstrap with 2 sizes as its clusters" in text
    assert "2 sizes cannot part phi from what else differs between them" in text


def test_phi_without_a_size_is_that_of_the_others():
    table = planted_table(noise=0.05)
    fit = fit_joint(table, resamples=100)
    by_sizes = fit.phi_by_sizes
    assert list(by_sizes["left_out"]) == list(fit.sizes) == ["tiny", "small", "medium"]
    assert list(by_sizes["sizes"]) == ["small, medium", "tiny, medium", "tiny, small"]
    for name, phi in zip(by_sizes["left_out"], by_sizes["phi"], strict=True):
        fit_of_rest = fit_joint(table[table["size"] != name], resamples=100)
        # nearly: what a size scatters by is drawn towards what all do
        assert phi == pytest.approx(fit_of_rest.phi[0], abs=0.05)


def test_pairs_of_sizes_are_fitted_where_they_are_few():
    def fit_of(n_sizes):
        weights = {f"s{i}": (300, 1e4 * 4.0**i) for i in range(n_sizes)}
        fit = fit_joint(planted_table(weights=weights, seeds=2, bs=(1, 4, 16)), resamples=100)
        by_sizes = fit.phi_by_sizes
        assert list(by_sizes["left_out"][:n_sizes]) == list(weights) == list(fit.sizes)
        pairs = by_sizes[by_sizes["left_out"] == ""]
        assert not len(pairs) or (pairs["phi"] - 0.5).abs().max() < 1
        return list(weights), list(pairs["sizes"]), "\n".join(describe(fit))

    weights, names, text = fit_of(4)
    assert names == [", ".join(pair) for pair in itertools.combinations(weights, 2)]
    assert "phi without s3: 0." in text and "phi of s0, s2 alone: 0." in text
    assert "4 sizes cannot part phi" in text
    _, names, text = fit_of(6)
    assert names == []
    assert "phi without one size lies between 0." in text and "cannot part" not in text


def test_the_jackknife_is_as_in_the_books():
    theta, thetas_without = np.array([1.0, -2.0]), np.array([[0.9, -2.0], [1.2, -2.5], [1.1, -1.0]])
    for index, spread in enumerate(joint_checks.spread_over_sizes(theta, thetas_without)):
        squares = sum((row[index] - theta[index]) ** 2 for row in thetas_without)
        assert spread == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(2 / 3 * squares))


def chances(table):
    runs = read_joint_runs(table)
    return joint_checks.lack_of_fit(JointForm(runs.rows.iloc[runs.firsts], runs.with_steps), runs)


@pytest.mark.slow
def test_lack_of_fit_errs_as_often_as_it_says():
    noise = {"tiny": 0.1, "small": 0.05, "medium": 0.025}
    own_scatter, alike = np.array([chances(planted_table(noise=noise, rng=i)) for i in range(40)]).T
    # 2 of 40 expected; 7 or more has a chance below 1 %
    assert (own_scatter < MISFIT).sum() < 7
    assert own_scatter.mean() == pytest.approx(0.5, abs=0.12)
    assert alike.mean() == pytest.approx(0.5, abs=0.15)


def test_the_plain_test_is_the_classical_one():
    table = planted_table(noise=0.03)
    runs = read_joint_runs(table)
    form = JointForm(runs.rows.iloc[runs.firsts], False)
    means = table.groupby(["size", "b"], sort=False)["expressivity"].transform("mean")
    noise = ((table["expressivity"] - means) ** 2).sum() / (36 - 12)
    theta = np.array([[np.log(5e-4), np.log(0.02), np.log(0.6), 0.5]])
    for _ in range(50):  # least squares, step by step
        expected, slopes = form.model(theta)
        errors = runs.cell_means - expected[0]
        theta = theta + np.linalg.lstsq(slopes[0], errors, rcond=None)[0]
    misfit = 3 * (errors**2).sum() / (12 - 4)
    assert chances(table)[1] == pytest.approx(stats.f.sf(misfit / noise, 8, 24), rel=1e-4)


def test_a_law_that_does_not_hold_is_said_not_to_fit():
    table = planted_table(noise=0.05)
    table.loc[table["b"] == 5, "expressivity"] += 0.3
    fit = fit_joint(table, resamples=100)
    assert fit.fits is False
    assert max(fit.lack_of_fit, fit.lack_of_fit_alike) < 0.001
    text = "\n".join(describe(fit))
    assert "the law does not fit these runs (at the 5% level)" in text
    assert "farthest off is small at b = 5, 0." in text
    held_fit = fit_joint(planted_table(noise=0.05), resamples=100)
    assert held_fit.fits and "nothing against the law" in "\n".join(describe(held_fit))


def test_a_lack_of_fit_that_cannot_be_tested_is_said():
    fit = fit_joint(planted_table(seeds=1), resamples=100)
    assert fit.fits is None and math.isnan(fit.lack_of_fit)
    assert "cannot be tested" in "\n".join(describe(fit))
    table = planted_table()
    fit = fit_joint(table[(table["size"] != "tiny") | (table["seed"] == 0)], resamples=100)
    assert math.isnan(fit.lack_of_fit) and fit.fits is (fit.lack_of_fit_alike >= MISFIT)
    assert "taking all sizes to scatter alike" in "\n".join(describe(fit))


def test_a_noisy_size_weighs_less():
    noise = {"tiny": 0.02, "small": 0.02, "medium": 0.5}
    runs = read_joint_runs(planted_table(noise=noise))
    scale_of = dict(zip(runs.rows["size"], runs.scales, strict=True))
    assert scale_of["medium"] > 2 * scale_of["tiny"]


def test_the_order_of_runs_does_not_matter():
    table = planted_table()
    shuffled_fit, fit = (
        fit_joint(rows, resamples=100) for rows in (table.sample(frac=1, random_state=1), table)
    )
    assert shuffled_fit.phi == pytest.approx(fit.phi)
    assert shuffled_fit.sizes == fit.sizes


def test_steps_get_a_term_where_they_vary():
    fit = fit_joint(planted_table(noise=1e-4, steps=(1500, 3000, 7500)), resamples=100)
    values = fit.parameters.set_index("name")["value"]
    assert values["beta"] == pytest.approx(1.2, rel=0.05)
    assert values["phi"] == pytest.approx(0.5, abs=0.02)
    lines = describe(fit)
    assert "steps" in lines[0] and any(" steps, " in line for line in lines)
    remark = "two lengths of training cannot part L_inf, B and beta: take none for itself"
    assert remark not in lines
    fit = fit_joint(planted_table(noise=0.01, steps=(1500, 7500)), resamples=100)
    assert remark in describe(fit)


def test_a_floor_that_is_not_there_is_said_to_be_at_the_edge():
    fit = fit_joint(planted_table(floor=0.0, noise=0.01), resamples=100)
    row = fit.parameters.set_index("name").loc["L_inf"]
    assert row["lower"] < 1e-4
    assert fit.phi[0] == pytest.approx(0.5, abs=0.05)


def test_the_published_exponent_stands_beside():
    assert PUBLISHED_PHI == (0.46, 0.41, 0.53)
    text = "\n".join(describe(fit_joint(planted_table(), resamples=100)))
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
