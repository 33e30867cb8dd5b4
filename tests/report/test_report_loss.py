"""Training curves: a panel per seed, and the planted factor between them."""

import planted_report
import pytest
from planted_report import FACTOR, STEPS, drawn, stripped, study

from analysis.report import loss


@pytest.fixture(scope="module")
def exhibits():
    return loss.exhibits(study())


def test_a_figure_per_size_and_a_panel_per_seed(exhibits):
    assert [each.name for each in exhibits] == ["loss-tiny", "loss-small"]
    panels = exhibits[0].figure.axes[:3]
    assert [axes.get_title(loc="left") for axes in panels] == ["seed 1", "seed 2", "seed 3"]
    for axes in panels:
        for b, factor in FACTOR.items():
            steps, raw = drawn(axes, f"_b = {b}, as logged")
            assert steps == list(STEPS)
            assert raw == pytest.approx([factor * 0.99**step for step in STEPS])
            # the logarithm of the planted curve is a line, which a moving average keeps
            assert drawn(axes, f"b = {b}")[1][5:-5] == pytest.approx(raw[5:-5])


def test_below_stands_the_ratio_to_one_loop(exhibits):
    for axes in exhibits[1].figure.axes[3:]:
        for b, factor in FACTOR.items():
            assert drawn(axes, f"b = {b}")[1] == pytest.approx([factor] * len(STEPS))
    assert "0.25 of that at b = 1" in exhibits[1].found


def test_without_one_loop_there_is_no_ratio():
    runs = [run for run in planted_report.runs() if run.config.b > 1]
    exhibit = loss.exhibits(study(runs))[0]
    assert len(exhibit.figure.axes) == 3
    assert "No run at b = 1" in exhibit.found


def test_runs_without_curves_are_said():
    (exhibit,) = loss.exhibits(study(stripped(planted_report.runs(), training={})))
    assert exhibit.figure is None
    assert exhibit.missing == ("training curves: 18 of 18 runs have none",)
