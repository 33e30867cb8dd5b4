"""What is said of a fit, against textbook formulas computed from the rows."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import planted_study
import pytest
from scipy import stats

from analysis.scaling.fit import fit_scaling
from analysis.scaling.form.fitted_form import aicc
from analysis.scaling.solving.resampling import resample
from analysis.scaling.solving.solver import Observations

LOG = "logarithmic/shared_gain"
LAW = "saturating_power/of_E_M"


@pytest.fixture(scope="module")
def table():
    return planted_study.table_of_runs(LOG, noise=0.08, bs=(1, 2, 5, 10))


@pytest.fixture(scope="module")
def fit(table):
    return fit_scaling(table, forms=[LOG], loss="squared", clusters="run", resamples=4000).best


def design(rows, sizes):
    """The columns that a logarithmic law multiplies: one for each E_M, then the gain's."""
    return np.column_stack([*(rows["size"] == size for size in sizes), np.log2(rows["b"])])


def least_squares(rows, sizes, weights):
    columns, roots = design(rows, sizes).astype(float), np.sqrt(weights)
    theta, *_ = np.linalg.lstsq(columns * roots[:, None], rows["expressivity"] * roots)
    return theta


def weights_of(fit, rows):
    scale = dict(zip(fit.run_table.size, fit.observations.scale, strict=True))
    index = {size: i for i, size in enumerate(fit.run_table.sizes)}
    return np.array([scale[index[size]] ** -2 for size in rows["size"]])


def test_a_law_that_is_linear_is_that_of_weighted_least_squares(fit):
    rows = fit.run_table.rows
    theta = least_squares(rows, fit.run_table.sizes, weights_of(fit, rows))
    assert fit.theta == pytest.approx(theta, abs=1e-6)
    assert fit.fitted_bits == pytest.approx(design(rows, fit.run_table.sizes) @ theta, abs=1e-6)


def test_criterion_is_akaikes_for_small_samples():
    n_runs, k, loss = 30, 5, 12.0
    plain = n_runs * math.log(loss / n_runs) + 2 * k
    assert aicc(loss, n_runs, k) == pytest.approx(plain + 2 * k * (k + 1) / (n_runs - k - 1))
    assert aicc(loss, 7, 6) == aicc(loss, 6, 6) == math.inf
    assert math.isfinite(aicc(loss, 8, 6))
    assert aicc(0.0, 10, 2) == pytest.approx(10 * math.log(1e-12) + 4 * (1 + 3 / 7))


def test_the_criterion_of_a_fit_counts_its_parameters_and_the_scale(fit):
    assert fit.aicc == aicc(fit.loss, 36, 4 + 1)
    z = (fit.run_table.values - fit.fitted_bits) / (fit.observations.scale / fit.widening)
    assert fit.loss == pytest.approx((z**2).sum())


def test_a_run_scatters_by_what_is_left_over(fit):
    rest = fit.run_table.values - fit.fitted_bits
    assert fit.residual_sd == pytest.approx(math.sqrt((rest**2).sum() / (36 - 4)))


def test_lack_of_fit_is_the_classical_test(fit):
    rows = fit.run_table.rows.assign(law=fit.fitted_bits, scale=fit.observations.scale)
    cells = rows.groupby(["size", "b"])
    means = cells["expressivity"].transform("mean")
    misfit = (((means - rows["law"]) / rows["scale"]) ** 2).sum() / (12 - 4)
    pure = (((rows["expressivity"] - means) / rows["scale"]) ** 2).sum() / (36 - 12)
    assert fit.lack_of_fit == pytest.approx(stats.f.sf(misfit / pure, 8, 24))


def test_without_runs_to_spare_there_is_no_such_test(table):
    lone_runs = table[table["seed"] == 42]
    lone_fit = fit_scaling(lone_runs, forms=[LOG], resamples=100).best
    assert math.isnan(lone_fit.lack_of_fit)
    two_bs = table[table["b"].isin([1, 10]) & (table["size"] == "tiny")]
    assert math.isnan(fit_scaling(two_bs, forms=[LOG], resamples=100).best.lack_of_fit)
    three_bs = table[table["b"].isin([1, 5, 10]) & (table["size"] == "tiny")]
    assert 0 < fit_scaling(three_bs, forms=[LOG], resamples=100).best.lack_of_fit < 1


