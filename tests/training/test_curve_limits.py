"""Where the verdicts on a training turn over, and what ends one."""

import math

import pytest

from looped.training.curve import SMOOTHING_STEPS, DivergedError, TrainingCurve


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_each_of_loss_query_error_and_gradient_norm_must_stay_finite(place, value):
    curve = TrainingCurve(10)
    broken = [1.0, 1.0, 1.0]
    broken[place] = value
    with pytest.raises(DivergedError, match=r"at step 3\b"):
        curve.add([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], broken, [1.0, 1.0, 1.0]])
    assert len(curve.pending) == 2
    assert math.isfinite(curve.smoothed)


@pytest.mark.parametrize(("late_error", "verdict"), [(0.795, True), (0.805, False)])
def test_unconverged_begins_at_a_fall_of_a_fifth(late_error, verdict):
    curve = TrainingCurve(10_000)
    curve.add([[1.0, error, 1.0] for error in [1.0] * 8000 + [late_error] * 2000])
    assert curve.late_fall == pytest.approx(late_error, abs=1e-3)
    assert curve.unconverged is verdict


def test_the_reference_is_taken_at_four_fifths():
    curve = TrainingCurve(1000)
    curve.add([[1.0, step / 1000, 1.0] for step in range(1, 801)])
    assert curve.reference == curve.smoothed
    curve.add([[1.0, 0.0, 1.0]] * 199)
    assert curve.late_fall is None  # not before the end
    curve.add([[1.0, 0.0, 1.0]])
    assert 0 < curve.late_fall < 0.2


@pytest.mark.parametrize(("level", "has_escaped"), [(0.899, True), (0.901, False)])
def test_escape_is_below_nine_tenths(level, has_escaped):
    curve = TrainingCurve(5000)
    curve.add([[1.0, level, 1.0]] * 5000)
    assert curve.escape_step == (SMOOTHING_STEPS if has_escaped else None)
