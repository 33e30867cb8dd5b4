"""Which runs a report is about, and what it says of the others."""

from dataclasses import replace

import pytest
from planted_report import BASELINES, run, runs, subject_of

from analysis.report.subject import choose
from analysis.runs.selection import SelectionError


def test_a_subject_per_task_of_its_most_numerous_recipe():
    longer = [run("tiny", 5, seed, steps=9000) for seed in (1, 2)]
    runs_of_other_task = [run("tiny", b, 1, task="noisy_linear") for b in (1, 5)]
    first, second = choose([*longer, *runs_of_other_task, *runs()], {})
    assert (first.task, second.task) == ("linear", "noisy_linear")
    assert len(first.runs) == 18 and len(first.runs_of_task) == 20
    assert "Left out: 2 runs of recipe" in first.account
    recipe = longer[0].config.recipe_identity
    (subject,) = choose([*longer, *runs()], {}, recipe=recipe[:8])
    assert len(subject.runs) == 2 and "18 not asked for" in subject.account


def test_choices_and_counts():
    repeated_run = replace(run("tiny", 5, 1), run_id="again")
    plateaued_run = run("tiny", 5, 4, plateau=True)
    subject = subject_of([*runs(), repeated_run, plateaued_run], sizes=["tiny"], bs=[5])
    assert subject.runs[0].run_id == "again"
    assert len(subject.runs) == 4 and len(subject.learned_rows) == 3
    assert "1 plateaued, drawn apart" in subject.account and "1 repeated" in subject.account
    assert subject.baselines == BASELINES and subject.ceiling is None


@pytest.mark.parametrize(
    ("choice", "rule"),
    [
        ({"task": "relu_network"}, r"task must be one of linear \(18 runs\), got relu_network"),
        ({"recipe": "nope"}, r"recipe must be one of \w+ \(18 runs\), got nope"),
        ({"sizes": ["huge"]}, r"sizes must be among small \(9 runs\), tiny \(9 runs\), got"),
        ({"bs": [3]}, r"bs must be among 1 \(6 runs\), 10"),
    ],
)
def test_a_choice_of_nothing_is_refused(choice, rule):
    with pytest.raises(SelectionError, match=rule):
        subject_of(**choice)


def test_nothing_at_all_is_refused():
    with pytest.raises(SelectionError, match="must hold finished trainings, got none"):
        choose([], {})
