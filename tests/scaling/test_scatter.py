"""Intervals for the mean and for one training, prompts' error, and an E_M that is measured."""

import numpy as np
import planted_study
import pytest
from planted_study import E_M, TRUTH
from scipy import stats

from analysis.scaling.fit import fit_scaling
from analysis.scaling.form.forms import FORMS
from analysis.scaling.run_table import read_run_table
from analysis.scaling.solving import scatter

LOG = "logarithmic/shared_gain"
CELLS = {"size": ["tiny", "small", "medium"], "b": [4, 8, 30]}


def fit_of(table, **options):
    return fit_scaling(table, forms=[LOG], **{"resamples": 200, **options})


@pytest.fixture(scope="module")
def fit():
    return fit_of(planted_study.table_of_runs(LOG, noise=0.08), clusters="run").best


def half_width(fit, *args, **kinds):
    lower, upper = fit.interval(*args, **kinds)
    assert (lower + upper) / 2 == pytest.approx(fit.predict(*args))
    return (upper - lower) / 2


def test_an_interval_is_students_t_times_the_standard_error(fit):
    for kind in scatter.KINDS:
        error, degrees = fit.standard_error(CELLS, kind)
        expected = stats.t.ppf(0.95, degrees) * error
        assert half_width(fit, CELLS, level=0.9, kind=kind) == pytest.approx(expected)


def test_a_new_run_has_the_scatter_of_runs_beside_the_means_error(fit):
    mean_error, mean_degrees = fit.standard_error(CELLS)
    run_error, run_degrees = fit.standard_error(CELLS, "new_run")
    of_runs = run_error**2 - mean_error**2
    # drawn towards that of all: within a factor of the planted 0.08
    assert (np.abs(np.log(np.sqrt(of_runs) / 0.08)) < 0.5).all()
    combined_sd, combined = scatter.combine(
        np.array([mean_error**2, of_runs]), np.array([mean_degrees, np.full(3, 14.0)])
    )
    assert combined_sd == pytest.approx(run_error)
    assert ((run_degrees > mean_degrees.min()) & (run_degrees < 32)).all()
    assert np.isfinite(combined).all()


def test_a_loud_sizes_runs_vary_more_and_one_never_trained_as_all_do():
    e_m, seeds = {"tiny": E_M["tiny"], "small": E_M["small"]}, range(8)
    table = planted_study.table_of_runs(LOG, e_m=e_m, noise=0, seeds=seeds)
    noise = table["size"].map({"small": 0.02, "tiny": 0.3})
    table["expressivity"] += noise * np.random.default_rng(1).normal(size=len(table))
    fit = fit_of(table).best
    bs = [4, 4]
    of_sizes, _ = fit.standard_error({"size": ["small", "tiny"], "b": bs}, "new_run")
    of_another, _ = fit.standard_error({"E_M": [2.5, 2.5], "b": bs}, "new_run")
    assert of_sizes[0] < of_another[0] < of_sizes[1]
    assert of_sizes[1] == pytest.approx(0.3, rel=0.3)


def test_runs_that_err_alike_leave_fewer_degrees_of_freedom():
    run_table = read_run_table(planted_study.table_of_runs(LOG))
    residuals = np.random.default_rng(0).normal(size=36)
    alone, alike = (
        scatter.run_variances(run_table, residuals, 4, likeness) for likeness in (0.0, 1.0)
    )
    assert alone[1][-1] == 32
    assert alike[1][-1] == 8  # a fourth: four b of a seed are one
    assert alike[0][-1] == alone[0][-1] == pytest.approx((residuals**2).mean())
    assert (alike[1] <= alone[1]).all()


def test_held_out_prompts_add_their_error_between_and_beyond_the_trained_b():
    table = planted_study.table_of_runs(LOG, noise=0.08).assign(
        standard_error=lambda rows: rows["b"].map({1: 0.02, 5: 0.04, 10: 0.06, 15: 0.08})
    )
    fit = fit_of(table).best
    middle = np.sqrt(50)  # half-way from 5 to 10 in log b
    cells = {"size": ["tiny"] * 4, "b": [1, middle, 15, 60]}
    assert fit.prompt_errors(cells) == pytest.approx([0.02, 0.05, 0.08, 0.08])
    assert fit.prompt_errors({"E_M": [2.5], "b": [5]}) == pytest.approx([0.04])
    narrower, _ = fit.standard_error(cells)
    wider, _ = fit.standard_error(cells, new_prompts=True)
    assert wider**2 - narrower**2 == pytest.approx(np.array([0.02, 0.05, 0.08, 0.08]) ** 2)
    assert "standard error 0.02 to 0.08 bits, in no interval here" in fit_of(table).report()


