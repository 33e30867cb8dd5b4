"""Which runs a report is about, and what it says of the others."""

from dataclasses import replace

import pytest
from planted_report import BASELINES, run, runs, study

from analysis.report.subject import choose
from analysis.runs.selection import SelectionError


def test_a_subject_per_task_of_its_most_numerous_recipe():
    longer = [run("tiny", 5, seed, steps=9000) for seed in (1, 2)]
    other = [run("tiny", b, 1, task="noisy_linear") for b in (1, 5)]
    first, second = choose([*longer, *other, *runs()], {})
    assert (first.task, second.task) == ("linear", "noisy_linear")
    assert len(first.runs) == 18 and len(first.every) == 20
    assert "Left out: 2 runs of recipe" in first.account
    recipe = longer[0].config.recipe_identity
    (asked,) = choose([*longer, *runs()], {}, recipe=recipe[:8])
    assert len(asked.runs) == 2 and "18 not asked for" in asked.account


def test_choices_and_counts():
    again = replace(run("tiny", 5, 1), run_id="again")
    stuck = run("tiny", 5, 4, plateau=True)
    own = study([*runs(), again, stuck], sizes=["tiny"], bs=[5])
    assert own.runs[0].run_id == "again"
    assert len(own.runs) == 4 and len(own.learned) == 3
    assert "1 plateaued, drawn apart" in own.account and "1 repeated" in own.account
    assert own.baselines == BASELINES and own.ceiling is None


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
        study(**choice)


def test_nothing_at_all_is_refused():
    with pytest.raises(SelectionError, match="must hold finished trainings, got none"):
        choose([], {})
