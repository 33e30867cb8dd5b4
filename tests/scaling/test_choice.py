"""Which forms can be fitted, how they compare, and what is said of it."""

import math

import numpy as np
import pandas as pd
import planted_study
import pytest

from analysis.scaling.average import WITHIN
from analysis.scaling.choice import PLAUSIBLE_WITHIN, choose, why_not
from analysis.scaling.fit import fit_scaling
from analysis.scaling.form.forms import FORMS
from analysis.scaling.held_out import held_out_errors
from analysis.scaling.run_table import read_run_table
from analysis.scaling.verdict import WINNING_WEIGHT, verdict

LOG = "logarithmic/shared_gain"
RUN_TABLE = read_run_table(planted_study.table_of_runs())


def reason(name, sizes, bs, n_seeds):
    e_m = dict(list(planted_study.E_M.items())[:sizes])
    table = planted_study.table_of_runs(e_m=e_m, bs=bs, seeds=range(n_seeds))
    return why_not(FORMS[name], read_run_table(table))


@pytest.mark.parametrize(
    ("name", "sizes", "bs", "n_seeds", "words"),
    [
        (LOG, 3, (1, 5), 1, "needs 7 runs or more for its 4 parameters, got 6"),
        (LOG, 1, (1, 5), 2, "needs 5 runs or more for its 2 parameters, got 4"),
        (LOG, 1, (1, 5), 3, ""),
        (LOG, 1, (1, 5, 10, 15, 20), 1, ""),
        ("saturating_power/shared_gain", 1, (1, 5), 9,
         "needs runs at 3 values of b or more, got 2"),
        ("saturating_power/shared_gain", 1, (1, 5, 10), 2, ""),
        ("saturating_power/of_E_M", 1, (1, 5, 10), 9, "needs runs of 2 sizes or more, got 1"),
        ("saturating_power/of_E_M", 2, (1, 5, 10), 3, ""),
        ("logarithmic/per_size", 1, (1, 5, 10), 9,
         "needs runs of 2 sizes or more (with one it is the shared gain), got 1"),
        ("logarithmic/per_size", 2, (1, 5), 2, ""),  # 4 parameters, 4 cells, 8 runs
        ("stretched_exponential/of_E_M", 3, (1, 5, 10), 9,
         "needs runs at 4 values of b or more, got 3"),
        ("stretched_exponential/shared_gain", 1, (1, 2, 3, 4), 2, ""),
        ("saturating_power/all_per_size", 3, (1, 5, 10), 3, ""),
        ("rise_and_fall/shared_gain", 3, (1, 5, 10), 3,
         "needs runs whose E falls with b by more than seeds scatter by (or to be named)"),
    ],
)  # fmt: skip
def test_a_form_is_fitted_where_the_runs_can_carry_it(name, sizes, bs, n_seeds, words):
    assert reason(name, sizes, bs, n_seeds) == words


def test_fewer_cells_than_parameters_are_not_enough():
    table = planted_study.table_of_runs(bs=(1, 5, 10), seeds=range(6))
    sparse = table[(table["size"] == "tiny") | (table["b"] == 1)]
    words = why_not(FORMS["logarithmic/per_size"], read_run_table(sparse))
    assert words == "needs 6 (size, b) cells or more for its 6 parameters, got 5"


@pytest.fixture(scope="module")
def linear_fit():
    table = planted_study.table_of_runs(LOG, noise=0.08, bs=(1, 2, 5, 10))
    return fit_scaling(table, forms=[LOG], loss="squared", resamples=100)


def left_out_prediction(fit, rest, size, b):
    """The law fitted by weighted least squares to what is left."""
    scale = dict(zip(fit.run_table.rows["size"], fit.observations.scale, strict=True))
    columns = np.column_stack(
        [*((rest["size"] == name) for name in fit.run_table.sizes), np.log2(rest["b"])]
    ).astype(float)
    roots = np.array([1 / scale[name] for name in rest["size"]])
    theta, *_ = np.linalg.lstsq(columns * roots[:, None], rest["expressivity"] * roots)
    return theta[fit.run_table.sizes.index(size)] + theta[-1] * math.log2(b)


def test_a_cell_left_out_is_predicted_from_the_others(linear_fit):
    fit, rows = linear_fit.best, linear_fit.run_table.rows
    table = held_out_errors(fit)
    means = rows.groupby(["size", "b"])["expressivity"].mean()
    assert len(table) == 3 * 3 + 3 * 3
    for row in table.itertuples():
        is_left_out = rows["b"] == row.b
        if row.left_out == "size":
            is_left_out = (rows["size"] == row.size) & (rows["b"] > 1)
        expected = left_out_prediction(fit, rows[~is_left_out], row.size, row.b)
        assert row.predicted == pytest.approx(expected, abs=1e-6)
        assert row.measured == pytest.approx(means[row.size, row.b])
        assert row.error == pytest.approx(row.predicted - row.measured)
    assert set(table.loc[table["left_out"] == "size", "b"]) == {2, 5, 10}


