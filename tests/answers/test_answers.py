"""What follows from a law besides itself."""

import numpy as np
import planted_answers
import pytest

from analysis.answers.answers import answer
from analysis.answers.costs import budgets
from analysis.answers.text import describe
from analysis.runs.selection import select
from analysis.scaling.fit import fit_scaling


@pytest.fixture(scope="module")
def runs():
    return planted_answers.two_lengths()


@pytest.fixture(scope="module")
def answers(runs):
    selection = select(runs, recipe=runs[0].config.recipe_identity)
    fit = fit_scaling(selection.table, form="saturating_power/of_E_M", resamples=100)
    return answer(selection, fit, runs, 100)


def test_the_law_is_of_one_training_length_the_joint_law_of_all(answers, runs):
    assert len(answers.fit.run_table.values) == 24
    assert answers.joint.n_runs == len(runs) == 48
    assert "beta" in list(answers.joint.parameters["name"])


def test_every_pair_and_size_has_its_answer(answers):
    pairs = {("tiny", "small"), ("tiny", "medium"), ("small", "medium")}
    assert set(answers.exchange) == pairs
    assert set(answers.worthwhile) == set(answers.costs["size"]) == {"tiny", "small", "medium"}
    assert 1 < answers.exchange["tiny", "small"].b < answers.exchange["tiny", "medium"].b


def test_curves_peak_where_they_were_planted_to(answers):
    looped_curves = answers.curves[answers.curves["b"] > 1]
    assert (looped_curves["peak_loop"] - looped_curves["b"]).abs().max() <= 2
    assert list(answers.curves["size"].unique()) == ["tiny", "small", "medium"]


def test_one_size_alone_has_a_law_but_no_joint_law(runs):
    recipe = runs[0].config.recipe_identity
    selection = select(runs, recipe=recipe, sizes=["tiny"])
    fit = fit_scaling(selection.table, forms=["logarithmic/shared_gain"], resamples=100)
    answers = answer(selection, fit, selection.runs, 100, runs_without_mean=runs)
    assert answers.joint == "the joint law needs 2 sizes or more, got 1"
    text_of_answers = describe(answers)
    assert "one size has nothing to reach" in text_of_answers
    assert answers.n_without_mean == 8
    assert "left out: 8 runs of other lengths, which hold no mean" in text_of_answers


def test_the_text_says_it_all(answers):
    text_of_answers = describe(answers)
    for part in ("tiny reaches medium at b = 1", "FLOPs for a training", "phi   :", "half-life"):
        assert part in text_of_answers
    assert f"{answers.cells['expressivity'].iloc[0]:.3f}" in text_of_answers


def test_budgets_are_round_and_span_the_costs(answers):
    flops = budgets(answers.costs, "train")
    assert flops == sorted(flops)
    mantissas = np.array(flops) / 10 ** np.floor(np.log10(flops))
    assert mantissas == pytest.approx(np.round(mantissas))
    assert flops[-1] >= answers.costs["train_flops"].max()
