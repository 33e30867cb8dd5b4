"""Which runs a claim compares, and how numbers by seed become a verdict and its words."""

import math
from dataclasses import replace

import numpy as np
import pytest
from planted_runs import World, claim_of, configured
from scipy import stats

from analysis.claims.by_seed import MissingRunsError, Sense, interval, weakest
from analysis.claims.cells import Cells
from analysis.claims.claim import Premise, Verdict
from analysis.claims.findings import comparable, weigh

EXACT = World(noise=0.0, n_loops=20)
SHORT, LONG = {"steps": 7500}, {"steps": 15000}
QUICK, SLOW = {"learning_rate": 0.002}, {"learning_rate": 0.0005}


def runs_of(n_runs=1, b=5, **variant):
    return [
        EXACT.run(configured("tiny", b, seed, **variant), np.random.default_rng(0))
        for seed in range(n_runs)
    ]


CELLS = Cells(runs_of(2), 20)


@pytest.mark.parametrize(("more", "fewer"), [(QUICK, SLOW), (SLOW, QUICK)])
def test_of_two_recipes_the_one_with_more_runs_is_compared(more, fewer):
    runs = [*runs_of(2, **fewer), *runs_of(3, **more)]
    for order in (runs, runs[::-1]):
        cells, left_out = comparable(order, ())
        assert {run.config.learning_rate for run in cells.runs} == {more["learning_rate"]}
        assert len(cells.runs) == 3
        assert left_out == ["2 of other recipes left out"]


@pytest.mark.parametrize(("varied", "steady"), [(QUICK, SLOW), (SLOW, QUICK)])
def test_where_a_setting_may_vary_the_recipe_in_which_it_does_is_compared(varied, steady):
    runs = [*runs_of(5, **steady), *runs_of(1, **varied, **SHORT), *runs_of(1, **varied, **LONG)]
    cells, left_out = comparable(runs, ("steps",))
    assert sorted(run.config.steps for run in cells.runs) == [7500, 15000]
    assert left_out == ["5 of other recipes left out"]
    assert len(comparable(runs, ())[0].runs) == 5


def test_runs_that_cannot_be_compared_are_counted_by_their_reason():
    runs = runs_of(6)
    runs[0] = replace(runs[0], tags={"plateau": "true"})
    runs[1] = replace(runs[1], loops={})
    runs[2] = replace(runs[2], loops={"nmse": [0.5] * 4})  # not as far as its b
    cells, left_out = comparable([*runs, *runs_of(1, **SLOW)], ())
    assert sorted(run.config.seed for run in cells.runs) == [3, 4, 5]
    assert left_out == [
        "1 plateaued left out", "2 not evaluated", "1 of other recipes left out",
    ]  # fmt: skip
    assert comparable([], ()) == (Cells([], 0), [])
    assert comparable(runs_of(2), ())[1] == []


def test_a_recipe_counts_by_its_usable_runs():
    stuck = [replace(run, tags={"plateau": "true"}) for run in runs_of(5, **QUICK)]
    cells, left_out = comparable([*stuck, *runs_of(2, **SLOW)], ())
    assert {run.config.learning_rate for run in cells.runs} == {0.0005}
    assert left_out == ["5 of other recipes left out"]


def test_of_one_configuration_the_run_that_says_most_is_kept():
    (run,) = runs_of(1)
    stuck = replace(run, tags={"plateau": "true"})
    shorter = replace(run, loops={"nmse": run.loops["nmse"][:10]})
    for runs in ([run, stuck, shorter], [shorter, stuck, run], [stuck, run]):
        cells, left_out = comparable(runs, ())
        assert [len(kept_run.loops["nmse"]) for kept_run in cells.runs] == [20]
        assert left_out == []


@pytest.mark.parametrize(
    ("sense", "low", "high", "verdict"),
    [
        (Sense.ABOVE, 1.1, 2.0, "supported"), (Sense.ABOVE, 1.0, 2.0, "undecided"),
        (Sense.ABOVE, 0.0, 0.9, "contradicted"), (Sense.ABOVE, 0.0, 1.0, "undecided"),
        (Sense.BELOW, 1.1, 2.0, "contradicted"), (Sense.BELOW, 1.0, 2.0, "undecided"),
        (Sense.BELOW, 0.0, 0.9, "supported"), (Sense.BELOW, 0.0, 1.0, "undecided"),
        (Sense.WITHIN, 1.1, 2.0, "contradicted"), (Sense.WITHIN, 0.0, 0.9, "supported"),
        (Sense.WITHIN, 0.5, 1.5, "undecided"),
    ],
)  # fmt: skip
def test_a_verdict_needs_the_whole_interval_on_one_side(sense, low, high, verdict):
    assert claim_of({}, sense, 1.0).verdict(low, high) == verdict


def test_a_rule_says_which_side_is_which():
    assert claim_of({}, Sense.ABOVE, 0.12345678).rule == (
        "supported if the interval lies above 0.1235, contradicted if below it"
    )
    assert claim_of({}, Sense.BELOW, 2).rule == (
        "supported if the interval lies below 2, contradicted if above it"
    )
    premise = Premise("nothing is lost", lambda cells: {}, 0.1)
    assert claim_of({}, Sense.WITHIN, 0.1, premise=premise).rule == (
        "supported if the interval lies below 0.1 in absolute value, contradicted if above it, "
        "undecided where nothing is lost, or that is not ruled out"
    )