def test_what_a_form_cannot_say_of_what_is_left_out_is_missing():
    table = planted_study.table_of_runs(noise=0.05)
    names = ["logarithmic/per_size", "stretched_exponential/shared_gain", "logarithmic/of_E_M"]
    fits = fit_scaling(table, forms=names, resamples=100).fits
    missing = {
        name: held_out_errors(fit).groupby("left_out")["predicted"].apply(lambda p: p.isna().all())
        for name, fit in fits.items()
    }
    assert missing["logarithmic/per_size"].to_dict() == {"b": False, "size": True}
    # 4 values of b, of which one is left out, do not tell a stretch
    assert missing["stretched_exponential/shared_gain"].to_dict() == {"b": True, "size": False}
    assert missing["logarithmic/of_E_M"].to_dict() == {"b": False, "size": False}
    two_sizes = table[table["size"] != "medium"]
    fit = fit_scaling(two_sizes, forms=["logarithmic/of_E_M"], resamples=100).best
    by_kind = held_out_errors(fit).groupby("left_out")["predicted"]
    assert by_kind.apply(lambda p: p.isna().all()).to_dict() == {"b": False, "size": True}


def test_the_comparison_holds_the_root_mean_squares(linear_fit):
    (row,) = linear_fit.comparison.to_dict("records")
    fit = linear_fit.best
    errors = held_out_errors(fit)
    for column, kind in (("leave_one_b_out", "b"), ("leave_one_size_out", "size")):
        part = errors.loc[errors["left_out"] == kind, "error"]
        assert row[column] == pytest.approx(math.sqrt((part**2).mean()))
    law = fit.predict({"size": fit.run_table.rows["size"], "b": fit.run_table.rows["b"]})
    cells = fit.run_table.rows.assign(law=law).groupby(["size", "b"])[["expressivity", "law"]]
    rest = cells.mean()["expressivity"] - cells.mean()["law"]
    assert row["rmse"] == pytest.approx(math.sqrt((rest**2).mean()))
    assert (row["form"], row["family"], row["general"]) == (LOG, "logarithmic", True)
    assert (row["parameters"], row["aicc"], row["delta"], row["weight"]) == (4, fit.aicc, 0, 1)
    assert (row["lack_of_fit"], row["status"]) == (fit.lack_of_fit, "OK")


def test_weights_are_akaikes():
    table = planted_study.table_of_runs(noise=0.08)
    comparison = fit_scaling(table, forms=["power", LOG, "logarithmic/of_E_M"]).comparison
    assert comparison["aicc"].is_monotonic_increasing
    raw = np.exp(-(comparison["aicc"] - comparison["aicc"].min()) / 2)
    raw[comparison["delta"] > WITHIN] = 0
    assert list(comparison["weight"]) == pytest.approx(list(raw / raw.sum()))
    above_the_least = comparison["aicc"] - comparison["aicc"].iloc[0]
    assert list(comparison["delta"]) == pytest.approx(list(above_the_least))


def comparison_of(*rows):
    columns = ["form", "family", "general", "delta", "weight", "status", "lack_of_fit"]
    return pd.DataFrame([(*row, 0.5) for row in rows], columns=columns)


OF_EACH = ("a/per_size", "a", False, 0.0, 0.5, "OK")


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        # that a form predicts other sizes is no reason to show it first
        ([OF_EACH, ("a/x", "a", True, 1.0, 0.3, "OK")], "a/per_size"),
        ([("a/y", "a", True, 0.0, 0.5, "AT_BOUND"),
          ("a/x", "a", True, PLAUSIBLE_WITHIN, 0.1, "OK")], "a/x"),
        ([("a/y", "a", True, 0.0, 0.5, "AT_BOUND"),
          ("a/x", "a", True, PLAUSIBLE_WITHIN + 0.1, 0.1, "OK")], "a/y"),
        ([("a/y", "a", True, 0.0, 0.5, "AT_BOUND"), ("a/x", "a", True, 1.0, 0.1, "OK")], "a/x"),
        ([("a/y", "a", True, 0.0, 0.5, "AT_BOUND"), ("a/per_size", "a", False, 1.0, 0.1, "OK")],
         "a/per_size"),
        ([("a/per_size", "a", False, 0.0, 0.5, "AT_BOUND"),
          ("a/y", "a", True, 9.0, 0.1, "AT_BOUND")], "a/per_size"),
        ([("a/per_size", "a", False, 0.0, 0.5, "AT_BOUND")], "a/per_size"),
        ([("a/x", "a", True, 0.0, 0.5, "OK"), ("b/x", "b", True, 1.0, 0.5, "OK")], "a/x"),
    ],
)  # fmt: skip
def test_the_form_that_leads(rows, best):
    assert choose(comparison_of(*rows)) == best


