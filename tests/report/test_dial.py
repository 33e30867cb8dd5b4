"""The loops that a task needs as its dial turns, from planted runs."""

import math

import planted_report
import pytest
from planted_report import SEEDS, subject_of

from analysis.report.figures import across_tasks, dial
from analysis.report.figures.law import FitOrReason
from looped.tasks.kinds import TASK_KINDS

CHAIN = {"task": "pointer_chain", "n_dims": 8, "n_examples": 63}


def subject_with(bits_by_b, hops, scatter=0.01, n_plateaued=0, baselines=None, **settings):
    """Runs of E as given at each b; seeds scatter, each b by itself."""
    runs = [
        planted_report.run("tiny", b, seed, bits=bits + scatter * ((seed * b) % 3 - 1),
                           plateau=i < n_plateaued, hops=hops, **{**CHAIN, **settings})
        for b, bits in bits_by_b.items()
        for i, seed in enumerate(SEEDS)
    ]  # fmt: skip
    return subject_of(runs, {"whole_chain": 0.0} if baselines is None else baselines)


def row_of(subject):
    (row,) = dial.loops_needed([subject]).to_dict("records")
    return row


def test_the_fewest_loops_that_lose_nothing_notable_are_needed():
    row = row_of(subject_with({1: 0.2, 5: 1.05, 10: 1.06}, hops=2))
    assert (row["task"], row["dial"], row["value"]) == ("pointer_chain n_dims=8", "hops", 2)
    assert (row["at_least"], row["at_most"], row["best_b"]) == (5, 5, 10)
    assert row["best_bits"] == pytest.approx(1.06, abs=0.02)
    assert row["bayes_bits"] == math.inf


def test_what_seeds_cannot_tell_is_undecided():
    row = row_of(subject_with({1: 0.2, 5: 1.0, 10: 1.06}, hops=2, scatter=0.2))
    assert row["at_least"] < row["at_most"] == 10
    assert "undecided between b = " in dial.in_words(
        dial.loops_needed([subject_with({1: 0.2, 5: 1.0, 10: 1.06}, hops=2, scatter=0.2)])
    )


def test_one_seed_decides_nothing():
    runs = [planted_report.run("tiny", b, 2, bits=0.1 * b, hops=2, **CHAIN) for b in (1, 5)]
    row = row_of(subject_of(runs, {}))
    assert (row["at_least"], row["at_most"]) == (1, 5)
    assert math.isnan(row["bayes_bits"])


@pytest.mark.parametrize(
    ("n_plateaued", "words"),
    [(3, "hops = 4 was not learned at any b"), (1, "hops = 4 undecided (1 of 3 runs")],
)
def test_what_was_not_learned_needs_no_loops(n_plateaued, words):
    subject = subject_with({1: 0.01, 5: 0.01}, hops=4, n_plateaued=n_plateaued)
    assert words in dial.in_words(dial.loops_needed([subject]))


def test_the_dial_turns_from_its_least_value_and_each_b_has_its_bits():
    subjects = [subject_with({1: 0.1 * hops, 5: 1.0}, hops=hops) for hops in (10, 2, 4)]
    assert list(dial.loops_needed(subjects)["value"]) == [2, 4, 10]
    table = dial.bits_at_each_b(subjects)
    assert list(table["b"]) == [1, 5] * 3
    assert list(table["seeds"]) == [3] * 6
    assert table["mean"].tolist() == pytest.approx([0.2, 1, 0.4, 1, 1, 1], abs=0.02)
    assert (table["lower"] < table["mean"]).all() and (table["mean"] < table["upper"]).all()


def test_b_across_tasks_says_them_and_leaves_other_tasks_as_they_were():
    subject = subject_with({1: 0.2, 5: 1.0, 10: 1.01}, hops=2)
    exhibit = across_tasks.exhibit({subject.task: (subject, FitOrReason(None, "none"))})
    assert "Loops needed, pointer_chain n_dims=8, tiny: hops = 2 b = 5" in exhibit.result
    assert len(exhibit.details) == 2 and exhibit.look_for.endswith(dial.LOOK_FOR)
    linear = subject_of()
    linear_exhibit = across_tasks.exhibit({linear.task: (linear, FitOrReason(None, "none"))})
    assert not linear_exhibit.details and linear_exhibit.look_for == across_tasks.LOOK_FOR


def test_a_dial_is_a_setting_of_its_task():
    kinds = [kind for kind in TASK_KINDS.values() if kind.dial]
    assert len(kinds) == 2
    assert all(kind.dial in kind.setting_names for kind in kinds)
