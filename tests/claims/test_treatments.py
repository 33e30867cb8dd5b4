"""Claims about ways of training, and what a loop is worth, on runs whose truth is planted."""

import math

import pytest
from planted_runs import BASE, World

from analysis.answers.tying import tying
from analysis.claims.claims import Verdict
from analysis.claims.treatments import TREATMENTS, judge_treatments
from analysis.report.figures import recipes
from analysis.report.figures import tying as tying_report
from analysis.report.subject import choose

PHI = 0.5
GAIN = {1: 0.0, 5: 1.0, 10: 1.4, 15: 1.6}


def by_stacks(config):
    """Untied models gain with the logarithm of their stacks; b loops are worth b^PHI of them."""
    worth = PHI if config.tied else 1.0
    return BASE[config.size] + 0.5 * worth * math.log(config.b)


def gained(**gains):
    """Bits that a setting's values add to what is so otherwise."""
    ((setting, bits_of),) = gains.items()
    return lambda usual: lambda config: usual + bits_of.get(getattr(config, setting), 0.0)


WINDOWS = ({}, {"loss_window": 0.5}, {"loss_window": 1.0})
REACHES = ({}, {"grad_window": 0.5}, {"grad_window": 1.0})
UNITS = [{"b_draw": "uniform", "b_draw_unit": unit} for unit in ("step", "prompt")]
TIES = ({}, {"tied": False})
PLANTS = {
    "loss-window-half": (
        "lost", gained(loss_window={0.5: -0.3})(0.5), WINDOWS, Verdict.SUPPORTED
    ),
    "loss-window-last": (
        "lost", gained(loss_window={1.0: 0.3})(0.5), WINDOWS, Verdict.CONTRADICTED
    ),
    "grad-window-half": ("bits", gained(grad_window={})(2.0), REACHES, Verdict.CONTRADICTED),
    "grad-window-one": ("bits", gained(grad_window={1.0: -0.3})(2.0), REACHES, Verdict.SUPPORTED),
    "tying-costs-at-equal-loops": ("bits", by_stacks, TIES, Verdict.SUPPORTED),
    "tying-pays-at-equal-parameters": ("bits", by_stacks, TIES, Verdict.SUPPORTED),
    "by-prompt-uniform": (
        "bits", gained(b_draw_unit={"prompt": 0.6})(2.0), UNITS, Verdict.SUPPORTED
    ),
}  # fmt: skip


def verdicts(runs):
    return {finding.claim: finding.verdict for finding in judge_treatments(runs)}


@pytest.mark.parametrize("slug", PLANTS)
def test_what_was_planted_is_found(slug):
    knob, truth, variants, verdict = PLANTS[slug]
    runs = (
        World(n_loops=30).but(**{knob: truth}).study(("tiny", "small"), (1, 5), variants=variants)
    )
    assert verdicts(runs)[slug] is verdict


def test_a_window_is_judged_only_where_something_is_lost():
    runs = World(lost=lambda config: 0.0).study(("tiny",), (1, 5), variants=WINDOWS)
    assert set(verdicts(runs).values()) == {Verdict.UNDECIDED}


@pytest.mark.parametrize(
    ("size", "verdict"), [("tiny", Verdict.SUPPORTED), ("small", Verdict.UNDECIDED)]
)
def test_what_a_window_explains_is_lost_in_the_cells_that_it_was_trained_in(size, verdict):
    lost = gained(loss_window={0.5: -0.3})(0.0)
    world = World(lost=lambda config: lost(config) + (0.5 if config.size == "tiny" else 0.0))
    runs = world.study(("tiny", "small"), (1, 5, 10))
    runs += world.study((size,), (5, 10), variants=({"loss_window": 0.5},))
    assert verdicts(runs)["loss-window-half"] is verdict


def test_nothing_is_said_of_ways_of_training_that_no_runs_differ_in():
    assert verdicts(World().study(("tiny",), (1, 5))) == {}
    assert len({claim.slug for claim in TREATMENTS}) == len(TREATMENTS) == 9


def test_the_planted_worth_of_a_loop_is_measured():
    runs = World(bits=by_stacks, noise=0.001).study(variants=TIES)
    table = tying(runs).set_index(["size", "b"])
    assert list(table.index) == [(size, b) for size in BASE for b in (5, 10, 15)]
    assert table["phi"].to_numpy() == pytest.approx(PHI, abs=0.02)
    assert (table["phi_low"] < PHI).mean() > 0.8 and (table["phi_high"] > PHI).mean() > 0.8
    for (_, b), row in table.iterrows():
        assert row["equal_loops"] == pytest.approx(0.25 * math.log(b), abs=0.01)
        assert row["untied_weights"] > row["looped_weights"]


def test_where_no_untied_model_is_as_good_the_worth_is_bounded():
    runs = World(bits=lambda config: by_stacks(config) + (5 if config.tied and config.b > 1 else 0))
    table = tying(runs.study(sizes=("tiny",), variants=TIES))
    assert table["phi"].isna().all()
    assert table["phi_bound"].iloc[-1] == "above 1 for 3 of 3 seeds"


def test_the_report_shows_ties_and_recipes_side_by_side():
    runs = World(bits=by_stacks).study(("tiny", "small"), (1, 5), variants=TIES)
    (subject,) = choose(runs, {})
    (exhibit,) = tying_report.exhibits(subject)
    row = exhibit.shown_table.iloc[0]
    assert (row["size"], row["b"]) == ("tiny", 5)
    assert float(row["phi"].split(" [")[0]) == pytest.approx(0.5, abs=0.02)
    (table,) = (exhibit.table for exhibit in recipes.exhibits(subject))
    assert list(table.columns[1:]) == ["as in the figures", "tied=False"]
    (looped_subject,) = choose(World().study(("tiny",), (1, 5)), {})
    assert recipes.exhibits(looped_subject) == tying_report.exhibits(looped_subject) == []
