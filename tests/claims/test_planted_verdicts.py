"""Studies of planted truths, drawn many times: how often a verdict is wrong.

Each bound lies three standard errors above the 2.5 % that are promised. The larger simulation is
``entrypoints/benchmarks/coverage/claims.py``.
"""

import math

import numpy as np
import pytest
from planted_runs import BASE, World

from analysis.claims.by_seed import Sense, p_value, weakest
from analysis.claims.claim import Verdict
from analysis.claims.claims import CLAIMS, judge
from analysis.claims.hypotheses import HYPOTHESES

BY_SLUG = {claim.slug: claim for claim in (*CLAIMS, *HYPOTHESES)}


def most_of(n_studies, share=0.025):
    return share * n_studies + 3 * math.sqrt(share * (1 - share) * n_studies)


def drawn_parts(means, scatter, rng, n_seeds=3):
    return {
        str(index): dict(enumerate(mean + scatter * rng.normal(size=n_seeds)))
        for index, mean in enumerate(means)
    }


@pytest.mark.parametrize("scatter", [0.02, 0.2, 2.0])
@pytest.mark.parametrize(
    ("sense", "means"),
    [
        (Sense.WITHIN, (0.1,)), (Sense.WITHIN, (-0.1,)), (Sense.WITHIN, (0.1, -0.1, 0.0)),
        (Sense.ABOVE, (0.1,)), (Sense.ABOVE, (0.1, 9.0)), (Sense.ABOVE, (0.1, 0.1, 0.1)),
        (Sense.BELOW, (0.1,)), (Sense.BELOW, (0.1, -9.0)), (Sense.BELOW, (0.1, 0.1, 0.1)),
    ],
)  # fmt: skip
def test_at_the_threshold_either_verdict_comes_as_seldom_as_stated(sense, means, scatter):
    rng, n_studies = np.random.default_rng(5), 1000
    below = above = 0
    for _ in range(n_studies):
        _, low, high = weakest(drawn_parts(means, scatter, rng), sense)
        below += high < 0.1
        above += low > 0.1
    assert below <= most_of(n_studies)
    assert above <= most_of(n_studies)


def test_an_absolute_value_was_contradicted_too_often_at_the_level_of_one_side():
    """At 1 - 0.05 of each side together the old end was beyond the truth in 3.9 % of studies."""
    rng, n_studies = np.random.default_rng(6), 2000
    contradicted = before = 0
    for _ in range(n_studies):
        parts = drawn_parts((0.1,), 0.5, rng)
        contradicted += weakest(parts, Sense.WITHIN)[1] > 0.1
        # one part and one side: the ends that were taken before
        before += weakest(parts, Sense.ABOVE)[1] > 0.1 or weakest(parts, Sense.BELOW)[2] < -0.1
    assert contradicted <= most_of(n_studies) < before


@pytest.mark.parametrize("sense", list(Sense))
def test_a_p_value_says_what_the_interval_says(sense):
    rng = np.random.default_rng(7)
    n_decided = 0
    for _ in range(300):
        parts = drawn_parts(rng.normal(size=3), 0.2, rng, int(rng.integers(2, 6)))
        _, low, high = weakest(parts, sense)
        is_decided = low > 0.3 or high < 0.3
        assert (p_value(parts, sense, 0.3) < 0.025) is bool(is_decided)
        n_decided += is_decided
    assert 50 < n_decided < 250


def test_a_p_value_of_no_scatter_and_of_one_seed():
    level = {1: 1.0, 2: 1.0}
    assert p_value({"one": level}, Sense.ABOVE, 0.5) == 0.0
    assert p_value({"one": level}, Sense.ABOVE, 1.0) == 0.5
    assert p_value({"one": {1: 1.0}}, Sense.ABOVE, 0.5) == 1.0


