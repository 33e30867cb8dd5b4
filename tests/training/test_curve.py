import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looped.training.curve import SMOOTHING_STEPS, TrainingCurve

errors = st.lists(st.floats(0.01, 2.0), min_size=1, max_size=300)


def fed(query_errors, n_steps=None):
    curve = TrainingCurve(n_steps or len(query_errors))
    curve.add([[2 * error, error, 1.0] for error in query_errors])
    return curve


@given(errors, st.integers(0, 300))
def test_a_run_saved_and_loaded_in_between_comes_to_the_same(query_errors, cut):
    first = fed(query_errors[:cut], len(query_errors))
    second = TrainingCurve(**json.loads(json.dumps(first.state())))
    second.add([[2 * error, error, 1.0] for error in query_errors[cut:]])
    assert second == fed(query_errors)


@given(errors)
def test_the_smoothed_error_is_the_weighted_mean_of_the_past(query_errors):
    decay = 1 - 1 / SMOOTHING_STEPS
    weights = [decay**age for age in range(len(query_errors))][::-1]
    total = sum(weight * error for weight, error in zip(weights, query_errors, strict=True))
    assert fed(query_errors).smoothed == pytest.approx(total / sum(weights))


@given(st.floats(0.0, 0.85), st.integers(1, 2000))
def test_escape_is_found_soon_after_the_error_falls(level, fall):
    curve = fed([1.0] * fall + [level] * 500)
    lag = curve.escape_step - max(fall, SMOOTHING_STEPS)
    assert 0 <= lag <= 2 * SMOOTHING_STEPS


def test_a_run_on_the_plateau_never_escapes():
    assert fed([1.0, 0.95] * 1000).escape_step is None


def test_one_lucky_batch_is_no_escape():
    assert fed([0.1] + [1.0] * 1000).escape_step is None


def test_what_only_older_versions_kept_is_passed_over():
    state = fed([1.0, 0.5]).state() | {"reference": 0.7}
    assert TrainingCurve.of_state(state) == fed([1.0, 0.5])


def test_a_sample_is_the_mean_of_its_interval_and_best_the_lowest_sample():
    curve = TrainingCurve(4)
    curve.add([[1.0, 3.0, 5.0], [3.0, 1.0, 7.0]])
    assert curve.sample() == {"loss": 2.0, "query_error": 2.0, "grad_norm": 6.0}
    curve.add([[4.0, 1.0, 0.0]])
    assert curve.sample() == {"loss": 4.0, "query_error": 1.0, "grad_norm": 0.0}
    assert curve.best == {"loss": 2.0, "query_error": 1.0}
