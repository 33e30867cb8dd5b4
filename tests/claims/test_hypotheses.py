"""Each hypothesis is supported by planted data for it, contradicted by data against it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_hypotheses import GAINS, HELPED, LARGER, PLANTS, STEPS, doublings, is_medium
from planted_runs import World

from analysis.claims.cells import Cells
from analysis.claims.claims import CLAIMS, Verdict, findings_table, judge
from analysis.claims.hypotheses import HYPOTHESES, joint_reading
from analysis.claims.measures.compared import at_flops
from looped.config import TrainConfig

every_claim = pytest.mark.parametrize("claim", HYPOTHESES, ids=lambda claim: claim.slug)


def finding_of(runs, claim):
    (finding,) = judge(runs, [claim])
    return finding


def test_every_planted_fact_is_about_a_hypothesis():
    assert set(PLANTS) == {claim.slug for claim in HYPOTHESES}


@every_claim
def test_a_hypothesis_is_supported_where_it_is_planted(claim):
    plant = PLANTS[claim.slug]
    finding = finding_of(plant.holds.study(**plant.study), claim)
    assert finding.verdict is Verdict.SUPPORTED, finding


@every_claim
def test_a_hypothesis_is_contradicted_where_the_opposite_is_planted(claim):
    plant = PLANTS[claim.slug]
    finding = finding_of(plant.counter.study(**plant.study), claim)
    assert finding.verdict is Verdict.CONTRADICTED, finding


@every_claim
def test_noise_leaves_a_hypothesis_undecided(claim):
    plant = PLANTS[claim.slug]
    finding = finding_of(plant.holds.but(noise=4.0).study(**plant.study, seeds=(1, 2)), claim)
    assert finding.verdict is Verdict.UNDECIDED, finding
    finding_of_one_seed = finding_of(plant.holds.study(**plant.study, seeds=(1,)), claim)
    assert finding_of_one_seed.verdict is Verdict.UNDECIDED
    assert np.isfinite(finding_of_one_seed.estimate) and np.isnan(finding_of_one_seed.low)


@every_claim
def test_a_hypothesis_says_what_it_misses(claim):
    plant = PLANTS[claim.slug]
    runs = plant.holds.study(**plant.study)
    for runs_left in ([run for run in runs if plant.is_left(run)], []):
        finding = finding_of(runs_left, claim)
        assert finding.verdict is Verdict.MISSING
        assert finding.detail.startswith("needs ")


@every_claim
def test_where_nothing_is_lost_there_is_nothing_to_explain(claim):
    plant = PLANTS[claim.slug]
    keeps = plant.holds.but(lost=lambda config: 0.0 if doublings(config) == 0 else -0.5)
    finding = finding_of(keeps.study(**plant.study), claim)
    assert finding.verdict is Verdict.UNDECIDED
    assert "nothing to explain" in finding.detail
    assert finding.outlook.startswith("no number of seeds decides it")


@every_claim
@pytest.mark.parametrize("side", ["holds", "counter"])
def test_where_a_loss_is_not_shown_no_hypothesis_is_judged(claim, side):
    """The mean loss is what it was, and the seeds differ by as much: it may be nothing."""
    plant = PLANTS[claim.slug]
    world = getattr(plant, side)
    lost = {42: -5.0, 451: 0.0, 1984: 5.0}
    unsure = world.but(lost=lambda config: world.lost(config) + lost[config.seed])
    finding = finding_of(unsure.study(**plant.study), claim)
    assert finding.verdict is Verdict.UNDECIDED, finding
    assert "its premise is not shown" in finding.detail


@every_claim
def test_a_larger_size_that_lacks_what_a_hypothesis_varies_is_not_what_it_is_asked_of(claim):
    """Medium keeps all and has the plain trainings alone, and small and tiny have all of them."""
    plant = PLANTS[claim.slug]

    def moved(config):  # to the largest of the two sizes goes what was planted for medium
        return replace(config, size={"small": "medium", "tiny": "small"}[config.size])

    world = plant.holds.but(
        bits=lambda config: plant.holds.bits(moved(config)),
        lost=lambda config: plant.holds.lost(moved(config)),
        hump=lambda config: plant.holds.hump(moved(config)),
    )
    smaller = world.study(**plant.study, sizes=("tiny", "small"))
    plain = World(lost=lambda config: 0.0).study(sizes=("medium",))
    finding, finding_alone = finding_of([*smaller, *plain], claim), finding_of(smaller, claim)
    assert finding_alone.verdict is Verdict.SUPPORTED and finding_alone.substitute == ""
    assert (finding.verdict, finding.substitute) == (Verdict.SUPPORTED, "here small")
    assert (finding.low, finding.estimate, finding.high) == (
        finding_alone.low, finding_alone.estimate, finding_alone.high
    )  # fmt: skip


def test_what_is_explained_is_the_loss_of_the_cells_that_were_trained_longer():
    """A loss at other b, however great, is not what more data at this b could explain."""
    world = World(lost=lambda config: 2.0 if config.b == 10 else 0.0)
    longer = world.study(bs=(1, 5), variants=STEPS[1:])
    finding = finding_of([*world.study(), *longer], HYPOTHESES[0])
    assert finding.verdict is Verdict.UNDECIDED and "nothing to explain" in finding.detail


def test_equal_loops_and_equal_flops_can_disagree():
    """More steps help, but loops cost: at equal FLOPs the smaller b loses as much again."""
    world = World(lost=lambda c: 1.5 - 0.3 * doublings(c) - 0.3 * math.log2(c.b))
    loops, flops = (
        finding_of(world.study(variants=STEPS), claim)
        for claim in HYPOTHESES
        if claim.slug.startswith("more-data")
    )
    assert loops.verdict is Verdict.SUPPORTED
    assert flops.verdict is Verdict.CONTRADICTED
    assert flops.estimate == pytest.approx(0, abs=0.05)


def test_each_hypothesis_finds_its_runs_among_those_of_all_studies():
    def lost(config):
        lost_if_fixed = (
            5.0 - (0.11 * config.b if is_medium(config) else 0) - 0.3 * doublings(config)
        )
        return lost_if_fixed if config.b_draw == "fixed" else 0.2

    world = GAINS.but(lost=lost, noise=0)
    base = world.study(**LARGER)
    longer = world.study(variants=STEPS[1:])
    random = world.study(variants=({"b_draw": "uniform"}, {"b_draw": "poisson_lognormal"}))
    findings = judge([*random, *longer, *base], HYPOTHESES)
    for finding, claim in zip(findings, HYPOTHESES, strict=True):
        finding_alone = finding_of(
            [*base, *(random if claim.slug.startswith("random") else longer)], claim
        )
        assert finding.verdict is finding_alone.verdict is not Verdict.MISSING
        assert finding.estimate == finding_alone.estimate
    claims = judge([*random, *longer, *base])
    assert [f.estimate for f in claims] == [f.estimate for f in judge(base)]


def test_what_grows_with_the_logarithm_of_the_flops_is_interpolated_exactly():
    def flops(b):
        config = TrainConfig(size="small", b=b)
        return config.steps * config.step_flops

    world = World(bits=lambda c: math.log2(flops(c.b)) - 40, noise=0)
    cells = Cells.of(world.study(sizes=("small",), bs=(5, 10, 15)))
    flops_between = flops(7)
    (value, *other_values) = at_flops(
        cells, "small", (5, 10, 15), cells.bits, flops_between
    ).values()
    assert value == pytest.approx(math.log2(flops_between) - 40)
    assert other_values == pytest.approx([value] * 2)
    end = cells.bits("small", 15)
    assert at_flops(cells, "small", (5, 10, 15), cells.bits, 1.2 * flops(15)) == end
    assert not at_flops(cells, "small", (5, 10, 15), cells.bits, 1.3 * flops(15))


@pytest.mark.parametrize(
    ("data", "larger", "drawn_b", "conclusion"),
    [
        ("undecided", "contradicted", "contradicted", "supports the first"),
        ("not measured", "contradicted", "contradicted", "no runs of its own"),
        ("supported", "contradicted", "contradicted", "agrees with what the first one's own runs"),
        ("contradicted", "contradicted", "contradicted", "None of the three explains the loss"),
        ("supported", "contradicted", "supported", "2 of them explain the loss"),
        ("contradicted", "supported", "undecided", "stands: contradicted"),
        ("undecided", "contradicted", "supported", "not needed"),
        ("undecided", "contradicted", "undecided", "nothing follows"),
        ("not measured", "not measured", "contradicted", "nothing follows"),
    ],
)
def test_two_false_hypotheses_speak_for_the_third(data, larger, drawn_b, conclusion):
    (finding, *_) = judge([], HYPOTHESES[:1])
    verdicts = {"more-data": data, "larger-b": larger, "random-b": drawn_b}
    findings = [
        replace(finding, claim=claim.slug, verdict=Verdict(verdict))
        for prefix, verdict in verdicts.items()
        for claim in HYPOTHESES
        if claim.slug.startswith(prefix)
    ]
    reading = joint_reading(findings)
    assert conclusion in reading == joint_reading(findings[::-1])
    # what else follows, the hypothesis' own verdict stands
    assert reading.startswith(f"Too little data: {data}.")
    assert data != "contradicted" or "supports the first" not in reading
    assert "whatever its own runs say" not in reading


def test_equal_steps_and_equal_flops_that_disagree_leave_a_hypothesis_open():
    findings = judge(HELPED.study(variants=STEPS), HYPOTHESES)
    split_findings = [
        replace(f, verdict=Verdict.CONTRADICTED) if f.claim == "more-data-equal-flops" else f
        for f in findings
    ]
    assert "Too little data: supported" in joint_reading(findings)
    assert "Too little data: undecided" in joint_reading(split_findings)
    assert "Expressive models overfit to b: not measured" in joint_reading(split_findings)


@settings(max_examples=5)
@given(order=st.randoms(use_true_random=False), seed=st.integers(0, 99))
def test_order_and_ids_say_nothing(order, seed):
    variants = (*STEPS[:2], {"b_draw": "uniform"})
    runs = HELPED.but(noise=0.2).study(variants=variants, rng=seed, bs=(1, 5, 15, 30))
    shuffled_runs = [replace(run, run_id=f"other-{index}") for index, run in enumerate(runs)]
    order.shuffle(shuffled_runs)
    assert findings_table(judge(runs, HYPOTHESES)).equals(
        findings_table(judge(shuffled_runs, HYPOTHESES))
    )


@pytest.fixture(scope="module")
def everything():
    variants = (*STEPS[:2], {"b_draw": "uniform"})
    return World(noise=0.1).study(variants=variants, bs=(1, 5, 10, 15, 20, 30))


@settings(max_examples=20)
@given(chance=st.randoms(use_true_random=False), n_runs=st.sampled_from([1, 3, 10, 40, 120]))
def test_whatever_is_there_is_judged(everything, chance, n_runs):
    """Runs missing, evaluated to a few loops, without curves or stuck: no claim breaks down."""

    def harm(run):
        length = chance.choice([0, 1, 12])
        harms = [
            {"loops": {name: curve[:length] for name, curve in run.loops.items()}},
            {"training": {}},
            {"training": {name: curve[:2] for name, curve in run.training.items()}},
            {"tags": {"plateau": "true"}},
        ]
        return replace(run, **chance.choice(harms)) if chance.random() < 0.3 else run

    runs = [harm(run) for run in chance.sample(everything, n_runs)]
    findings = judge(runs, (*CLAIMS, *HYPOTHESES))
    assert joint_reading(findings)
    for finding in findings:
        if finding.verdict is Verdict.MISSING:
            assert finding.detail.startswith("needs ")
        elif np.isfinite(finding.low):
            assert finding.low <= finding.estimate + 1e-9