def test_a_form_far_ahead_is_named_and_one_that_ended_badly_is_not_called_the_form():
    fits = dict.fromkeys(["a/x", "b/x"])
    ahead = ("a/x", "a", True, 0.0, WINNING_WEIGHT, "OK")
    behind = ("b/x", "b", True, 9.0, 0.1, "OK")
    assert verdict(RUN_TABLE, fits, comparison_of(ahead, behind), "a/x") == (
        "Of the forms compared it is a/x: Akaike weight 0.90."
    )
    badly = (*ahead[:5], "AT_BOUND")
    assert verdict(RUN_TABLE, fits, comparison_of(badly, behind), "a/x") == (
        "a/x (0.90) is ahead of the others, but its fit ended AT_BOUND."
    )
    assert verdict(RUN_TABLE, {"a/x": None}, comparison_of(ahead), "a/x") == (
        "a/x is the only form that was compared."
    )


def test_where_only_gains_of_each_size_are_near_it_is_no_function_of_e_m():
    fits = dict.fromkeys(["a/per_size", "a/x"])
    each = ("a/per_size", "a", False, 0.0, 0.95, "OK")
    near, far = (("a/x", "a", True, delta, 0.05, "OK") for delta in (6.0, 6.1))
    words = "here b is not a function of E_M and b alone"
    assert words in verdict(RUN_TABLE, fits, comparison_of(each, far), "a/per_size")
    assert words not in verdict(RUN_TABLE, fits, comparison_of(each, near), "a/per_size")


def test_where_every_form_misses_the_means_it_is_said():
    fits = dict.fromkeys(["a/x", "b/x"])
    comparison = comparison_of(
        ("a/x", "a", True, 0.0, 0.95, "OK"), ("b/x", "b", True, 9, 0.05, "OK")
    )
    for chances, is_said in [((0.009, 0.001), True), ((0.011, 0.001), False)]:
        text = verdict(RUN_TABLE, fits, comparison.assign(lack_of_fit=chances), "a/x")
        assert ("No form here holds within what seeds scatter by" in text) is is_said


def test_the_measurement_that_would_tell_parts_two_forms_by_two_standard_errors():
    table = planted_study.table_of_runs(noise=0.08)
    names = ["saturating_power/of_E_M", "saturating_exponential/of_E_M"]
    fit = fit_scaling(table, forms=names)
    words = fit.verdict
    assert "This measurement would: " in words
    start = words.index("This measurement would: ") + len("This measurement would: ")
    size, _, _, _, _, b, _, count, *_ = words[start:].split()
    first, second = (fit.fits[name] for name in fit.comparison["form"])
    costs = {}
    for each_size in fit.run_table.sizes:
        for each_b in (2, 3, 4, 7, 20, 30, 40, 60):
            cell = {"size": [each_size], "b": [each_b]}
            gap = (first.predict(cell) - second.predict(cell)).item()
            draws = [f.evaluate(cell, f.uncertainty.draws)[0][:, 0] for f in (first, second)]
            room = gap**2 - 4 * (draws[0] - draws[1]).var()
            seeds = math.ceil(4 * first.residual_sd**2 / room) if room > 0 else math.inf
            costs[each_size, each_b] = (seeds * each_b if seeds <= 30 else math.inf, seeds)
    cheapest = min(costs, key=lambda cell: costs[cell][0])
    assert costs[size, int(b)][0] == costs[cheapest][0]
    assert int(count) == costs[size, int(b)][1]
    cell = {"size": [size], "b": [int(b)]}
    sentence = f"say {first.predict(cell).item():.2f} and {second.predict(cell).item():.2f} bits"
    assert sentence in words


def test_with_one_size_no_error_of_a_size_left_out_is_known():
    table = planted_study.table_of_runs(LOG, e_m={"tiny": 1.85}, noise=0.05)
    (row,) = fit_scaling(table, forms=[LOG], resamples=100).comparison.to_dict("records")
    assert row["leave_one_size_out"] is not None
    assert math.isnan(row["leave_one_size_out"])
    assert math.isfinite(row["leave_one_b_out"])


@pytest.mark.parametrize(
    ("bs", "farthest"), [((1, 2, 3, 7), 20), ((1, 2, 3, 10), 40), ((1, 2, 3, 5), 20)]
)
def test_a_further_cell_is_looked_for_to_four_times_the_largest_b(bs, farthest):
    """Two forms that say the same where looping brings nothing: no cell would part them."""
    table = planted_study.table_of_runs(LOG, (0.0,), bs=bs, noise=0.05)
    table["expressivity"] -= 0.01 * table["b"]
    words = fit_scaling(table, forms=[LOG, "power"], resamples=100).verdict
    assert f"No single further cell up to b = {farthest} with 30 seeds would part" in words
