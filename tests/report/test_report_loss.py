"""Training curves: a panel per seed, and the planted factor between them."""

import planted_report
import pytest
from planted_report import FACTOR, STEPS, runs_without, subject_of, xs_and_ys

from analysis.report import drawing
from analysis.report.figures import loss


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


def test_many_seeds_stand_in_bands_of_three_and_legends_in_the_order_of_b():
    seeds, bs = (1, 2, 3, 4, 5), (1, 5, 10)
    cells = [(b, seed) for seed in seeds for b in bs if (b, seed) != (1, 1)]
    runs = [planted_report.run("tiny", b, seed, bits=2.0) for b, seed in cells]
    (exhibit,) = loss.exhibits(subject_of(runs))
    assert exhibit.figure.get_figwidth() == pytest.approx(10.8)
    places = [axes.get_subplotspec() for axes in exhibit.figure.axes]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [
        *((0, 0), (0, 1), (0, 2), (2, 0), (2, 1)),
        *((1, 0), (1, 1), (1, 2), (3, 0), (3, 1)),
    ]
    (legend,) = exhibit.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["b = 1", "b = 5", "b = 10"]
    labelled = [axes for axes in exhibit.figure.axes if axes.get_ylabel()]
    assert [axes.get_subplotspec().colspan.start for axes in labelled] == [0, 0, 0, 0]


def test_a_legend_is_read_along_its_rows():
    figure = drawing.figure_of(1, 3)
    (axes,) = drawing.panels_of(figure, ["tiny"])["tiny"]
    for b in (10, 1, 5, 15, 20):
        axes.plot([1, 2], [b, b], label=f"b = {b}")
    drawing.legend_below(figure, [axes], 3, order=[f"b = {b}" for b in (1, 5, 10, 15, 20)])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    spots = {text.get_text(): text.get_window_extent() for text in legend.get_texts()}
    by_row = sorted(spots, key=lambda label: (-round(spots[label].y0), spots[label].x0))
    assert by_row == ["b = 1", "b = 5", "b = 10", "b = 15", "b = 20"]
