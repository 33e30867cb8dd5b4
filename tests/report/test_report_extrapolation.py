"""The extrapolation figures show the planted curves, and where each model was trained."""

from dataclasses import replace

import planted_report
import pytest
from planted_report import BITS, LOST, N_LOOPS, lines, runs_without, subject_of, xs_and_ys

from analysis.report.figures import extrapolation
from looped.names import Weights


@pytest.fixture(scope="module")
def exhibits():
    return extrapolation.exhibits(subject_of())


def test_a_panel_per_size_and_a_line_per_trained_b(exhibits):
    upper = exhibits[0].figure.axes[:2]
    assert [axes.get_title(loc="left") or axes.get_title() for axes in upper] == list(BITS)
    for axes, (size, by_b) in zip(upper, BITS.items(), strict=True):
        for b, bits in by_b.items():
            loops, errors = xs_and_ys(axes, f"b = {b}")
            assert loops == list(range(1, N_LOOPS + 1))
            assert errors[b - 1] == pytest.approx(0.25**bits)
            assert errors[-1] == pytest.approx(0.25 ** (bits - LOST[size]))
            line = lines(axes)[f"b = {b}"]
            assert [loops[index] for index in line.get_markevery()] == [b]  # the mark is at b
        assert len(axes.collections) == len(by_b)


def test_the_state_s_change_stands_below_on_the_same_axis(exhibits):
    upper, lower = exhibits[0].figure.axes[0], exhibits[0].figure.axes[2]
    loops, changes = xs_and_ys(lower, "b = 5")
    assert loops[0] == 2 and changes == pytest.approx([0.5**loop for loop in loops])
    assert upper.get_shared_x_axes().joined(upper, lower)


def test_beyond_b_the_error_is_relative_to_that_at_b(exhibits):
    for axes, size in zip(exhibits[1].figure.axes, BITS, strict=False):
        loops, ratios = xs_and_ys(axes, "b = 5")
        assert loops == list(range(5, N_LOOPS + 1))
        assert ratios == pytest.approx([1.0, *[4 ** LOST[size]] * (N_LOOPS - 5)])
    assert "tiny: 2.00 (b = 1), 2.00 (b = 5), 2.00 (b = 10)" in exhibits[1].result


def test_models_trained_at_one_loop_do_not_hide_the_others(exhibits):
    below = exhibits[1].figure.axes[2]
    assert "b = 1" not in lines(below) and "b = 5" in lines(below)


def test_plateaued_runs_are_left_out_and_counted():
    stuck = planted_report.run("tiny", 5, seed=4, bits=0.01, plateau=True)
    first = extrapolation.exhibits(subject_of([*planted_report.runs(), stuck]))[0]
    assert set(first.table["seed"]) == {1, 2, 3}
    assert "1 plateaued run left out" in first.look_for


def test_no_state_is_said():
    (first, _) = extrapolation.exhibits(
        subject_of(runs_without(planted_report.runs(), state_change=(), prediction_change=()))
    )
    assert first.lacks == ("fixed point: the state's change was not measured",)
    assert len(first.figure.axes) == 2


def test_the_prediction_s_change_stands_below_that_of_the_state(exhibits):
    loops, changes = xs_and_ys(exhibits[0].figure.axes[4], "b = 5")
    assert loops[0] == 2 and changes == pytest.approx([0.25**loop for loop in loops])


def test_the_band_and_what_the_state_does_are_shown(exhibits):
    first = exhibits[0]
    loops, errors = xs_and_ys(first.figure.axes[0], "_as good as the best of b = 5")
    assert loops == [4, 5, 6, 7]
    assert errors == pytest.approx(xs_and_ys(first.figure.axes[0], "b = 5")[1][3:7])
    (table,) = first.details.values()
    assert len(table) == len(planted_report.runs())
    row = table.iloc[0]
    assert (row["state"], row["share"], row["lower"], row["prompts"]) == ("settles", 1, 0.79, 16)
    assert (row["spectral_radius"], row["band_first"], row["band_last"]) == (0.5, 4, 7)
    sentence = "tiny settles in 9 of 9 runs (spectral radius 0.50 to 0.50)"
    assert sentence in first.result and not first.lacks


def test_the_mean_of_the_last_weights_has_a_state_and_a_band_of_its_own():
    run = replace(planted_report.run(), weights=Weights.TAIL)
    assert (run.band, run.dynamics) == ((5, 5), {"cycles_lower": 0.75})


def test_runs_that_were_evaluated_before_states_were_followed_are_said():
    old = runs_without(planted_report.runs(), metrics={}, prediction_change=())
    first, _ = extrapolation.exhibits(subject_of(old))
    assert not first.details and len(first.figure.axes) == 4
    assert "evaluate-extrapolation finds out" in first.lacks[0]


def test_no_loop_beyond_b_is_said():
    runs = [planted_report.run("tiny", 5, seed, n_loops=5) for seed in (1, 2)]
    first, second = extrapolation.exhibits(subject_of(runs))
    assert first.figure is not None and second.figure is None
    assert "no run was evaluated for more loops" in second.lacks[0]
