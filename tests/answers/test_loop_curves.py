"""Curves of one model over evaluated loops: planted ones are found again."""

import numpy as np
import pytest

from analysis.answers.loops import loop_curves
from analysis.answers.loops.loop_curves import PARAMETERS, curve, fit_curves, summarise

LOOPS = np.arange(1, 51.0)
FALLS = [1.0, 2.5, 0.5, 0.8, 1.0, 0.15, 7.0]
KEEPS = [1.5, 2.0, 0.2, 0.7, 0.0, 0.15, 7.0]


def noisy_curve(parameters, noise=0.003, rng=1):
    generator = np.random.default_rng(rng)
    return curve(LOOPS, np.array([parameters]))[0] + noise * generator.normal(size=50)


def test_a_planted_curve_is_found_again():
    row = fit_curves([noisy_curve(FALLS)], [5]).iloc[0]
    assert row[list(PARAMETERS)].to_numpy(float) == pytest.approx(FALLS, rel=0.05)
    assert row["rmse"] < 0.005
    assert row["peak_loop"] == 7
    # 1 - exp(-0.15 t) = 1/2 at t = 4.6, a little later as the approach still rises
    assert 5 <= row["half_life"] <= 6


def test_a_model_that_keeps_its_peak_has_no_half_life():
    row = fit_curves([noisy_curve(KEEPS)], [15]).iloc[0]
    assert row["half_life"] == np.inf
    assert row["lost"] == 0


def test_models_are_fitted_together_as_alone_whatever_their_lengths():
    curves = [noisy_curve(FALLS), noisy_curve(KEEPS)[:30], noisy_curve(FALLS, rng=2)]
    table = fit_curves(curves, [5, 15, 5])
    for index, (values, b) in enumerate(zip(curves, [5, 15, 5], strict=True)):
        row_alone = fit_curves([values], [b]).iloc[0]
        assert table.iloc[index].to_numpy(float) == pytest.approx(row_alone.to_numpy(float))


def test_a_curve_of_too_few_loops_is_left_open():
    table = fit_curves([noisy_curve(FALLS)[:4]], [2])
    assert table["peak_loop"].isna().all()


def test_slopes_are_those_of_the_curve():
    parameters = np.array([[1.0, 2.5, np.log(0.5), np.log(0.8), 1.0, np.log(0.15), 7.3]])
    model = loop_curves._model(LOOPS)
    exact = model(parameters)[1][0]
    for index in range(7):
        step = np.zeros((1, 7))
        step[0, index] = 1e-6
        slope = (model(parameters + step)[0] - model(parameters - step)[0])[0] / 2e-6
        assert exact[:, index] == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_seeds_of_a_cell_are_summarised():
    table = fit_curves([noisy_curve(FALLS, rng=i) for i in range(3)], [5] * 3)
    (row,) = summarise(table.assign(size="tiny", b=5)).to_dict("records")
    assert row["peak_loop_least"] <= row["peak_loop"] <= row["peak_loop_greatest"]
