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


@pytest.mark.parametrize(("level", "has_escaped"), [(0.899, True), (0.901, False)])
def test_escape_is_below_nine_tenths(level, has_escaped):
    curve = TrainingCurve(5000)
    curve.add([[1.0, level, 1.0]] * 5000)
    assert curve.escape_step == (SMOOTHING_STEPS if has_escaped else None)
