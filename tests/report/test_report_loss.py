"""Training curves: a panel per seed, and the planted factor between them."""

import planted_report
import pytest
from planted_report import FACTOR, STEPS, runs_without, subject_of, xs_and_ys

from analysis.report import loss


@pytest.fixture(scope="module")
def exhibits():
    return loss.exhibits(subject_of())


def test_a_figure_per_size_and_a_panel_per_seed(exhibits):
    assert [exhibit.name for exhibit in exhibits] == ["loss-tiny", "loss-small"]
    panels = exhibits[0].figure.axes[:3]
    assert [axes.get_title(loc="left") for axes in panels] == ["seed 1", "seed 2", "seed 3"]
    for axes in panels:
        for b, factor in FACTOR.items():
            steps, raw = xs_and_ys(axes, f"_b = {b}, as logged")
            assert steps == list(STEPS)
            assert raw == pytest.approx([factor * 0.99**step for step in STEPS])
            # the logarithm of the planted curve is a line, which a moving average keeps
            assert xs_and_ys(axes, f"b = {b}")[1][5:-5] == pytest.approx(raw[5:-5])


def test_below_stands_the_ratio_to_one_loop(exhibits):
    for axes in exhibits[1].figure.axes[3:]:
        for b, factor in FACTOR.items():
            assert xs_and_ys(axes, f"b = {b}")[1] == pytest.approx([factor] * len(STEPS))
    assert "0.25 of that at b = 1" in exhibits[1].result


def test_without_one_loop_there_is_no_ratio():
    runs = [run for run in planted_report.runs() if run.config.b > 1]
    exhibit = loss.exhibits(subject_of(runs))[0]
    assert len(exhibit.figure.axes) == 3
    assert "No run at b = 1" in exhibit.result


def test_runs_without_curves_are_said():
    (exhibit,) = loss.exhibits(subject_of(runs_without(planted_report.runs(), training={})))
    assert exhibit.figure is None
    assert exhibit.lacks == ("training curves: 18 of 18 runs have none",)