def verdicts(slug, world, n_studies, **study):
    rng = np.random.default_rng(8).integers(2**31, size=n_studies)
    findings = [judge(world.study(rng=int(seed), **study), [BY_SLUG[slug]])[0] for seed in rng]
    return [finding.verdict for finding in findings]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_same_loss_at_every_loop_is_no_loss_that_falls_with_b(sign):
    """By loop 50 a model trained at 5 has had 45 loops to lose in, one trained at 15 has had 35."""
    world = World(lost=lambda c: sign * 0.02 * (50 - c.b), hump=lambda c: 0.0, noise=0.02)
    study = {"sizes": ("medium",), "bs": (5, 10, 15)}
    outcomes = verdicts("medium-degrades-less-with-b", world, 200, **study)
    assert outcomes.count(Verdict.SUPPORTED) <= most_of(200)
    assert outcomes.count(Verdict.CONTRADICTED) <= most_of(200)


@pytest.mark.parametrize("less_with_b", [True, False])
def test_a_loss_per_loop_that_changes_with_b_is_seen(less_with_b):
    rates = {5: 0.03, 10: 0.02, 15: 0.01} if less_with_b else {5: 0.01, 10: 0.02, 15: 0.03}
    world = World(lost=lambda c: rates[c.b] * (50 - c.b), hump=lambda c: 0.0, noise=0.02)
    (outcome,) = verdicts(
        "medium-degrades-less-with-b", world, 1, sizes=("medium",), bs=(5, 10, 15)
    )
    assert outcome is (Verdict.SUPPORTED if less_with_b else Verdict.CONTRADICTED)


@pytest.mark.parametrize("helped", [True, False])
@pytest.mark.parametrize("lost", [0.0, 0.1])
def test_what_explains_a_loss_that_is_not_there_is_hardly_ever_judged(lost, helped):
    """The loss is what the premise asks for at the most, whatever more steps do to it."""
    change = -1.0 if helped else 0.0
    world = World(lost=lambda c: lost + (change if c.steps > 7500 else 0), noise=0.1)
    outcomes = verdicts(
        "more-data-equal-loops", world, 150,
        sizes=("medium",), bs=(5, 10), variants=({}, {"steps": 15000}),
    )  # fmt: skip
    judged = sum(outcome is not Verdict.UNDECIDED for outcome in outcomes)
    assert judged <= most_of(150)


@pytest.mark.parametrize(
    ("slug", "gains", "wrong"),
    [
        # no size reaches a factor of 10; all three are at it
        ("order-of-magnitude-at-some-size", (1.66, 1.66, 1.66), Verdict.SUPPORTED),
        # one is at it, the others far below
        ("order-of-magnitude-at-some-size", (1.66, 0.2, 0.2), Verdict.CONTRADICTED),
        ("order-of-magnitude", (1.66, 1.66, 1.66), Verdict.CONTRADICTED),
        ("order-of-magnitude", (1.66, 3.0, 3.0), Verdict.SUPPORTED),
    ],
)
def test_an_order_of_magnitude_at_some_size_and_at_every_size(slug, gains, wrong):
    gain = dict(zip(BASE, (gain + math.log(10, 4) - 1.66 for gain in gains), strict=True))
    world = World(bits=lambda c: BASE[c.size] + gain[c.size] * (c.b > 1), noise=0.1)
    outcomes = verdicts(slug, world, 100, bs=(1, 15))
    assert outcomes.count(wrong) <= most_of(100)


def test_one_size_is_enough_for_some_and_not_for_every():
    world = World(bits=lambda c: BASE[c.size] + (2.5 if c.size == "tiny" else 0.5) * (c.b > 1))
    findings = {finding.claim: finding for finding in judge(world.study(bs=(1, 15)))}
    somewhere = findings["order-of-magnitude-at-some-size"]
    everywhere = findings["order-of-magnitude"]
    assert somewhere.verdict is Verdict.SUPPORTED
    assert everywhere.verdict is Verdict.CONTRADICTED
    assert (somewhere.chosen_as, everywhere.chosen_as) == ("the greatest of 3", "the least of 3")
