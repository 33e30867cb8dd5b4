"""Every claim is supported by planted data for it, contradicted by data against it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_runs import BASE, FIRST, GAIN, GAP, Plant, World

from analysis.claims.by_seed import Sense, interval, weakest
from analysis.claims.cells import Cells
from analysis.claims.claims import CLAIMS, Verdict, findings_table, judge

STUDY = World()


def for_size(size, knob, other_knob):
    """A knob: one function for a size, another for the rest."""
    return lambda config: (knob if config.size == size else other_knob)(config)


def without_b1(run):
    return run.config.b > 1


def two_bs(run):
    return run.config.b < 10


def one_size(run):
    return run.config.size == "small"


def without(size):
    return lambda run: run.config.size != size


def not_beyond(run):
    return run.config.b == 1


PLANTS = {
    "order-of-magnitude": Plant(
        without_b1,
        # one size alone falls short
        STUDY.but(bits=lambda c: BASE[c.size] + GAIN[c.b] * (0.7 if c.size == "small" else 1)),
    ),
    "order-of-magnitude-at-some-size": Plant(
        without_b1,
        STUDY.but(bits=lambda c: BASE[c.size] + 0.7 * GAIN[c.b]),
        # no other size gains as much
        STUDY.but(bits=lambda c: BASE[c.size] + GAIN[c.b] * (1 if c.size == "small" else 0.7)),
    ),
    "smaller-passes-larger": Plant(
        one_size, STUDY.but(bits=lambda c: {"medium": 5.0}.get(c.size, BASE[c.size]) + GAIN[c.b])
    ),
    "plateau": Plant(two_bs, STUDY.but(bits=lambda c: BASE[c.size] + 0.5 * np.log2(c.b))),
    "quality-grows-with-size": Plant(
        one_size, STUDY.but(bits=lambda c: {"medium": 1.9}.get(c.size, BASE[c.size]) + GAIN[c.b])
    ),
    "pressed-from-both-sides": Plant(
        one_size, STUDY.but(first=lambda c: FIRST[c.size] * (-1 if c.size == "medium" else 1))
    ),
    "small-improves-beyond": Plant(without("small"), STUDY.but(hump=lambda c: -0.1)),
    "small-keeps-quality": Plant(without("small"), STUDY.but(lost=lambda c: 0.02 * c.b)),
    "small-loses-little": Plant(without("small"), STUDY.but(lost=lambda c: 0.6)),
    "medium-degrades": Plant(without("medium"), STUDY.but(lost=lambda c: 0.05)),
    "medium-degrades-less-with-b": Plant(
        without("medium"), STUDY.but(lost=lambda c: 0.2 + 0.03 * c.b)
    ),
    "tiny-improves-beyond": Plant(without("tiny"), STUDY.but(lost=lambda c: 0.1)),
    "larger-extrapolates-worse": Plant(
        not_beyond, STUDY.but(lost=lambda c: {"tiny": 0.0, "small": 0.5}.get(c.size, 0.2))
    ),
    "loss-starts-equal": Plant(
        without_b1, STUDY.but(start=lambda c: 0.2 if (c.size, c.b) == ("tiny", 15) else 0.0)
    ),
    "loss-falls-sharply": Plant(
        lambda run: not run.training, STUDY.but(fall=lambda share_done: 2 * share_done)
    ),
    "loss-differs-by-a-factor": Plant(
        without_b1, STUDY.but(drift=lambda c: -0.2 if (c.size, c.b > 1) == ("small", True) else 0)
    ),
    "loss-gaps-shrink": Plant(
        two_bs, STUDY.but(gap=lambda c: {**GAP, 10: 1.1, 15: 1.4}[c.b])
    ),
    "last-loss-gap-invisible": Plant(two_bs, STUDY.but(gap=lambda c: {**GAP, 15: 1.9}[c.b])),
}  # fmt: skip

every_claim = pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.slug)


def finding_of(runs, claim):
    (finding,) = judge(runs, [claim])
    return finding


@every_claim
def test_a_claim_is_supported_where_it_is_planted(claim):
    finding = finding_of(PLANTS[claim.slug].holds.study(), claim)
    assert finding.verdict is Verdict.SUPPORTED, finding
    assert finding.low <= finding.estimate <= finding.high


@every_claim
def test_a_claim_is_contradicted_where_the_opposite_is_planted(claim):
    finding = finding_of(PLANTS[claim.slug].counter.study(), claim)
    assert finding.verdict is Verdict.CONTRADICTED, finding
    assert finding.low <= finding.estimate <= finding.high


@every_claim
def test_noise_leaves_a_claim_undecided(claim):
    finding = finding_of(PLANTS[claim.slug].holds.but(noise=3.0).study(seeds=(1, 2), rng=1), claim)
    assert finding.verdict is Verdict.UNDECIDED, finding
    assert finding.low <= finding.estimate <= finding.high


@every_claim
def test_one_seed_gives_an_estimate_without_an_interval(claim):
    finding = finding_of(STUDY.study(seeds=(42,)), claim)
    assert finding.verdict is Verdict.UNDECIDED
    assert np.isfinite(finding.estimate)
    assert np.isnan([finding.low, finding.high]).all()
    assert "2 seeds" in finding.detail


@every_claim
def test_a_claim_says_what_it_misses(claim):
    plant = PLANTS[claim.slug]
    if claim.slug == "loss-falls-sharply":
        runs = [replace(run, training={}) for run in STUDY.study()]
    else:
        runs = [run for run in STUDY.study() if plant.is_left(run)]
    for runs_left in (runs, []):
        finding = finding_of(runs_left, claim)
        assert finding.verdict is Verdict.MISSING
        assert finding.detail.startswith("needs ")
        assert np.isnan([finding.estimate, finding.low, finding.high]).all()


def test_every_planted_fact_is_about_a_claim():
    assert set(PLANTS) == {claim.slug for claim in CLAIMS}


@pytest.mark.parametrize("n_loops", [0, 3, 24])
def test_partial_studies_are_judged_as_far_as_they_go(n_loops):
    runs = STUDY.but(n_loops=max(n_loops, 1)).study(sizes=("tiny", "small"), bs=(1, 5, 10))
    if not n_loops:
        nothing = {"nmse": [], "nmse_se": [], "nmse_median": []}
        runs = [replace(run, loops=nothing, training={}) for run in runs]
    by_claim = {finding.claim: finding for finding in judge(runs)}
    assert by_claim["medium-degrades"].verdict is Verdict.MISSING
    assert any(f.verdict is not Verdict.MISSING for f in by_claim.values()) == (n_loops > 0)
    finding_beyond = by_claim["small-keeps-quality"]
    assert (finding_beyond.verdict is not Verdict.MISSING) == (n_loops == 24)
    assert n_loops < 24 or "loop 24" in finding_beyond.detail


def test_runs_that_never_learned_are_left_out_and_counted():
    runs = STUDY.study()
    stuck = [
        replace(
            run,
            tags={"plateau": "true"},
            loops={name: [1.0] * 50 for name in run.loops},
        )
        if run.config.seed == 42 and run.config.b > 5
        else run
        for run in runs
    ]
    finding = judge(stuck)[0]
    assert finding.verdict is Verdict.SUPPORTED
    assert "6 plateaued left out" in finding.detail
    assert finding.detail.count(",") < judge(runs)[0].detail.count(",")


def test_the_recipe_with_most_runs_is_judged():
    shorter_runs = STUDY.but(bits=lambda config: 1.0).study(
        seeds=(1, 2), variants=({"steps": 100},)
    )
    finding = judge([*shorter_runs, *STUDY.study()])[0]
    assert finding.verdict is Verdict.SUPPORTED
    assert "24 of other recipes left out" in finding.detail


def test_a_model_that_diverged_counts_against_what_keeps():
    runs = STUDY.study(sizes=("small",))
    diverged_runs = [
        replace(run, loops={**run.loops, "nmse": [*run.loops["nmse"][:40], *[float("inf")] * 10]})
        for run in runs
    ]
    (claim,) = [claim for claim in CLAIMS if claim.slug == "small-keeps-quality"]
    assert finding_of(diverged_runs, claim).verdict is Verdict.CONTRADICTED


@settings(max_examples=10)
@given(
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 99),
    noise=st.sampled_from([0.0, 0.01, 0.1, 1.0]),
)
def test_order_and_ids_say_nothing_and_intervals_hold_their_estimate(order, seed, noise):
    runs = STUDY.but(noise=noise).study(rng=seed)
    shuffled_runs = [replace(run, run_id=f"other-{index}") for index, run in enumerate(runs)]
    shuffled_runs += shuffled_runs[:5]
    order.shuffle(shuffled_runs)
    table = findings_table(judge(runs))
    assert table.equals(findings_table(judge(shuffled_runs)))
    ends = table[["low", "estimate", "high"]].to_numpy()
    assert (np.diff(ends, axis=1) >= -1e-9 * abs(ends[:, 1:])).all()


def test_extrapolation_is_judged_where_a_model_is_run_for_twice_its_loops():
    cells = Cells.of(STUDY.study(bs=(1, 5, 10, 15, 20, 30, 40)))
    assert cells.farthest_loop == 50
    assert cells.beyond("small") == [5, 10, 15, 20]


def test_losses_are_compared_once_both_have_escaped():
    def escaping(b, share):
        world = STUDY.but(
            fall=lambda share_done: (share_done > share) * 1.0,
            gap=lambda c: 0.4 * (c.b > 1),
            noise=0,
        )
        return world.study(("small",), (b,))

    slopes, scatters = Cells.of(escaping(1, 0.2) + escaping(5, 0.4)).parting("small", 5)
    assert list(slopes) == [42, 451, 1984]
    assert max(map(abs, [*slopes.values(), *scatters.values()])) < 1e-9
    assert Cells.of(escaping(1, 0.2) + escaping(5, 2.0)).parting("small", 5) == ({}, {})


def test_what_is_told_beside_a_claim_is_not_judged():
    by_claim = {finding.claim: finding for finding in judge(STUDY.study())}
    assert "beside it, tiny from 1 to 5 0.8" in by_claim["plateau"].detail
    assert "beside it, lost by medium 0.4" in by_claim["larger-extrapolates-worse"].detail
    assert "beside it, scatter of tiny 0.0" in by_claim["loss-differs-by-a-factor"].detail


def test_a_table_has_a_row_for_each_finding():
    table = findings_table(judge(STUDY.study()))
    assert list(table["claim"]) == [claim.slug for claim in CLAIMS]
    assert set(table["verdict"]) == {"supported"}
    assert findings_table([]).columns.equals(table.columns)


def parts_of(means, spread, seeds, rng):
    return {
        str(index): dict(enumerate(mean + spread * rng.normal(size=seeds)))
        for index, mean in enumerate(means)
    }


@pytest.mark.parametrize("sense", list(Sense))
@pytest.mark.parametrize("means", [(0.0,), (0.0, 0.0, 0.0), (0.0, 0.3, -0.5)])
def test_intervals_of_the_weakest_part_cover_it(sense, means):
    rng = np.random.default_rng(3)
    truth = {Sense.ABOVE: min(means), Sense.BELOW: max(means)}.get(sense, max(map(abs, means)))
    n_missed = 0
    for _ in range(400):
        _, low, high = weakest(parts_of(means, 0.2, 3, rng), sense)
        n_missed += not low <= truth <= high
    assert n_missed <= 34  # 5 % of 400 are 20, and 34 three standard errors more


def test_a_part_of_one_seed_keeps_the_others_from_supporting_not_from_contradicting():
    lone_part, clear_part = {42: 5.0}, {42: 1.0, 451: 1.01, 1984: 1.02}
    estimate, low, high = weakest({"one": lone_part, "other": clear_part}, Sense.ABOVE)
    assert (estimate, low) == (pytest.approx(1.01), -np.inf)
    assert 1.01 < high < 1.1


def test_an_interval_is_students():
    low, high = interval({42: 1.0, 451: 2.0, 1984: 3.0})
    assert (low, high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), rel=1e-4)
    assert interval({42: 1.0}) == (-np.inf, np.inf)