def test_seeds_correlate_by_the_mean_over_pairs(fit):
    z = (fit.run_table.values - fit.fitted_bits) / fit.observations.scale
    rows = fit.run_table.rows.assign(z=z)
    products = [
        first * second
        for _, group in rows.groupby(["size", "seed"])
        for first, second in combinations(group["z"], 2)
    ]
    correlation, chance = fit.seed_correlation
    assert correlation == pytest.approx(np.mean(products) / np.mean(z**2))
    assert 1 / 500 <= chance <= 1


def test_runs_off_the_law_by_more_than_seeds_explain_widen_the_scale(table):
    bent = table.assign(expressivity=table["expressivity"] + 0.6 * (table["b"] == 5))
    fit = fit_scaling(bent, forms=[LOG], loss="squared", resamples=100).best
    z = np.abs(fit.run_table.values - fit.fitted_bits) / (fit.observations.scale / fit.widening)
    # its scale was set at the fit before the last, from which the last differs little
    assert fit.widening == pytest.approx(np.median(z) / 0.6745 * math.sqrt(36 / 32), rel=0.05)
    assert fit.widening > 2
    on_the_law = 1.0 + np.log2(table["b"]) + 0.01 * (table["seed"] == 42)
    straight = fit_scaling(table.assign(expressivity=on_the_law), forms=[LOG], resamples=100)
    assert straight.best.widening == 1


def test_an_intervals_width_is_that_of_standard_errors_under_unequal_scatter(fit):
    """HC2's standard errors, which hold whatever the runs scatter by, and Student's t."""
    rows, weights = fit.run_table.rows, fit.observations.scale**-2
    columns = design(rows, fit.run_table.sizes).astype(float)
    inverse = np.linalg.inv(columns.T @ (weights[:, None] * columns))
    leverage = weights * np.einsum("np,pq,nq->n", columns, inverse, columns)
    rest = fit.run_table.values - fit.fitted_bits
    meat = columns.T @ ((weights * rest) ** 2 / (1 - leverage) * columns.T).T
    errors = np.sqrt(np.diagonal(inverse @ meat @ inverse))
    assert fit.uncertainty.draws.std(axis=0) == pytest.approx(errors, rel=0.05)
    degrees = fit.uncertainty.degrees_of_freedom(np.eye(4))
    assert ((degrees > 5) & (degrees < 32)).all()
    lower, value, upper = fit.parameters(0.9)[["lower", "value", "upper"]].to_numpy().T
    half_widths = stats.t.ppf(0.95, degrees) * fit.uncertainty.draws.std(axis=0)
    assert value == pytest.approx(fit.theta)
    assert upper - value == pytest.approx(half_widths)
    assert value - lower == pytest.approx(half_widths)


def mean_of(n_values, clusters, n_resamples=3000):
    """Resamples of a plain mean."""

    def model(theta):
        return theta, np.ones((len(theta), 1, 1))

    values = np.random.default_rng(2).normal(size=n_values)
    observations = Observations(
        values[None], np.ones((1, n_values)), np.ones(n_values), np.zeros(n_values, dtype=np.intp)
    )
    bound = np.array([9.0])
    uncertainty = resample(
        model, observations, np.array([values.mean()]), bounds=(-bound, bound), loss="squared",
        clusters=clusters, n_resamples=n_resamples, seed=1,
    )  # fmt: skip
    return values, uncertainty


@pytest.mark.parametrize("n_values", [4, 12, 30])
def test_a_mean_has_one_degree_of_freedom_less_than_values_and_its_standard_error(n_values):
    values, uncertainty = mean_of(n_values, np.arange(n_values))
    assert uncertainty.degrees_of_freedom(np.ones((1, 1))) == pytest.approx([n_values - 1])
    expected = values.std(ddof=1) / math.sqrt(n_values)
    assert uncertainty.draws.std() == pytest.approx(expected, rel=0.06)
    assert uncertainty.draws.mean() == pytest.approx(values.mean(), abs=0.06)


def test_a_mean_of_clusters_has_one_degree_of_freedom_less_than_clusters():
    values, uncertainty = mean_of(24, np.repeat(np.arange(6), 4))
    assert uncertainty.degrees_of_freedom(np.ones((1, 1))) == pytest.approx([5])
    means = values.reshape(6, 4).mean(axis=1)
    assert uncertainty.draws.std() == pytest.approx(means.std(ddof=1) / math.sqrt(6), rel=0.06)


