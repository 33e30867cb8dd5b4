"""Whether a training still learns: planted curves, false alarms, the kept journals."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from looped.names import Convergence, Metric, Tag
from looped.training.convergence import LITTLE, T_OF_BLOCKS, late_slope, with_convergence

ROOT = Path(__file__).parents[2]
STEPS = np.arange(25.0, 7501, 25)


def noise(rng, n, correlation, deviation):
    """Autoregression of first order; at 0.7 and 0.4 as the error of a medium model wanders."""
    values = rng.normal(size=n)
    for i in range(1, n):
        values[i] = correlation * values[i - 1] + math.sqrt(1 - correlation**2) * values[i]
    return deviation * values


def states(slope, correlation, deviation, steps=STEPS, n_curves=300):
    rng = np.random.default_rng(7)
    curves = (
        steps**slope * np.exp(noise(rng, len(steps), correlation, deviation))
        for _ in range(n_curves)
    )
    counts = Counter(late_slope(steps, curve).convergence for curve in curves)
    return {name: count / n_curves for name, count in counts.items()}


@pytest.mark.parametrize("scale", [1.0, 1e-3])
@pytest.mark.parametrize("exponent", [-2.0, -0.3, 0.0, 0.5])
def test_a_power_law_has_its_exponent(exponent, scale):
    slope = late_slope(STEPS, scale * STEPS**exponent)
    assert slope.slope == pytest.approx(exponent, abs=2e-3)
    assert slope.standard_error < 1e-3


@pytest.mark.parametrize(
    ("exponent", "state"),
    [(-1.0, Convergence.LEARNING), (0.0, Convergence.SETTLED), (0.4, Convergence.SETTLED)],
)
def test_a_clear_curve_is_told(exponent, state):
    assert states(exponent, 0.2, 0.05, n_curves=40).get(state, 0) >= 0.95


@pytest.mark.parametrize(("correlation", "deviation"), [(0.0, 0.1), (0.3, 0.2), (0.7, 0.4)])
def test_an_error_that_only_wanders_is_not_called_falling(correlation, deviation):
    """At 95 % an end of the interval errs in 2.5 %; 3 standard errors of 300 curves are 2.7 %."""
    assert states(0.0, correlation, deviation).get(Convergence.LEARNING, 0) <= 0.055


def test_a_fall_that_matters_is_not_called_settled():
    assert states(-LITTLE, 0.3, 0.1).get(Convergence.SETTLED, 0) <= 0.055


def test_a_wandering_error_cannot_tell():
    """Two averages of such a curve fall by a fifth every third time."""
    assert states(0.0, 0.7, 0.4).get(Convergence.CANNOT_TELL, 0) > 0.8


def test_a_short_training_is_as_careful():
    """The blocks of 1,500 steps hold three samples, so that neighbouring blocks err alike."""
    assert states(0.0, 0.7, 0.4, steps=STEPS[:60]).get(Convergence.LEARNING, 0) <= 0.08


def test_how_often_a_curve_is_sampled_decides_little():
    rng = np.random.default_rng(1)
    errors = STEPS**-0.5 * np.exp(0.1 * rng.normal(size=len(STEPS)))
    coarse = errors.reshape(-1, 2).mean(axis=1)
    fine_slope, coarse_slope = late_slope(STEPS, errors), late_slope(STEPS[1::2], coarse)
    assert coarse_slope.slope == pytest.approx(fine_slope.slope, abs=0.05)


@pytest.mark.parametrize("errors", [[], [0.5], [0.5] * 30, [0.5] * 299 + [0.0]])
def test_what_says_nothing_cannot_tell(errors):
    slope = late_slope(STEPS[: len(errors)], errors)
    assert math.isnan(slope.slope) and slope.convergence == Convergence.CANNOT_TELL


def test_only_the_last_two_fifths_count():
    errors = np.where(STEPS > 4500, 1.0, STEPS**-2.0)
    assert late_slope(STEPS, errors).slope == pytest.approx(0.0, abs=1e-9)
    errors = np.where(STEPS > 4400, 1.0, 9.0)
    assert late_slope(STEPS, errors).slope == pytest.approx(0.0, abs=1e-9)


def kept_outcomes():
    for path in sorted(ROOT.glob("results/h100/*/journal.jsonl")):
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        (outcome,) = (record for record in records if record["kind"] == "outcome")
        yield path.parent.name, outcome, with_convergence(outcome, records)


def test_the_kept_trainings_are_judged_anew():
    judged = {name: (before, after) for name, before, after in kept_outcomes()}
    assert len(judged) == 36
    assert sum(before["tags"][Tag.UNCONVERGED] == "true" for before, _ in judged.values()) == 25
    counts = Counter(after["tags"][Tag.CONVERGENCE] for _, after in judged.values())
    assert counts == {"learning": 18, "settled": 1, "cannot tell": 17}
    for before, after in judged.values():
        state, values = after["tags"][Tag.CONVERGENCE], after["values"]
        assert after["tags"][Tag.UNCONVERGED] == str(state == Convergence.LEARNING).lower()
        upper = values[Metric.LATE_SLOPE] + T_OF_BLOCKS * values[Metric.LATE_SLOPE_SE]
        assert (upper < 0) == (state == Convergence.LEARNING)
        assert after["values"].items() >= before["values"].items()
        assert with_convergence(after, []) is after  # once judged, always judged
        json.dumps(after, allow_nan=False)
