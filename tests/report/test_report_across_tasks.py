"""The gain of loops, task by task."""

import planted_report
import pytest
from planted_report import BITS, lines, study

from analysis.report import across_tasks, law
from analysis.report.law import Law


def bars(axes):
    return {c.get_label(): c.lines[0] for c in axes.containers}


@pytest.fixture(scope="module")
def studied():
    sparse = [
        planted_report.run(size, b, seed, bits=0.2 * b, task="sparse_linear")
        for size in BITS
        for b in (1, 5, 10)
        for seed in planted_report.SEEDS
    ]
    first, second = study(), study(sparse)
    return {first.task: (first, law.fit(first, 100)), second.task: (second, Law(None, "none"))}


def test_a_line_per_task_in_the_panel_of_its_size(studied):
    exhibit = across_tasks.exhibit(studied)
    for axes, by_b in zip(exhibit.figure.axes, BITS.values(), strict=True):
        gains = bars(axes)
        assert list(gains["linear"].get_ydata()) == pytest.approx(
            [by_b[5] - by_b[1], by_b[10] - by_b[1]]
        )
        assert list(gains["sparse_linear"].get_ydata()) == pytest.approx([0.8, 1.8])
        fitted = lines(axes)["_linear, law"]
        assert fitted.get_ydata()[0] == pytest.approx(0, abs=1e-9)
        assert fitted.get_ydata()[-1] == pytest.approx(by_b[10] - by_b[1], abs=0.25)
        assert "_sparse_linear, law" not in lines(axes)
    assert set(exhibit.table["what"]) == {"measured", "law"}


def test_a_task_without_one_loop_is_said(studied):
    without = study([r for r in planted_report.runs(task="noisy_linear") if r.config.b > 1])
    exhibit = across_tasks.exhibit({**studied, without.task: (without, Law(None, "none"))})
    assert any("noisy_linear has no size" in reason for reason in exhibit.missing)
    alone = across_tasks.exhibit({without.task: (without, Law(None, "none"))})
    assert alone.figure is None and alone.missing


def test_why_there_is_no_law_is_said():
    few = study([planted_report.run("tiny", 5)])
    fitted = law.fit(few, 100)
    exhibit = law.exhibit(few, fitted)
    assert fitted.fit is None and exhibit.figure is None
    assert exhibit.missing[0].startswith("law: ") and len(exhibit.missing[0]) > 20
