"""What a loop costs and buys, and which cells are worth their cost."""

import itertools
import math
from dataclasses import replace

import planted_report
import pytest
from planted_report import BITS, lines, subject_of, xs_and_ys

from analysis.report.figures import cost, pareto


def test_cost_and_the_error_bought():
    exhibit = cost.exhibit(subject_of())
    time, arithmetic, memory, *below = exhibit.figure.axes
    for size, by_b in BITS.items():
        # the median over the training, not its slow first point
        assert xs_and_ys(time, size) == (list(by_b), pytest.approx([b / 100 for b in by_b], 1e-4))
        flops = [planted_report.config(size, b).step_flops for b in by_b]
        assert xs_and_ys(arithmetic, size)[1] == pytest.approx(flops)
        assert xs_and_ys(memory, size)[1] == [100.0 * b for b in by_b]
        for axes in below:
            assert xs_and_ys(axes, size)[1] == pytest.approx([0.25**bits for bits in by_b.values()])
        assert xs_and_ys(below[2], size)[0] == [100.0 * b for b in by_b]
    assert not exhibit.lacks


def test_a_doubling_of_the_flops_is_compared_within_seeds():
    table = cost.exhibit(subject_of()).table.set_index(["size", "b"])
    for size, by_b in BITS.items():
        assert math.isnan(table.loc[(size, 1), "doubling_bits"])
        for before, b in itertools.pairwise(by_b):
            configs = [planted_report.config(size, each) for each in (before, b)]
            flops = [each.step_flops for each in configs]
            bits = (by_b[b] - by_b[before]) / math.log2(flops[1] / flops[0])
            row = table.loc[(size, b)]
            # seeds differ by as much at every b
            assert list(row[["doubling_bits", "doubling_lower", "doubling_upper"]]) == (
                pytest.approx([bits] * 3)
            )
    result = cost.exhibit(subject_of()).result
    assert "bits that a doubling of the FLOPs buys: 0.43 [0.43, 0.43] up to b = 5" in result


def test_one_b_has_no_doubling():
    runs = [run for run in planted_report.runs() if run.config.b == 5]
    exhibit = cost.exhibit(subject_of(runs))
    assert exhibit.table["doubling_bits"].isna().all()
    assert "doubling of the FLOPs buys" not in exhibit.result


def test_memory_that_nobody_logged_is_said():
    runs = [replace(run, metrics={"speed/steps_per_s": 1.0}) for run in planted_report.runs()]
    exhibit = cost.exhibit(subject_of(runs))
    assert "memory: no run logged memory/peak_mib" in exhibit.lacks[0]
    assert len(exhibit.figure.axes) == 4


def in_program(run, program):
    return replace(run, tags={**run.tags, "looped.program": program})


def test_runs_of_one_program_have_no_time_of_their_own():
    # the speeds differ: the tag alone says that they trained together
    runs = [in_program(run, f"program-{run.config.size}") for run in planted_report.runs()]
    exhibit = cost.exhibit(subject_of(runs))
    assert "trained as one program" in exhibit.lacks[0]
    assert set(exhibit.table["clock"]) == {"shared"} and set(exhibit.table["sharing"]) == {9}


def test_runs_of_other_programs_have_their_own_time_though_as_fast():
    runs = [in_program(replace(run, speed=[50.0]), run.name) for run in planted_report.runs()]
    exhibit = cost.exhibit(subject_of(runs))
    assert not exhibit.lacks
    assert set(exhibit.table["clock"]) == {"own"} and set(exhibit.table["sharing"]) == {1}


def test_runs_older_than_the_tag_are_one_program_where_they_are_as_fast():
    runs = [replace(run, speed=[50.0]) for run in planted_report.runs()]
    exhibit = cost.exhibit(subject_of(runs))
    assert "trained as one program" in exhibit.lacks[0]
    assert "tiny 0.02 s a step for 9 runs, small 0.02 s a step for 9 runs" in exhibit.result
    upper, _ = exhibit.figure.axes
    assert upper.get_title(loc="left") == "arithmetic"


def test_replicas_of_one_b_have_a_time():
    runs = [replace(run, speed=[50.0 / run.config.b]) for run in planted_report.runs()]
    runs = [run for run in runs if run.config.size == "tiny"]
    exhibit = cost.exhibit(subject_of(runs))
    assert xs_and_ys(exhibit.figure.axes[0], "tiny")[1] == pytest.approx([0.02, 0.1, 0.2])
    assert set(exhibit.table["sharing"]) == {3}


def test_the_front_leaves_out_what_a_cheaper_cell_equals():
    runs = planted_report.runs()
    # small at b = 1 costs more than tiny at b = 5, and now is worse
    changed_runs = [
        planted_report.run("small", 1, run.config.seed, bits=1.5)
        if (run.config.size, run.config.b) == ("small", 1)
        else run
        for run in runs
    ]
    exhibit = pareto.exhibit(subject_of(changed_runs))
    table = exhibit.table.set_index(["size", "b"])
    assert not table.loc[("small", 1), "train_front"]
    assert table.loc[("tiny", 5), "train_front"]
    upper, lower = exhibit.figure.axes
    assert upper.get_xlabel() == "FLOPs of a training of 7,500 steps"
    for axes, kind in ((upper, "train"), (lower, "infer")):
        front = table[table[f"{kind}_front"]].sort_values(f"{kind}_flops")
        assert xs_and_ys(axes, "Pareto front") == (
            list(front[f"{kind}_flops"]), pytest.approx(list(front["mean"])),
        )  # fmt: skip
        assert {text.get_text() for text in axes.texts} == {
            f"{size}:{b}" for size, by_b in BITS.items() for b in by_b
        }
    assert (
        "On the front for training, at 7,500 steps: tiny:1, tiny:5, tiny:10, small:5, small:10."
        in exhibit.result
    )
    assert "Pareto front" in lines(upper)
