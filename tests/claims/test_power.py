"""How many seeds would decide a claim, and what all verdicts together are worth."""

import doctest
import math
from dataclasses import replace

import numpy as np
import pytest
from planted_runs import World, claim_of
from scipy import stats

from analysis.claims import power, rules
from analysis.claims.by_seed import Sense, weakest
from analysis.claims.cells import Cells
from analysis.claims.claim import Premise, Verdict
from analysis.claims.claims import CLAIMS, judge
from analysis.claims.family import family_reading
from analysis.claims.findings import weigh
from analysis.claims.power import MOST_SEEDS, chances_of, outlook_of
from analysis.runs import journals

CELLS = Cells.of(World().study(sizes=("tiny",), bs=(5,)))
SPREAD = {42: -1.0, 451: 0.0, 1984: 1.0}
"""Of standard deviation 1."""


def part(mean, scatter=1.0):
    return {seed: mean + scatter * value for seed, value in SPREAD.items()}


def simulated_chances(parts, claim, n_seeds, n_studies=4000):
    """Draw studies that are as the parts say, and weigh each: the slow twin."""
    rng = np.random.default_rng(1)
    numbers = {name: (np.mean([*p.values()]), np.std([*p.values()], ddof=1))
               for name, p in parts.items()}  # fmt: skip
    counts = dict.fromkeys(Verdict, 0)
    for _ in range(n_studies):
        study = {
            name: dict(enumerate(rng.normal(mean, scatter, n_seeds)))
            for name, (mean, scatter) in numbers.items()
        }
        _, low, high = weakest(study, claim.deciding_part)
        counts[claim.verdict(low, high)] += 1
    return counts[Verdict.SUPPORTED] / n_studies, counts[Verdict.CONTRADICTED] / n_studies


@pytest.mark.parametrize("sense", list(Sense))
@pytest.mark.parametrize("mean", [-1.5, 0.0, 2.0])
@pytest.mark.parametrize("n_seeds", [3, 8])
def test_the_chances_of_one_part_are_those_of_simulated_studies(sense, mean, n_seeds):
    claim, parts = claim_of({}, sense, 0.6), {"one": part(mean)}
    chances = chances_of(parts, claim, [n_seeds])
    simulated = simulated_chances(parts, claim, n_seeds, 2000)
    assert (chances.support[0], chances.contradiction[0]) == pytest.approx(simulated, abs=0.06)


@pytest.mark.parametrize("sense", list(Sense))
@pytest.mark.parametrize("for_some", [False, True])
def test_the_chances_of_several_parts_are_never_above_those_of_simulated_studies(sense, for_some):
    if for_some and sense is Sense.WITHIN:
        return  # no claim is so
    claim = claim_of({}, sense, 0.5, for_some=for_some)
    for means in [(1.5, 1.8), (0.0, 2.0), (-1.0, -0.6)]:
        parts = {str(mean): part(mean) for mean in means}
        chances = chances_of(parts, claim, [6])
        support, contradiction = simulated_chances(parts, claim, 6, 1000)
        assert chances.support[0] <= support + 0.04
        assert chances.contradiction[0] <= contradiction + 0.04


def test_the_number_of_seeds_is_the_first_that_is_enough():
    outlook = outlook_of({"one": part(1.0)}, claim_of({}))
    seeds = int(outlook.seeds)
    assert outlook.words == f"about {seeds} seeds would support it at this scatter"
    support = chances_of({"one": part(1.0)}, claim_of({}), [seeds - 1, seeds]).support
    assert support[0] < 0.8 <= support[1]
    assert seeds == 10  # of a one-sided test at 2.5 % with an effect of one standard deviation


def test_more_seeds_are_needed_the_nearer_the_threshold():
    seeds = [outlook_of({"one": part(mean)}, claim_of({})).seeds for mean in (2.0, 1.0, 0.7, 0.55)]
    assert seeds == sorted(seeds)
    assert math.isnan(outlook_of({"one": part(0.1)}, claim_of({})).seeds)