def test_an_e_m_that_is_measured_adds_its_error_along_the_laws_slope():
    name = "saturating_power/shared_ceiling"
    fit = fit_scaling(planted_study.table_of_runs(name), forms=[name], resamples=100).best
    cells = {"E_M": [2.5, 2.5], "b": [1, 8]}
    exact_error, _ = fit.standard_error(cells)
    error, degrees = fit.standard_error({**cells, "E_M_se": [0.1, 0.1]})
    high, low = (fit.predict({**cells, "E_M": [2.5 + sign, 2.5 + sign]}) for sign in (1e-5, -1e-5))
    slope = (high - low) / 2e-5
    assert slope[0] == pytest.approx(1)
    assert slope[1] < 0.8  # the ceiling is nearer
    assert error**2 - exact_error**2 == pytest.approx((0.1 * slope) ** 2)
    assert degrees[0] == np.inf  # at b = 1 nothing but what was told errs
    same_error, _ = fit.standard_error({**cells, "E_M_se": [0.0, 0.0]})
    assert same_error == pytest.approx(exact_error)


@pytest.mark.parametrize(
    ("question", "options", "words"),
    [
        ({"size": ["tiny"], "b": [4]}, {"kind": "run"}, "kind must be one of mean, new_run, got"),
        ({"E_M": [2.0], "E_M_se": [-1], "b": [4]}, {}, "E_M_se must be 0 or more, got"),
        ({"E_M": [2.0], "E_M_se": ["x"], "b": [4]}, {}, "E_M_se must be 0 or more, got"),
    ],
)
def test_what_breaks_a_rule_is_refused(fit, question, options, words):
    with pytest.raises(ValueError, match=words):
        fit.interval(question, **options)


def test_intervals_hold_new_runs_and_means_at_their_level():
    """60 small studies: means, and a fresh study's runs, near the level that is said."""
    cells = planted_study.table_of_runs(LOG, noise=0)[["size", "b"]]
    truth = FORMS[LOG](cells["size"].map(E_M), cells["b"], *planted_study.TRUTH[LOG])
    of_mean, of_runs = [], []
    for rng in range(60):
        studies = [planted_study.table_of_runs(LOG, noise=0.08, rng=[rng, i]) for i in range(2)]
        fit = fit_of(studies[0], resamples=100).best
        for shares, kind, values in (
            (of_mean, "mean", truth),
            (of_runs, "new_run", studies[1]["expressivity"]),
        ):
            lower, upper = fit.interval(cells, kind=kind)
            shares.append(((lower <= values) & (values <= upper)).mean())
    assert 0.9 < np.mean(of_mean) < 0.99
    assert 0.92 < np.mean(of_runs) < 0.98


def intervals_hold(noise, n_studies=120, clusters="run"):
    """Share of planted predictions that a 95 % interval holds, over many studies."""
    form, questions = (
        "saturating_power/of_E_M",
        {"size": ["tiny", "small", "small"], "b": [5, 10, 30]},
    )
    true = FORMS[form]([E_M["tiny"], E_M["small"], E_M["small"]], questions["b"], *TRUTH[form])
    is_held = []
    for rng in range(n_studies):
        table = planted_study.table_of_runs(form, noise=0)
        table["expressivity"] += noise(np.random.default_rng([7, rng]), table)
        fit = fit_scaling(table, [form], resamples=200, clusters=clusters).fits[form]
        lower, upper = fit.interval(questions)
        is_held.append((lower <= true) & (true <= upper))
    return np.mean(is_held)


def gaussian(generator, table):
    return 0.08 * generator.normal(size=len(table))


def wider_for_tiny(generator, table):
    return table["size"].map({"tiny": 2.0, "small": 1.0, "medium": 0.5}) * gaussian(
        generator, table
    )


def common_to_a_seed(generator, table):
    keys = table["size"] + table["seed"].astype(str)
    common = {key: generator.normal() for key in sorted(set(keys))}
    return 0.08 * 0.8 * keys.map(common) + 0.6 * gaussian(generator, table)


def test_intervals_cover_where_sizes_scatter_differently():
    # a plain bootstrap holds about 0.86; the standard error of this share is about 0.03
    assert intervals_hold(wider_for_tiny, 30) > 0.89


@pytest.mark.slow
@pytest.mark.parametrize("noise", [gaussian, wider_for_tiny])
def test_intervals_cover_with_three_seeds(noise):
    assert 0.92 < intervals_hold(noise, 400) < 0.98


@pytest.mark.slow
def test_runs_of_one_seed_may_err_together():
    share_apart, share_together = (
        intervals_hold(common_to_a_seed, 200, kind) for kind in ("run", "seed")
    )
    assert share_together > 0.91
    assert share_together > share_apart


def test_seeds_that_err_alike_are_noticed():
    correlations = []
    for noise in (common_to_a_seed, gaussian):
        table = planted_study.table_of_runs("saturating_power/of_E_M", noise=0)
        table["expressivity"] += noise(np.random.default_rng(5), table)
        form = "saturating_power/of_E_M"
        fit = fit_scaling(table, [form], resamples=100).fits[form]
        correlations.append(fit.seed_correlation)
    (alike, chance), (apart, ordinary) = correlations
    assert alike > 0.25 > apart
    assert chance < 0.05 < ordinary
    table_without_pairs = table.assign(seed=range(len(table)))
    fit_without_pairs = fit_scaling(table_without_pairs, ["power"]).fits["power"]
    assert np.isnan(fit_without_pairs.seed_correlation[0])
