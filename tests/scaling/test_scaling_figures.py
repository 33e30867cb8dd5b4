"""Figures of a law show the numbers of its fit."""

import numpy as np
import planted_study
import pytest

from analysis.answers import costs
from analysis.answers import figures as answer_figures
from analysis.answers.loops import figures as loop_figures
from analysis.answers.loops import loop_curves
from analysis.scaling import figures
from analysis.scaling.fit import fit_scaling
from analysis.scaling.held_out import held_out_errors
from looped.config import TrainConfig
from looped.sizes import STUDY_SIZES

LAW = "saturating_power/of_E_M"


@pytest.fixture(scope="module")
def fit():
    return fit_scaling(
        planted_study.table_of_runs(noise=0.05), forms=[LAW, "power"], form=LAW, resamples=100
    )


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_every_run_stands_over_the_law(fit):
    axes = figures.law(fit, bayes=5.0).axes[0]
    drawn_lines = lines(axes)
    for size in planted_study.E_M:
        rows = fit.run_table.rows[fit.run_table.rows["size"] == size]
        assert sorted(drawn_lines[size].get_ydata()) == sorted(rows["expressivity"])
    assert list(drawn_lines["Bayes predictor"].get_ydata()) == [5.0, 5.0]
    law = [line for line in axes.get_lines() if len(line.get_xdata()) == 30]
    assert law[0].get_ydata() == pytest.approx(
        fit.predict({"size": ["tiny"] * 30, "b": law[0].get_xdata()})
    )


def test_a_fit_at_its_bound_is_marked():
    table = planted_study.table_of_runs("power", noise=0.01)
    table["expressivity"] = 2.0 - 0.1 * np.log(table["b"]) + 0.01 * table.index % 3
    fit = fit_scaling(table, forms=["power"], resamples=100)
    texts = [text.get_text() for text in figures.law(fit).axes[0].texts]
    assert "AT_BOUND: phi" in texts


def test_residuals_are_runs_less_law(fit):
    drawn_lines = lines(figures.residuals(fit).axes[0])
    shown_values = np.concatenate([drawn_lines[size].get_ydata() for size in planted_study.E_M])
    assert sorted(shown_values) == pytest.approx(
        sorted(fit.run_table.values - fit.best.fitted_bits)
    )


def test_held_out_predictions_are_against_what_was_measured(fit):
    table = held_out_errors(fit.best)
    for axes, kind in zip(figures.held_out(fit).axes, ("b", "size"), strict=True):
        rows = table[table["left_out"] == kind]
        shown_values = np.concatenate([lines(axes)[size].get_ydata() for size in planted_study.E_M])
        assert sorted(shown_values) == pytest.approx(sorted(rows["predicted"]))


def test_each_form_has_a_bar(fit):
    left_panel = figures.forms(fit).axes[0]
    widths = [bar.get_width() for bar in left_panel.patches]
    assert widths == pytest.approx(list(fit.comparison["delta"].iloc[::-1]))
    assert [text.get_text() for text in left_panel.get_yticklabels()] == ["power", LAW]


def test_costs_show_the_front(fit):
    table = costs.costs(fit, {size: TrainConfig(size=size) for size in STUDY_SIZES}, range(1, 31))
    drawn_lines = lines(answer_figures.costs(table, "7,500 steps").axes[0])
    front = table[table["train_front"]].sort_values("train_flops")
    assert list(drawn_lines["Pareto front"].get_ydata()) == list(front["bits"])


def test_a_curve_per_b_in_the_panel_of_its_size():
    loops = np.arange(1, 31.0)
    parameters = np.array([[1.0, 2.5, 0.5, 0.8, 1.0, 0.15, 7.0], [1.5, 2, 0.2, 0.7, 0, 0.15, 7]])
    first, second = loop_curves.curve(loops, parameters)
    curves = {("tiny", 5): list(first), ("small", 15): list(second), ("small", 5): list(first)}
    fitted_curves = loop_curves.fit_curves(list(curves.values()), [5, 15, 5])
    figure = loop_figures.loop_curves_by_size(curves, fitted_curves)
    tiny, small = figure.axes
    assert list(lines(tiny)["b = 5"].get_ydata()) == list(first)
    assert list(lines(small)["b = 15"].get_ydata()) == list(second)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b = 5", "b = 15"]
