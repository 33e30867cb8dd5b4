"""The gain of loops, task by task."""

import planted_report
import pytest
from planted_report import BITS, lines, subject_of

from analysis.report.figures import across_tasks, law
from analysis.report.figures.law import FitOrReason


def bars(axes):
    return {c.get_label(): c.lines[0] for c in axes.containers}


@pytest.fixture(scope="module")
def subjects_and_fits():
    sparse = [
        planted_report.run(size, b, seed, bits=0.2 * b, task="sparse_linear")
        for size in BITS
        for b in (1, 5, 10)
        for seed in planted_report.SEEDS
    ]
    first, second = subject_of(), subject_of(sparse)
    return {
        first.task: (first, law.fit(first, 100)),
        second.task: (second, FitOrReason(None, "none")),
    }


def test_a_line_per_task_in_the_panel_of_its_size(subjects_and_fits):
    exhibit = across_tasks.exhibit(subjects_and_fits)
    for axes, by_b in zip(exhibit.figure.axes, BITS.values(), strict=True):
        gains = bars(axes)
        assert list(gains["linear"].get_ydata()) == pytest.approx(
            [by_b[5] - by_b[1], by_b[10] - by_b[1]]
        )
        assert list(gains["sparse_linear"].get_ydata()) == pytest.approx([0.8, 1.8])
        law_curve = lines(axes)["_linear, law"]
        assert law_curve.get_ydata()[0] == pytest.approx(0, abs=1e-9)
        assert law_curve.get_ydata()[-1] == pytest.approx(by_b[10] - by_b[1], abs=0.25)
        assert "_sparse_linear, law" not in lines(axes)
    assert set(exhibit.table["what"]) == {"measured", "law"}


def test_a_task_without_one_loop_is_said(subjects_and_fits):
    subject = subject_of([r for r in planted_report.runs(task="noisy_linear") if r.config.b > 1])
    exhibit = across_tasks.exhibit(
        {**subjects_and_fits, subject.task: (subject, FitOrReason(None, "none"))}
    )
    assert any("noisy_linear has no size" in reason for reason in exhibit.lacks)
    exhibit_alone = across_tasks.exhibit({subject.task: (subject, FitOrReason(None, "none"))})
    assert exhibit_alone.figure is None and exhibit_alone.lacks


def test_why_there_is_no_law_is_said():
    subject = subject_of([planted_report.run("tiny", 5)])
    fit_or_reason = law.fit(subject, 100)
    exhibit = law.exhibit(subject, fit_or_reason)
    assert fit_or_reason.fit is None and exhibit.figure is None
    assert exhibit.lacks[0].startswith("law: ") and len(exhibit.lacks[0]) > 20
