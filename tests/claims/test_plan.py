"""What a grid can decide, as a pilot's runs tell before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest
from kept_runs import kept_runs
from planted_runs import World, claim_of, configured

from analysis.claims import plan
from analysis.claims.by_seed import Sense
from analysis.claims.claims import CLAIMS, judge
from analysis.claims.hypotheses import HYPOTHESES
from analysis.claims.pilot import Pilot
from analysis.claims.plan import plan_reading
from analysis.claims.power import chances_of, least_distance


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Beartype checks each configuration, which takes longer here than all else."""
    monkeypatch.setattr(plan, "MOST_DRAWS", 400)


@pytest.fixture(scope="module")
def kept_results():
    return Pilot(kept_runs(), "results/h100")


SIZES, BS, SEEDS = ("tiny", "small", "medium"), (1, 5, 10, 15), (42, 451, 1984)
LONGER = ({}, {"steps": 15000})
PILOT = Pilot(World(noise=0.05).study(), "the store")


def planned(sizes=SIZES, bs=BS, seeds=SEEDS, variants=({},)):
    return [
        configured(size, b, seed, **variant)
        for variant in variants for size in sizes for b in bs for seed in seeds
    ]  # fmt: skip


def lines_of(reading):
    """What is said of each claim, by its name."""
    slugs = {claim.slug for claim in (*CLAIMS, *HYPOTHESES)}
    words = [line.strip().split(maxsplit=1) for line in reading.splitlines()]
    return {word[0]: word[1].strip() for word in words if word[0] in slugs}


def test_every_claim_is_told_of_once():
    reading = plan_reading(planned(), 50, PILOT)
    missing = [line for line in reading.splitlines() if "not measured by this grid" in line]
    slugs_there = lines_of(reading).keys() | {
        slug for line in missing for slug in line.rpartition(": ")[2].split(", ")
    }
    assert slugs_there == {claim.slug for claim in (*CLAIMS, *HYPOTHESES)}
    assert set(lines_of(reading)) == {claim.slug for claim in CLAIMS}
    assert reading.startswith(
        "claims, with 3 seeds a cell, in studies like the pilot, 36 finished runs in the store "
        "(linear, 7,500 steps, 3 seeds a cell):"
    )


def test_a_pilot_of_another_problem_or_recipe_says_so():
    def header(**settings):
        trainings = planned(sizes=("tiny",), bs=(1, 5), variants=(settings,))
        return plan_reading(trainings, 50, PILOT).splitlines()[0]

    assert header(n_dims=3).endswith("3 seeds a cell), which are of another problem:")
    assert header(batch_size=8).endswith("3 seeds a cell), which are of another recipe:")
    assert header().endswith("3 seeds a cell):")


def test_what_it_says_is_decided_is_decided_as_often_in_studies_of_that_truth():
    world = World(noise=0.3)
    words_by_slug = lines_of(
        plan_reading(planned(), 50, Pilot(world.study(seeds=range(40)), "here"))
    )
    counts = dict.fromkeys(words_by_slug, 0)
    n_studies = 12
    for rng in range(n_studies):
        for finding in judge(world.study(rng=100 + rng)):
            counts[finding.claim] += finding.verdict == words_by_slug[finding.claim].split()[0]
    shares = {
        slug: float(words.split(" in ")[1].split("%")[0]) / 100 if "%" in words else 0.0
        for slug, words in words_by_slug.items()
    }
    assert 0.2 < np.mean(list(shares.values())) < 0.95  # some are decided, some are not
    for slug, share in shares.items():  # bounds from below, up to three standard errors
        error = 3 * (max(share * (1 - share), 0.05) / n_studies) ** 0.5
        assert counts[slug] / n_studies >= share - error, slug


def test_more_seeds_decide_more():
    few, many = (
        lines_of(plan_reading(planned(seeds=range(n)), 50, Pilot(World(noise=0.4).study(), "here")))
        for n in (3, 20)
    )
    open_few, open_many = (
        {s for s, w in words_by_slug.items() if "; " in w} for words_by_slug in (few, many)
    )
    assert open_many < open_few