@pytest.mark.parametrize(
    ("mean", "sense", "words"),
    [
        (1.0, Sense.ABOVE, "about 10 seeds would support it at this scatter"),
        (-1.0, Sense.ABOVE,
         "the estimate points the other way: about 10 seeds would contradict it at this scatter"),
        (-1.0, Sense.BELOW, "about 10 seeds would support it at this scatter"),
        (1.0, Sense.BELOW,
         "the estimate points the other way: about 10 seeds would contradict it at this scatter"),
        (0.1, Sense.ABOVE,
         f"no number of seeds up to {MOST_SEEDS} would support it at this scatter"),
        (-0.1, Sense.ABOVE, "the estimate points the other way: no number of seeds up to "
         f"{MOST_SEEDS} would contradict it at this scatter"),
    ],
)  # fmt: skip
def test_a_number_of_seeds_says_which_way_it_would_decide(mean, sense, words):
    parts = {"one": part(mean)}
    finding = weigh(CELLS, [], claim_of(parts, sense))
    assert finding.verdict is Verdict.UNDECIDED
    assert finding.outlook == words
    assert math.isnan(finding.seeds) is ("no number" in words)


def test_a_premise_counts_among_what_is_to_be_shown():
    def seeds(explained):
        premise = Premise("nothing is lost", lambda cells: explained, 0.1)
        return weigh(CELLS, [], claim_of({"one": part(1.5)}, premise=premise))

    alone, clear, faint = seeds(part(9.0, 0.01)), seeds(part(3.0)), seeds(part(0.8))
    assert alone.seeds <= clear.seeds < faint.seeds
    assert faint.outlook.endswith("its premise shown too")
    none = seeds(part(0.05))
    assert math.isnan(none.seeds)
    assert none.outlook == (
        "no number of seeds decides it, as the estimate of its premise says that nothing is lost"
    )


def test_one_seed_shows_no_scatter():
    finding = weigh(CELLS, [], claim_of({"one": {42: 1.0}}))
    assert math.isnan(finding.seeds)
    assert finding.outlook == "how many seeds would decide it is not known: that takes 2 seeds"


@pytest.mark.parametrize("module", [power, rules, journals])
def test_the_examples_run(module):
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0


def test_only_what_is_undecided_has_an_outlook():
    for world in (World(), World(noise=0.5)):
        for finding in judge(world.study(sizes=("tiny", "small"))):
            is_open = finding.verdict is Verdict.UNDECIDED
            assert bool(finding.outlook) is is_open
            assert is_open or math.isnan(finding.seeds)


def test_as_many_seeds_as_it_says_decide_a_claim():
    """The truth is planted, and the scatter known: a study of so many seeds is decided."""
    claim = claim_of({}, Sense.BELOW, 0.0)
    parts = {"a": part(-1.0, 0.9), "b": part(-1.3, 1.1)}
    seeds = int(outlook_of(parts, claim).seeds)
    support, _ = simulated_chances(parts, claim, seeds, 1000)
    assert 0.78 < support < 0.95


def test_the_family_counts_what_comes_by_chance_and_what_stands():
    findings = judge(World(noise=0.05).study())
    measured_findings = [finding for finding in findings if not math.isnan(finding.p)]
    reading = family_reading([*findings, *judge([], CLAIMS[:2])])
    assert reading.startswith(
        f"{len(measured_findings)} of {len(findings) + 2} claims and hypotheses have"
    )
    assert (
        f"up to {0.025 * len(measured_findings):.2g} would be expected wrong by chance" in reading
    )
    for finding in findings:
        is_standing = finding.verdict != "undecided" and finding.p < 0.025 / len(measured_findings)
        assert (f"({finding.claim}" in reading or f" {finding.claim}" in reading) is is_standing
    assert family_reading(judge([])) == (
        f"None of the {len(CLAIMS)} claims and hypotheses has an interval."
    )


def test_what_its_premise_leaves_open_does_not_stand_however_small_its_p():
    premise = Premise("nothing is lost", lambda cells: part(0.0), 0.1)
    (open_finding, clear) = (
        weigh(CELLS, [], claim_of({"one": part(9.0, 0.001)}, premise=which))
        for which in (premise, None)
    )
    reading = family_reading([open_finding, replace(clear, claim="clear")])
    assert "2 of 2 claims and hypotheses have an interval, and 1 of them a verdict" in reading
    assert "1 stand (clear)" in reading


def test_chances_are_those_of_the_noncentral_t_however_far_the_truth_lies():
    generator = np.random.default_rng(0)
    degrees = generator.integers(1, 10_000, 20_000).astype(float)
    shift = np.clip(
        generator.normal(size=20_000) * 10 ** generator.uniform(-1, 4, 20_000), -1e4, 1e4
    )
    for error in (0.05, 0.025, 0.001):
        # a plain twin, which takes SciPy's distributions half a second to load
        twin = stats.nct.sf(stats.t.isf(error, degrees), degrees, shift)
        np.testing.assert_allclose(power._chance_of_t(shift, degrees, error), twin, atol=1e-12)