def test_a_ratio_of_errors_is_4_to_the_bits():
    ratio = claim_of({}, ratio=True)
    assert [ratio.in_unit(bits) for bits in (0, 0.5, -1)] == [1, 2, 0.25]
    assert ratio.in_unit(499) == 4.0**499
    assert ratio.in_unit(500) == ratio.in_unit(math.inf) == math.inf
    assert claim_of({}).in_unit(700) == 700


def test_a_finding_names_every_part_with_its_seeds():
    parts = {"one": {1: 1.0, 2: 1.5}, "other": {7: 2.0}, "third": {}}
    finding = weigh(CELLS, ["3 left out"], claim_of(parts, beside=lambda cells: {
        "besides": {1: 0.25}, "nothing": {},
    }))  # fmt: skip
    low, high = interval(parts["one"])
    assert finding.detail == (
        f"one 1.25 [{low:.4g}, {high:.4g}] (seeds: 1, 1.5); other 2 (seed 7); "
        "third has no seed in common; beside it, besides 0.25 (seed 1) bits; 3 left out"
    )
    assert finding.estimate == 1.25
    assert (finding.claim, finding.statement, finding.statistic, finding.reason) == (
        "a-claim", "It is so.", "bits", "a reason",
    )  # fmt: skip
    assert finding.verdict is Verdict.UNDECIDED


def test_a_finding_in_ratios_says_them_everywhere():
    parts = {"one": {1: 0.5, 2: 1.0}}
    finding = weigh(CELLS, [], claim_of(parts, threshold=1.0, ratio=True))
    low, high = (4.0**end for end in interval(parts["one"]))
    assert (finding.estimate, finding.low, finding.high) == pytest.approx((4**0.75, low, high))
    assert finding.detail == f"one {4**0.75:.4g} [{low:.4g}, {high:.4g}] (seeds: 2, 4)"


@pytest.mark.parametrize(
    ("explained", "words"),
    [
        ((0.099, 0.099, 0.099), "nothing is lost: 0.099 ["),
        ((0.05, 0.2, 0.5), "its premise is not shown: 0.25 ["),  # the low end is below
        ((0.2,), "its premise is not shown: 0.2 (seed 0) bits, where more than 0.1 is needed"),
        ((), "its premise needs runs of what it explains"),
        ((0.101, 0.101, 0.101), None),
    ],
)
@pytest.mark.parametrize("sense", [Sense.ABOVE, Sense.BELOW])
def test_unless_there_is_shown_to_be_something_to_explain_the_verdict_stays_open(
    explained, words, sense
):
    premise = Premise("nothing is lost", lambda cells: dict(enumerate(explained)), 0.1)
    claim = claim_of({"one": {1: 1.0, 2: 1.1, 3: 1.2}}, sense, premise=premise)
    finding = weigh(CELLS, [], claim)
    judged = Verdict.SUPPORTED if sense is Sense.ABOVE else Verdict.CONTRADICTED
    assert finding.verdict is (judged if words is None else Verdict.UNDECIDED)
    assert words is None or finding.detail.startswith(words)


def test_a_premise_that_nobody_measured_leaves_the_verdict_open():
    def missing(cells):
        raise MissingRunsError("needs longer runs")

    premise = Premise("nothing is lost", missing, 0.1)
    finding = weigh(CELLS, [], claim_of({"one": {1: 1.0, 2: 1.1}}, premise=premise))
    assert finding.verdict is Verdict.UNDECIDED
    assert finding.detail.startswith("its premise needs longer runs; one 1.05 [")
    assert finding.outlook == "no number of seeds decides it without runs of its premise"


def test_no_runs_no_parts_and_no_seeds_in_common_are_told_apart():
    def words(cells, parts):
        finding = weigh(cells, ["2 left out"], claim_of(parts))
        assert finding.verdict is Verdict.MISSING
        return finding.detail

    assert words(Cells([], 0), {"one": {1: 1.0}}) == (
        "needs runs that learned and are evaluated; 2 left out"
    )
    assert words(CELLS, {"one": {}}) == (
        "needs runs of the same seed in the cells that it compares; 2 left out"
    )


def students(values, level=0.95):
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1)
    half /= math.sqrt(len(values))
    return np.mean(values) - half, np.mean(values) + half


def test_the_weakest_part_has_its_own_end_and_a_corrected_one():
    parts = {"a": {1: 1.0, 2: 1.2, 3: 1.1}, "b": {1: 0.5, 2: 0.9, 3: 0.7}}
    (a, b), level = (list(part.values()) for part in parts.values()), 1 - 0.05 / 2
    lows, highs = zip(students(a), students(b), strict=True)
    wide_lows, wide_highs = zip(students(a, level), students(b, level), strict=True)
    assert weakest(parts, Sense.BELOW) == pytest.approx((1.1, max(wide_lows), max(highs)))
    assert weakest(parts, Sense.ABOVE) == pytest.approx((0.7, min(lows), min(wide_highs)))
    widest_lows = [students(part, 1 - 0.05 / 4)[0] for part in (a, b)]  # 2 parts, 2 sides of 0
    within = (1.1, max(*widest_lows, 0), max(highs))
    assert weakest(parts, Sense.WITHIN) == pytest.approx(within)
    negative = {name: {seed: -x for seed, x in part.items()} for name, part in parts.items()}
    assert weakest(negative, Sense.WITHIN) == pytest.approx(within)
    across = {"a": {1: -0.1, 2: 0.1, 3: 0.06}}
    (low, high) = students(list(across["a"].values()))
    assert weakest(across, Sense.WITHIN) == pytest.approx((0.02, 0.0, max(-low, high)))