def test_what_the_pilot_has_not_trained_tells_a_scatter_and_no_effect():
    pilot = Pilot(World(lost=lambda c: 1.0, noise=0.05).study(), "here")
    words_by_slug = lines_of(plan_reading(planned(variants=LONGER), 50, pilot))
    words = words_by_slug["more-data-equal-loops"]
    assert words.startswith("decided in 80% of studies where the truth lies 0.")
    assert words.endswith("or more from -0.1; where it does lie the pilot cannot tell")
    longer_pilot = Pilot([*pilot.runs, *World(lost=lambda c: 0.1, noise=0.05).study(
        variants=({"steps": 15000},), rng=1
    )], "here")  # fmt: skip
    words_by_slug = lines_of(plan_reading(planned(variants=LONGER), 50, longer_pilot))
    assert words_by_slug["more-data-equal-loops"].startswith("supported in 99% of them or more")


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (lambda c: 0.0, "loses less than 0.1 bits after b, nothing to explain"),
        (lambda c: 0.12, "0.1 bits or more are not shown"),
        (lambda c: 1.0, None),
    ],
)
def test_it_warns_where_there_is_nothing_to_explain(lost, words):
    pilot = Pilot(World(lost=lost, noise=0.02).study(), "here")
    reading = plan_reading(planned(variants=LONGER), 50, pilot)
    warnings = [line for line in reading.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == (words is not None)
    if words is not None:
        assert words in warnings[0]
        assert warnings[0].endswith(": more-data-equal-loops, more-data-equal-flops")
        assert "left undecided: its premise" in lines_of(reading)["more-data-equal-loops"]


def test_a_grid_that_asks_no_hypothesis_is_not_warned(kept_results):
    assert "warning" not in plan_reading(planned(), 50, kept_results)


def test_the_kept_results_show_no_loss_for_the_three_studies_to_explain(kept_results):
    draws = ({}, {"b_draw": "uniform"})
    for study in ({"variants": LONGER}, {"bs": (*BS, 20, 30, 40)}, {"variants": draws}):
        reading = plan_reading(planned(**study), 50, kept_results)
        assert "36 finished runs in results/h100 (linear" in reading
        assert "warning: in the pilot the largest size loses less than 0.1 bits" in reading


def test_parts_that_hardly_scatter_have_chances():
    part = {1: 0.5, 2: 0.5 + 1e-16, 3: 0.5 - 1e-16}
    assert chances_of({"one": part}, claim_of({}), [3]) == (1.0, 0.0)
    assert chances_of({"one": part}, claim_of({}, Sense.BELOW), [3]) == (0.0, 1.0)


def test_without_a_pilot_nothing_is_foretold():
    unknown = "claims: which can be decided is not known without two finished seeds of a size"
    assert plan_reading(planned(), 50, Pilot([], "the store")) == unknown
    assert plan_reading(planned(), 50, Pilot(World().study(seeds=(42,)), "the store")) == unknown
    partial = plan_reading(planned(), 50, Pilot(World().study(sizes=("tiny", "small")), "here"))
    assert "  left out, as the pilot has none of it: medium\n" in partial
    assert "(needs medium): medium-degrades, medium-degrades-less-with-b" in partial


def test_curves_that_end_before_what_is_planned_tell_no_effect():
    short = [
        replace(run, loops={name: curve[:20] for name, curve in run.loops.items()})
        for run in PILOT.runs
    ]
    words_by_slug = lines_of(plan_reading(planned(), 50, Pilot(short, "here")))
    assert all("where it does lie the pilot cannot tell" in words or "wherever" in words
               for words in words_by_slug.values())  # fmt: skip


@pytest.mark.parametrize("sense", [Sense.ABOVE, Sense.BELOW])
@pytest.mark.parametrize("for_some", [False, True])
def test_the_least_distance_is_where_the_chance_is_enough(sense, for_some):
    claim = claim_of({}, sense, 0.3, for_some=for_some)
    part = {1: -0.1, 2: 0.0, 3: 0.1}
    distance = least_distance({"one": part}, claim, 4)
    at = {1: "support", -1: "contradiction"}
    for side, name in at.items():
        shift = 0.3 + side * distance * (1 if sense is Sense.ABOVE else -1)
        moved = {"one": {seed: value + shift for seed, value in part.items()}}
        assert getattr(chances_of(moved, claim, [4]), name)[0] == pytest.approx(0.8, abs=0.01)
    assert least_distance({"one": part, "two": part}, claim, 4) > distance
    assert least_distance({"one": part}, claim, 12) < distance