def test_what_does_not_vary_has_no_error():
    _, uncertainty = mean_of(12, np.arange(12))
    assert uncertainty.degrees_of_freedom(np.zeros((1, 1))) == [np.inf]
    lower, upper = uncertainty.interval(
        np.array([2.0]), np.full((3000, 1), 2.0), np.zeros((1, 1)), 0.95
    )
    assert (lower, upper) == ([2.0], [2.0])


def test_intervals_of_a_law_follow_its_slopes(fit):
    questions = {"size": ["tiny", "medium"], "b": [4, 32]}
    values, slopes = fit.evaluate(questions, fit.theta[None])
    assert values[0] == pytest.approx(fit.theta[[0, 2]] + fit.theta[3] * np.array([2, 5]))
    assert slopes[0].tolist() == [[1, 0, 0, 2], [0, 0, 1, 5]]
    draws = fit.uncertainty.draws
    spread = (draws[:, [0, 2]] + draws[:, 3:] * np.array([2, 5])).std(axis=0)
    quantile = stats.t.ppf(0.975, fit.uncertainty.degrees_of_freedom(slopes[0]))
    lower, upper = fit.interval(questions)
    assert upper - values[0] == pytest.approx(quantile * spread)
    assert values[0] - lower == pytest.approx(quantile * spread)


def test_an_e_m_that_is_given_is_exact(fit):
    values, slopes = fit.evaluate({"E_M": [2.5], "b": [8]}, fit.theta[None])
    assert values.item() == pytest.approx(2.5 + 3 * fit.theta[3])
    assert slopes[0].tolist() == [[0, 0, 0, 3]]


@pytest.mark.parametrize(
    ("questions", "words"),
    [
        ({"size": ["tiny"]}, "the table must have a column b, got"),
        ({"size": ["tiny"], "b": [0]}, "b must be at least 1, got"),
        ({"size": ["tiny"], "b": ["x"]}, "b must be at least 1, got"),
        ({"size": ["huge", "tiny"], "b": [1, 2]}, r"size must be one of .* got huge$"),
        ({"b": [1]}, "the table must have a column size or E_M, got"),
    ],
)
def test_a_question_that_breaks_a_rule_is_refused(fit, questions, words):
    with pytest.raises(ValueError, match=words):
        fit.predict(questions)


def test_ceilings_have_the_intervals_of_what_the_law_tends_to():
    table = planted_study.table_of_runs(LAW, noise=0.05)
    fit = fit_scaling(table, forms=[LAW], resamples=200).best
    lower, value, upper = fit.ceilings()
    far_lower, far_upper = fit.interval({"size": list(fit.sized_form.sizes), "b": [1e12] * 3})
    assert lower == pytest.approx(far_lower, rel=1e-3)
    assert upper == pytest.approx(far_upper, rel=1e-3)
    gain, slope, _ = fit.sized_form.natural(fit.theta)[3:]
    e_m = fit.theta[:3]
    assert value == pytest.approx(e_m + gain * np.exp(slope * (e_m - 2)))


def test_intervals_do_not_pass_what_was_searched():
    table = planted_study.table_of_runs("power", noise=0.0)
    table["expressivity"] += 0.5 * np.random.default_rng(0).normal(size=len(table))
    fit = fit_scaling(table, forms=["stretched_exponential/of_E_M"], resamples=100).best
    parameters = fit.parameters()
    natural_lower = fit.sized_form.natural(fit.sized_form.lower)
    natural_upper = fit.sized_form.natural(fit.sized_form.upper)
    assert (parameters["lower"] >= natural_lower * (1 - 1e-9) - 1e-9).all()
    assert (parameters["upper"] <= natural_upper * (1 + 1e-9) + 1e-9).all()


def test_resamples_follow_their_seed(fit):
    again = replace(fit, options={**fit.options, "resamples": 50})
    other_fit = replace(fit, options={**fit.options, "resamples": 50, "seed": 1})
    assert again.uncertainty.draws.shape == (50, 4)
    assert not np.array_equal(again.uncertainty.draws, other_fit.uncertainty.draws)
    same = replace(fit, options={**fit.options, "resamples": 50})
    assert np.array_equal(again.uncertainty.draws, same.uncertainty.draws)


def test_a_table_is_read_whatever_holds_its_columns(fit):
    questions = {"size": ["tiny"], "b": ["8"]}
    assert fit.predict(questions) == fit.predict(pd.DataFrame(questions))


def test_there_is_one_degree_of_freedom_at_least():
    _, uncertainty = mean_of(2, np.arange(2), n_resamples=100)
    assert uncertainty.degrees_of_freedom(np.ones((1, 1))) == pytest.approx([1])
