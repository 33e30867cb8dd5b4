"""Fits of planted laws: recovered, chosen, refused, and how sure they are."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import planted_study
import pytest
from planted_study import E_M, TRUTH

import analysis.scaling
from analysis.scaling.choice import PLAUSIBLE_WITHIN
from analysis.scaling.fit import FitStatus, RunTableError, fit_scaling
from analysis.scaling.form.forms import FORMS


def fit_of_form(form, table, **options):
    return fit_scaling(table, forms=[form], **options).fits[form]


def value(fit, name):
    return fit.parameters().set_index("name").loc[name, "value"]


@pytest.mark.parametrize("form", TRUTH)
def test_a_planted_law_is_recovered_exactly_without_noise(form):
    bs = (1, 2, 3, 5, 10, 15, 30)
    fit = fit_of_form(form, planted_study.table_of_runs(form, bs=bs, noise=0, seeds=(1, 2)))
    assert fit.status is FitStatus.OK
    for parameter, true in zip(FORMS[form].parameters, TRUTH[form], strict=True):
        assert value(fit, parameter.name) == pytest.approx(true, rel=1e-3)
    for size, true in E_M.items():
        assert value(fit, f"E_M[{size}]") == pytest.approx(true, abs=1e-3)


@pytest.mark.parametrize("form", TRUTH)
def test_a_planted_law_is_recovered_within_its_errors(form):
    table = planted_study.table_of_runs(form, bs=(1, 2, 5, 10, 20), noise=0.05, rng=3)
    parameters = fit_of_form(form, table).parameters(level=0.999).set_index("name")
    for parameter, true in zip(FORMS[form].parameters, TRUTH[form], strict=True):
        row = parameters.loc[parameter.name]
        assert row["lower"] <= true <= row["upper"], parameter.name


@pytest.mark.parametrize("shape", ["logarithmic", "saturating_power", "saturating_exponential"])
def test_gains_of_each_size_are_recovered(shape):
    gains, shape_parameters = (
        {"tiny": 2.0, "small": 0.5, "medium": 1.5},
        TRUTH[f"{shape}/shared_gain"][1:],
    )
    parts = [
        planted_study.table_of_runs(
            f"{shape}/shared_gain", (gain, *shape_parameters), {size: E_M[size]}, noise=0.001
        )
        for size, gain in gains.items()
    ]
    fit = fit_of_form(f"{shape}/per_size", pd.concat(parts))
    for size, gain in gains.items():
        assert value(fit, f"gain[{size}]") == pytest.approx(gain, rel=0.03)
    fit_of_all = fit_scaling(pd.concat(parts))  # these gains are no function of E_M
    assert fit_of_all.best_form.endswith("/per_size")
    assert "here b is not a function of E_M and b alone" in fit_of_all.verdict


@pytest.mark.parametrize("shape", ["logarithmic", "saturating_exponential", "saturating_power"])
def test_the_planted_shape_stands_and_others_are_ruled_out_where_the_runs_can_tell(shape):
    bs = (1, 2, 3, 5, 10, 15, 30)
    fit = fit_scaling(planted_study.table_of_runs(f"{shape}/of_E_M", bs=bs, noise=0.02))
    families_left = set(fit.comparison.loc[fit.comparison["delta"] <= PLAUSIBLE_WITHIN, "family"])
    # the stretched exponential holds the plain one; a power law of its own for each size is near
    # to logarithms over so few b
    assert shape in families_left <= {shape, "stretched_exponential", "power"}
    if shape != "saturating_exponential":
        assert fit.best_form.startswith(f"{shape}/")
        assert fit.comparison.set_index("form").loc[f"{shape}/of_E_M", "delta"] < PLAUSIBLE_WITHIN
    assert fit.fits[f"{shape}/of_E_M"].lack_of_fit > 0.001
    assert fit.fits["power"].lack_of_fit < 0.001


def test_four_bs_do_not_tell_saturating_forms_apart_and_it_says_what_would():
    fit = fit_scaling(planted_study.table_of_runs(noise=0.08))
    assert "forms cannot be told apart" in fit.verdict
    assert "This measurement would: " in fit.verdict
    assert fit.comparison["weight"].sum() == pytest.approx(1)


def test_order_labels_of_seeds_and_rows_said_twice_do_not_matter():
    table = planted_study.table_of_runs(noise=0.08)
    fit = fit_of_form("saturating_power/of_E_M", table)
    changed_table = table.sample(frac=1, random_state=1).assign(
        seed=lambda rows: rows["seed"] * 7 + 1
    )
    changed_table = pd.concat([changed_table, changed_table.iloc[:5]])
    refit = fit_of_form("saturating_power/of_E_M", changed_table)
    assert (refit.theta == fit.theta).all()
    assert (refit.uncertainty.draws == fit.uncertainty.draws).all()
    assert refit.run_table.n_duplicates == 5


def test_the_names_of_sizes_do_not_matter_nor_their_number_of_columns():
    table = planted_study.table_of_runs(noise=0.08)
    renamed_table = table.assign(size=table["size"].map({"tiny": "z", "small": "a", "medium": "m"}))
    first, second = (
        fit_of_form("power", some_table.to_dict("list")) for some_table in (table, renamed_table)
    )
    assert first.theta == pytest.approx(second.theta)


def test_one_failed_run_hardly_moves_the_law():
    table = planted_study.table_of_runs(noise=0.05)
    broken_table = table.copy()
    broken_table.loc[20, "expressivity"] -= 2.0
    questions = {"size": ["tiny", "small", "medium"], "b": [10, 10, 10]}
    name = "saturating_power/of_E_M"
    robust_shift = np.abs(
        fit_of_form(name, broken_table).predict(questions)
        - fit_of_form(name, table).predict(questions)
    )
    plain_shift = np.abs(
        fit_of_form(name, broken_table, loss="squared").predict(questions)
        - fit_of_form(name, table, loss="squared").predict(questions)
    )
    assert robust_shift.max() < 0.05
    assert robust_shift.max() < plain_shift.max() / 4


def test_a_law_that_is_not_among_the_forms_is_said_to_be_none():
    table = planted_study.table_of_runs("power", noise=0.01)
    table["expressivity"] -= 0.4 * (table["b"] == 10)
    fit = fit_scaling(table)
    assert "No form here holds" in fit.verdict
    assert fit.best.widening > 3
    assert np.isfinite(np.concatenate(fit.interval({"size": ["tiny"], "b": [7]}))).all()


def test_a_fit_at_its_bound_says_so():
    table = planted_study.table_of_runs("saturating_power/shared_gain", (0.0, 0.7), noise=0.0)
    table["expressivity"] -= 0.05 * np.log(table["b"])  # looping hurts: no form falls
    fit = fit_scaling(table, forms=["logarithmic/shared_gain"])
    assert fit.status is FitStatus.AT_BOUND
    assert fit.best.blamed_parameters == ("gain",)
    assert "AT_BOUND" in fit.report()


def test_what_the_runs_do_not_tell_is_said():
    """Saturated before the second b, the runs hold no rate."""
    table = planted_study.table_of_runs(
        "saturating_exponential/shared_gain", (1.8, 3.0), bs=(1, 20, 30, 40), noise=0.05
    )
    for name, parameter in (
        ("saturating_exponential", "rate"),
        ("stretched_exponential", "stretch"),
    ):
        fit = fit_of_form(f"{name}/shared_gain", table)
        assert fit.status in (FitStatus.NOT_IDENTIFIED, FitStatus.AT_BOUND)
        assert {parameter, "rate"} & set(fit.blamed_parameters)


def test_a_size_never_trained_is_predicted_by_its_e_m():
    table = planted_study.table_of_runs(noise=0.02)
    fit = fit_scaling(table, form="saturating_power/of_E_M")
    true = FORMS[fit.best_form](2.4, 8, *TRUTH[fit.best_form])
    lower, upper = fit.interval({"E_M": [2.4], "b": [8]}, level=0.999)
    assert lower[0] < true < upper[0]
    with pytest.raises(ValueError, match="predicts those sizes alone"):
        fit.fits["logarithmic/per_size"].predict({"E_M": [2.4], "b": [8]})


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ({"b": [1], "size": ["a"]}, "must have the columns size, b, seed, expressivity, got"),
        ({"bad": 3}, "b must be at least 1, got 0"),
        ({"task": 1}, "must share their task, got linear, relu_network"),
        ({"recipe": 1}, "must share their recipe, got 1, 2"),
        ({"expressivity": np.nan}, "expressivity must be finite numbers, got nan"),
        ({"twice": 1}, "each size, b and seed may have one expressivity, got several of tiny"),
        ({"without": 1}, "every size must have runs at b = 1.*got none of small"),
        ({"only": 1}, "the table must have b beyond 1, got b = 1 alone"),
        ({"few": 1}, "power needs 7 runs or more for its 4 parameters, got 6"),
    ],
)
def test_a_table_that_cannot_be_fitted_is_refused(fault, rule):
    table = planted_study.table_of_runs()
    if "bad" in fault:
        table.loc[3, "b"] = 0
    elif "task" in fault:
        table["task"] = np.where(table["seed"] == 42, "linear", "relu_network")
    elif "recipe" in fault:
        table["recipe"] = np.where(table["b"] == 1, 1, 2)
    elif "expressivity" in fault:
        table.loc[0, "expressivity"] = np.nan
    elif "twice" in fault:
        table = pd.concat([table, table.iloc[:1]]).reset_index(drop=True)
        table.loc[len(table) - 1, "expressivity"] += 1
    elif "without" in fault:
        table = table[(table["size"] != "small") | (table["b"] > 1)]
    elif "only" in fault:
        table = table[table["b"] == 1]
    elif "few" in fault:
        table = planted_study.table_of_runs(bs=(1, 5), seeds=(1,))
    else:
        table = fault
    with pytest.raises(RunTableError, match=rule):
        fit_scaling(table)


def test_forms_that_the_runs_cannot_carry_are_left_out_with_the_reason():
    fit = fit_scaling(planted_study.table_of_runs(bs=(1, 5, 10)))
    assert "needs runs at 4 values of b" in fit.skipped_forms["stretched_exponential/of_E_M"]
    fit_of_one_size = fit_scaling(planted_study.table_of_runs(e_m={"tiny": 1.85}))
    assert "needs runs of 2 sizes" in fit_of_one_size.skipped_forms["logarithmic/of_E_M"]


def test_the_text_holds_the_law_and_every_form():
    fit = fit_scaling(planted_study.table_of_runs(noise=0.08))
    text = fit.report()
    titles = (
        *("[[Law]]", "[[Prediction]]", "[[Fit]]", "[[Parameters, if this form holds]]"),
        *("[[Forms]]", "[[Verdict]]"),
    )
    for part in (*titles, fit.best_form):
        assert part in text
    for name in FORMS:
        assert name in text


def test_the_law_needs_neither_mlflow_nor_torch():
    code = (
        "import sys; from analysis.scaling import FORMS, fit_scaling; "
        "assert not {'mlflow', 'torch', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_error_is_caught_by_its_older_name():
    assert analysis.scaling.PointsError is RunTableError


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_long_fit_shows_how_far_it_is_on_a_terminal_alone(is_terminal, monkeypatch):
    stderr = io.StringIO()
    stderr.isatty = lambda: is_terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr("analysis.scaling.fit.SECONDS_TO_A_BAR", 0.0)
    fit_of_form("power", planted_study.table_of_runs())
    assert ("forms fitted" in stderr.getvalue()) is is_terminal
    monkeypatch.setattr("analysis.scaling.fit.SECONDS_TO_A_BAR", 60.0)
    stderr.truncate(0)
    fit_of_form("power", planted_study.table_of_runs())
    assert "forms fitted" not in stderr.getvalue()
