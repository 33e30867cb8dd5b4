"""Runs that diverged: recognised, left out of law, claims and report, and counted in each."""

from dataclasses import replace

import pytest
from planted_report import run, runs, subject_of

from analysis.answers.answers import answer
from analysis.answers.text import describe
from analysis.claims.findings import comparable
from analysis.publish import answers_log, report_log
from analysis.report import content
from analysis.report.subject import choose
from analysis.runs.selection import SelectionError, select
from analysis.scaling.fit import fit_scaling


def wild(seed=4, tags=None, **settings):
    """A run whose NMSE after b loops is 4 ** 15, made before there was a tag for it."""
    run_that_diverged = run("tiny", 5, seed, bits=-15, plateau=True, **settings)
    return replace(run_that_diverged, tags=run_that_diverged.tags | (tags or {}))


@pytest.mark.parametrize(
    ("tags", "metrics", "bits", "is_diverged"),
    [
        ({"diverged": "true"}, {"held_out/nmse": 0.5}, 1, True),
        ({"diverged": "false"}, {"held_out/nmse": 50.0}, -15, False),
        ({}, {"held_out/nmse": 50.0}, 1, True),
        ({}, {"held_out/nmse": float("inf")}, 1, True),
        ({}, {"held_out/nmse": 10.0}, -15, False),
        ({}, {}, -15, True),
        ({}, {}, 0, False),
    ],
)
def test_the_tag_decides_and_without_one_the_held_out_error(tags, metrics, bits, is_diverged):
    plateaued_run = run("tiny", 5, bits=bits, plateau=True)
    tags = plateaued_run.tags | tags
    logged_run = replace(plateaued_run, tags=tags, metrics=metrics)
    assert logged_run.is_diverged is is_diverged
    assert logged_run.is_plateau is not is_diverged
    assert not logged_run.has_learned


def test_a_run_that_nobody_evaluated_is_judged_by_its_metric():
    nothing = {"nmse": [], "nmse_se": [], "nmse_median": []}
    logged_run = replace(run("tiny", 5), loops=nothing, metrics={})
    assert not logged_run.is_diverged
    assert replace(logged_run, metrics={"held_out/nmse": 50.0}).is_diverged


@pytest.mark.parametrize("with_plateaued", [False, True])
def test_they_are_never_in_a_law(with_plateaued):
    stuck_run = run("tiny", 5, 5, bits=0.01, plateau=True)
    selection = select([*runs(), wild(), stuck_run], with_plateaued=with_plateaued)
    assert len(selection.runs) == 18 + with_plateaued
    assert (selection.n_plateaued, selection.n_diverged) == (1 - with_plateaued, 1)
    assert selection.n_unevaluated == selection.n_repeated == 0
    assert ", 1 diverged left out" in selection.account
    assert selection.short_account.endswith("plateaued, 1 diverged left out")


def test_one_that_nobody_evaluated_is_counted_as_what_it_is():
    nothing = {"nmse": [], "nmse_se": [], "nmse_median": []}
    diverged_run = replace(wild(tags={"diverged": "true"}), loops=nothing)
    selection = select([*runs(), diverged_run])
    assert (selection.n_diverged, selection.n_unevaluated) == (1, 0)


def test_nothing_is_said_where_none_diverged():
    assert "diverged" not in select(runs()).account + select(runs()).short_account
    assert "diverged" not in subject_of().account


def test_a_law_of_nothing_else_is_refused():
    stuck_run = run("tiny", 5, 5, bits=0.01, plateau=True)
    with pytest.raises(SelectionError, match="needs runs that learned, got 1 plateaued and 2 div"):
        select([wild(4), wild(6), stuck_run])


def test_the_text_and_the_log_of_a_fit_count_them():
    runs_and_wild = [*runs(), wild()]
    selection = select(runs_and_wild)
    answers = answer(selection, fit_scaling(selection.table, resamples=100), runs_and_wild, 100)
    assert "1 diverged left out" in " ".join(describe(answers).split())
    assert answers_log.metrics(answers)["fit/diverged_left_out"] == 1


def test_a_report_leaves_them_out_and_counts_them():
    repeated_run = replace(wild(), run_id="again")
    subject = subject_of([*runs(), repeated_run, wild()])
    assert len(subject.runs) == 18 and len(subject.table) == 18
    assert "none plateaued" in subject.account
    assert subject.account.endswith("Left out: 1 diverged, 1 repeated.")
    report = content.make([subject], 100)
    assert report_log.counts(report)["report/diverged"] == 1
    assert report_log.counts(report)["report/plateaued"] == 0


def test_the_most_numerous_recipe_is_that_of_steady_runs():
    diverged_runs = [wild(seed, learning_rate=1e3) for seed in range(30)]
    subject = subject_of([*runs(), *diverged_runs])
    assert len(subject.runs) == 18 and subject.n_diverged == 0
    assert "30 runs of recipe" in subject.account


def test_a_task_of_nothing_else_is_named():
    (subject,) = choose([*runs(), wild(task="relu_network"), wild(6, task="relu_network")], {})
    assert subject.task == "linear"
    assert "Without a section, as all of it diverged: relu_network (2 runs)." in subject.account
    with pytest.raises(SelectionError, match="trainings that did not diverge, got 1 that did"):
        choose([wild()], {})


def test_claims_leave_them_out():
    cells, remarks = comparable([*runs(), wild()], ())
    assert len(cells.runs) == 18
    assert remarks == ["1 diverged left out"]
