"""The average over forms: what it predicts, how it is widened, and what it covers by default."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import planted_study
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.scaling.average import WITHIN, UntestedError, weights_within
from analysis.scaling.fit import fit_scaling
from analysis.scaling.form.fitted_form import FitStatus
from analysis.scaling.form.forms import FORMS
from analysis.scaling.solving.mixture import Mixture, StudentT

SIZES = list(planted_study.E_M)
FINITE = st.floats(-5, 5)


@pytest.fixture(scope="module")
def fit():
    return fit_scaling(planted_study.table_of_runs(noise=0.08), resamples=200)


@st.composite
def mixtures(draw):
    n_forms = draw(st.integers(1, 4))
    parts = [
        StudentT(
            np.array([draw(FINITE)]),
            np.array([draw(st.floats(0.01, 2))]),
            np.array([draw(st.floats(1, 30))]),
        )
        for _ in range(n_forms)
    ]
    weights = np.array([draw(st.floats(0.01, 1)) for _ in range(n_forms)])
    return Mixture(parts, weights / weights.sum())


@given(mixture=mixtures(), level=st.floats(0.5, 0.99))
def test_the_ends_leave_equal_weight_outside(mixture, level):
    lower, upper = mixture.interval(level)
    assert lower <= mixture.mean <= upper
    for end, share in ((lower, (1 - level) / 2), (upper, (1 + level) / 2)):
        below = sum(
            weight * stats.t.cdf((end - part.centre) / part.spread, part.degrees)
            for weight, part in zip(mixture.weights, mixture.parts, strict=True)
        )
        assert below == pytest.approx(share, abs=1e-6) or end == mixture.mean


@given(mixture=mixtures())
def test_of_one_form_it_is_that_forms_interval(mixture):
    part = mixture.parts[0]
    alone = Mixture([part], np.ones(1))
    assert np.allclose(alone.interval(0.9), part.interval(0.9))


@given(error=st.floats(0, 3), degrees=st.floats(1, 20))
def test_a_further_error_never_narrows(error, degrees):
    part = StudentT(np.array([1.0]), np.array([0.3]), np.array([9.0]))
    wider = part.widened(np.array([error]), degrees)
    assert wider.spread == pytest.approx(math.hypot(0.3, error))
    assert min(9.0, degrees) - 1e-9 <= wider.degrees <= 9.0 + degrees + 1e-9
    assert part.widened(np.array([0.0]), degrees).degrees == pytest.approx(9.0)


@pytest.mark.parametrize("asked_for", [None, "logarithmic/shared_gain"])
def test_what_adds_an_error_never_narrows_however_few_the_seeds(asked_for):
    """With two seeds a mean has about one degree of freedom; a further error brings more."""
    table = planted_study.table_of_runs(
        "logarithmic/shared_gain", e_m={"tiny": 1.85, "small": 2.9}, bs=(1, 2, 4), seeds=(1, 2),
        noise=0.02,
    )  # fmt: skip
    common = table["seed"].map({1: 0.1, 2: -0.1})
    noisy = table.assign(expressivity=table["expressivity"] + common, standard_error=0.05)
    fit = fit_scaling(noisy, form=asked_for, resamples=100)
    for model in ({"size": ["tiny"] * 3}, {"E_M": [2.5] * 3}):
        cells = {**model, "b": [1, 3, 16]}
        lower, upper = fit.interval(cells)
        further = [{"kind": "new_run"}, {"new_prompts": True}]
        wider = [fit.interval(cells, **each) for each in further]
        if "E_M" in model:
            wider.append(fit.interval({**cells, "E_M_se": [0.01] * 3}))
        for wider_lower, wider_upper in wider:
            assert (wider_lower <= lower + 1e-9).all()
            assert (wider_upper >= upper - 1e-9).all()


def test_a_difference_beyond_what_was_trained_is_not_narrower_for_the_error_it_adds(fit):
    doubtful = replace(fit)
    cells = pd.DataFrame({"size": ["tiny"] * 3, "b": [1, 10, 60]})
    value, lower, upper = doubtful.difference(cells, cells.assign(b=1))
    vars(doubtful)["untested"] = replace(fit.untested, beyond=0.3, degrees=1e6)
    same_value, wider_lower, wider_upper = doubtful.difference(cells, cells.assign(b=1))
    assert same_value == pytest.approx(value)
    assert (wider_lower <= lower + 1e-9).all()
    assert (wider_upper >= upper - 1e-9).all()
    assert wider_upper[2] - wider_lower[2] > upper[2] - lower[2] + 0.1
    assert value[0] == pytest.approx(0)


def test_weights_are_akaikes_within_ten_of_the_least():
    weights = weights_within({"a": 0.0, "b": 2.0, "c": WITHIN + 0.1, "d": math.inf})
    assert set(weights) == {"a", "b"}
    assert weights["a"] / weights["b"] == pytest.approx(math.e)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights_within({"d": math.inf}) == {}


def test_the_default_call_predicts_by_the_average_and_a_form_asked_for_alone(fit):
    table = {"size": ["tiny", "medium"], "b": [3, 7]}
    assert fit.averages
    assert len(fit.weights) > 3
    by_hand = sum(weight * fit.fits[name].predict(table) for name, weight in fit.weights.items())
    assert fit.predict(table) == pytest.approx(by_hand)
    name = "saturating_power/of_E_M"
    alone = fit_scaling(planted_study.table_of_runs(noise=0.08), form=name, resamples=200)
    assert not alone.averages
    assert alone.weights == {name: 1.0}
    assert np.array_equal(alone.interval(table), alone.fits[name].interval(table))
    assert alone.predict({"size": ["tiny"], "b": [30]}) == alone.best.predict(
        {"size": ["tiny"], "b": [30]}
    )


def test_an_e_m_is_answered_by_general_forms_alone(fit):
    mixture = fit.mixture({"E_M": [2.5], "b": [5]})
    general_fits = {name: fit.fits[name] for name in fit.fits if FORMS[name].is_general}
    weights = weights_within({name: each.aicc for name, each in general_fits.items()})
    assert mixture.weights == pytest.approx(list(weights.values()))
    in_average = [weight for name, weight in fit.weights.items() if FORMS[name].is_general]
    assert fit.general_weight == pytest.approx(sum(in_average))


def test_that_general_forms_are_ruled_out_is_said_beside_what_they_predict():
    exponents = {"tiny": 2.5, "small": 0.6, "medium": 0.15}
    table = planted_study.table_of_runs("saturating_power/shared_gain", (0.0, 1.0), noise=0.02)
    gains = 2 * (1 - table["b"] ** -table["size"].map(exponents))
    fit = fit_scaling(table.assign(expressivity=table["expressivity"] + gains), resamples=100)
    assert fit.best_form.endswith("/all_per_size")
    assert fit.general_weight < 0.01
    (row,) = fit.tabulate(pd.DataFrame({"E_M": [2.5], "b": [5]})).to_dict("records")
    assert row["caveat"].startswith("the runs speak against every form that predicts other sizes")
    (row,) = fit.tabulate(pd.DataFrame({"size": ["tiny"], "b": [5]})).to_dict("records")
    assert row["caveat"] == ""


@given(st.lists(st.floats(1, 64), min_size=1, max_size=5))
def test_the_further_error_is_none_where_somebody_trained_and_grows_away_from_it(bs):
    error = UntestedError(bs=(1, 4, 8), between=0.1, beyond=0.2, degrees=3)
    further = error.at(np.array(bs))
    assert (further >= 0).all()
    assert (error.at(np.array([1.0, 4.0, 8.0])) == 0).all()
    # between two b like a remainder: most in the middle, in doublings
    assert error.at(np.array([2.0]))[0] == pytest.approx(0.1)
    assert error.at(np.array([2.0]))[0] >= error.at(np.array([3.0]))[0]
    assert error.at(np.array([32.0]))[0] == pytest.approx(0.4)


def test_a_law_that_no_form_is_widens_where_it_was_missed():
    """E rises by a bit with every doubling to b = 8 and falls from there, at once."""
    table = planted_study.table_of_runs("logarithmic/shared_gain", (0.0,), noise=0.08)
    doublings = np.log2(table["b"])
    tent = np.minimum(doublings, 3) - 0.6 * np.maximum(doublings - 3, 0)
    fit = fit_scaling(table.assign(expressivity=table["expressivity"] + tent), resamples=100)
    assert fit.untested.between > 0.1
    assert fit.untested.beyond > 0.1
    cells, truth = {"size": ["small"], "b": [3]}, 2.9 + np.log2(3)
    lower, upper = fit.interval(cells)
    assert lower < truth < upper
    best_lower, _ = fit.best.interval(cells)
    assert truth < best_lower  # the form that leads knows nothing of it


def test_beyond_is_said_in_every_number(fit):
    table = pd.DataFrame({"size": ["tiny"] * 3, "b": [3, 15, 16]})
    caveats = list(fit.tabulate(table)["caveat"])
    assert caveats == ["", "", "beyond what was trained (b up to 15)"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (planted_study.table_of_runs(bs=(1, 5), noise=0.08), "three values of b or more"),
        (planted_study.table_of_runs(seeds=(1,), noise=0.08), "cells with two seeds or more"),
    ],
)
def test_runs_that_test_no_shape_get_no_verdict_on_it(table, words):
    fit = fit_scaling(table, resamples=100)
    assert fit.verdict.startswith("No verdict on the shape: it takes ")
    assert words in fit.verdict
    assert fit.status is FitStatus.SHAPE_UNKNOWN
    trained, between, beyond = fit.tabulate(pd.DataFrame({"size": ["tiny"] * 3, "b": [5, 3, 30]}))[
        "caveat"
    ]
    assert trained == ""
    assert words in between
    assert words in beyond
    assert "beyond what was trained" in beyond


def test_a_larger_form_never_has_the_larger_loss():
    """Losses on one scale, and a search that begins where the special case ended."""
    nested = [
        ("shared_gain", "of_E_M"), ("shared_gain", "per_size"), ("of_E_M", "per_size"),
        ("per_size", "all_per_size"), ("shared_ceiling", "per_size"),
    ]  # fmt: skip
    for rng in range(2):
        noise = 0.3 * np.random.default_rng(rng).standard_t(2, 36)  # outliers bend Huber's loss
        table = planted_study.table_of_runs(noise=0.0)
        table["expressivity"] += noise
        fits = fit_scaling(table, resamples=100).fits
        pairs = [
            (f"{shape}/{small}", f"{shape}/{large}")
            for shape in ("saturating_power", "saturating_exponential", "stretched_exponential")
            for small, large in nested
        ]
        pairs += [
            (f"saturating_exponential/{variant}", f"stretched_exponential/{variant}")
            for variant in ("shared_gain", "of_E_M", "per_size", "shared_ceiling")
        ]
        for small, large in pairs:
            if small in fits and large in fits:
                assert fits[large].common_loss <= fits[small].common_loss * (1 + 1e-6), (rng, large)


def test_seeds_that_err_alike_count_as_fewer_runs():
    table = planted_study.table_of_runs(noise=0.0)
    alike = np.random.default_rng(1).normal(size=(3, 3))  # the same at every b
    rows = table.assign(
        expressivity=table["expressivity"]
        + 0.1 * alike[table["size"].map(SIZES.index), table.groupby("size").cumcount() % 3]
    )
    run_table = fit_scaling(rows, forms=["power"], resamples=100).run_table
    assert run_table.independent_units("run") == 36
    assert run_table.independent_units("seed") == pytest.approx(9)
    apart = planted_study.table_of_runs(noise=0.1)
    units = fit_scaling(apart, forms=["power"], resamples=100).run_table.independent_units("seed")
    assert 20 < units <= 36


@pytest.mark.slow
@pytest.mark.parametrize("b", [3, 7])
def test_the_default_call_covers_between_the_trained_b(b):
    name = "saturating_power/of_E_M"
    truth = FORMS[name](planted_study.E_M["small"], b, *planted_study.TRUTH[name])
    is_held = []
    for rng in range(60):
        fit = fit_scaling(planted_study.table_of_runs(noise=0.08, rng=rng), resamples=200)
        lower, upper = fit.interval({"size": ["small"], "b": [b]})
        is_held.append(lower[0] <= truth <= upper[0])
    assert np.mean(is_held) >= 0.9
