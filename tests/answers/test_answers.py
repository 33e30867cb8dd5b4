"""What is asked of a study besides its law."""

import numpy as np
import planted_study
import pytest
from planted_study import loop_curve

from analysis.answers import answers, text
from analysis.runs.logged_run import LoggedRun
from analysis.runs.selection import select
from analysis.scaling.fit import fit_scaling
from looped.config import TrainConfig


def logged(config, bits):
    """Make a run as it is read from a store."""
    nmse = 2.0 ** (-2 * loop_curve(config, bits))
    loops = {"nmse": list(nmse), "nmse_se": list(0.02 * nmse), "nmse_median": list(0.4 * nmse)}
    return LoggedRun(config.identity, config.name, config, {"plateau": "false"}, loops, 12_800)


@pytest.fixture(scope="module")
def runs():
    """Two lengths of training; the shorter ones are half a bit worse."""
    table = planted_study.points(noise=0.03, seeds=(1, 2))
    return [
        logged(
            TrainConfig(size=row["size"], b=row["b"], seed=row["seed"], steps=steps),
            row["expressivity"] - worse,
        )
        for row in table.to_dict("records")
        for steps, worse in ((7500, 0), (1500, 0.5))
    ]


@pytest.fixture(scope="module")
def found(runs):
    chosen = select(runs, recipe=runs[0].config.recipe_identity)
    fit = fit_scaling(chosen.points, form="saturating_power/of_E_M", resamples=100)
    return answers.examine(chosen, fit, runs, 100)


def test_the_law_is_of_one_training_length_the_joint_law_of_all(found, runs):
    assert len(found.fit.points.values) == 24
    assert found.joint.n_runs == len(runs) == 48
    assert "beta" in list(found.joint.parameters["name"])


def test_every_pair_and_size_has_its_answer(found):
    pairs = {("tiny", "small"), ("tiny", "medium"), ("small", "medium")}
    assert set(found.exchange) == pairs
    assert set(found.worthwhile) == set(found.costs["size"]) == {"tiny", "small", "medium"}
    assert 1 < found.exchange["tiny", "small"].b < found.exchange["tiny", "medium"].b


def test_curves_peak_where_they_were_planted_to(found):
    own = found.curves[found.curves["b"] > 1]
    assert (own["peak_loop"] - own["b"]).abs().max() <= 2
    assert list(found.curves["size"].unique()) == ["tiny", "small", "medium"]


def test_one_size_alone_has_a_law_but_no_joint_law(runs):
    recipe = runs[0].config.recipe_identity
    chosen = select(runs, recipe=recipe, sizes=["tiny"])
    fit = fit_scaling(chosen.points, forms=["logarithmic/shared_gain"], resamples=100)
    alone = answers.examine(chosen, fit, chosen.runs, 100)
    assert alone.joint == "the joint law needs 2 sizes or more, got 1"
    said = text.describe(alone)
    assert "one size has nothing to reach" in said


def test_the_report_says_it_all(found):
    said = text.describe(found)
    for part in ("tiny reaches medium at b = 1", "FLOPs for a training", "phi   :", "half-life"):
        assert part in said
    assert f"{found.cells['expressivity'].iloc[0]:.3f}" in said


def test_budgets_are_round_and_span_the_costs(found):
    budgets = answers.budgets(found.costs, "train")
    assert budgets == sorted(budgets)
    mantissas = np.array(budgets) / 10 ** np.floor(np.log10(budgets))
    assert mantissas == pytest.approx(np.round(mantissas))
    assert budgets[-1] >= found.costs["train_flops"].max()
