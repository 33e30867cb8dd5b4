"""The regret of the size's own rate, and the law at the best, on runs whose truth is planted."""

import math
import re
from statistics import fmean

import numpy as np
import pytest
from planted_runs import BASE, World

from analysis.answers import rates
from analysis.answers.rates import choices_of_others, read_rates
from analysis.claims.claims import Verdict
from analysis.claims.treatments import judge_treatments
from analysis.report.figures import rates as rates_report
from analysis.report.subject import choose
from looped.sizes import SIZES

FACTORS = ({}, {"learning_rate_factor": 0.5}, {"learning_rate_factor": 2.0})
REGRET = 0.3


def law_of(phi):
    """E of a joint law with a weight's exponent of 1 and a plain phi."""
    return lambda config: BASE[config.size] + 0.5 * phi * math.log2(config.b)


def better_at(best_factor, gain=REGRET):
    def bits(config):
        factor = config.rate / SIZES[config.size].learning_rate
        return law_of(0.5)(config) + (gain if factor == best_factor and config.b > 1 else 0.0)

    return bits


def verdicts(runs):
    return {finding.claim: finding.verdict for finding in judge_treatments(runs)}


def plain_regret(own_bits, gains):
    """The best rate by the other seeds' mean, measured on the seed left out."""
    bits_left_out = []
    for left_out in own_bits:
        best_mean, best_factor = 0.0, None
        for factor in gains:
            mean = fmean(bits for seed, bits in gains[factor].items() if seed != left_out)
            if mean > best_mean:
                best_mean, best_factor = mean, factor
        bits_left_out.append(gains[best_factor][left_out] if best_factor else 0.0)
    return fmean(bits_left_out)


@pytest.mark.parametrize("truth", [(0.0, 0.0, 0.0), (0.0, 0.3, 0.0), (-0.2, 0.1, 0.1)])
@pytest.mark.parametrize("n_seeds", [3, 5])
def test_the_interval_covers_and_the_estimate_is_not_that_of_the_greatest_mean(truth, n_seeds):
    rng, n_studies, regret = np.random.default_rng(7), 400, max(0.0, *truth)
    rows = []
    for _ in range(n_studies):
        own_bits = dict(enumerate(rng.normal(0, 0.1, n_seeds)))
        gains = {
            factor: {seed: gain + rng.normal(0, 0.1) - bits for seed, bits in own_bits.items()}
            for factor, gain in zip((0.5, 2.0, 4.0), truth, strict=True)
        }
        rows.append(rates._regret("tiny", 5, own_bits, gains))
        assert rows[-1]["regret"] == pytest.approx(plain_regret(own_bits, gains))
    low, high, estimate, greatest = (
        np.array([row[name] for row in rows])
        for name in ("regret_low", "regret_high", "regret", "greatest_mean")
    )
    chance = 3 * math.sqrt(0.025 * 0.975 / n_studies)
    assert (low > regret).mean() < 0.025 + chance
    assert (high < regret).mean() < 0.025 + chance
    is_tied = (0.0, *truth).count(regret) > 1
    assert greatest.mean() > regret + (0.01 if is_tied else -0.02)
    assert estimate.mean() < regret + 0.02


def test_a_planted_regret_is_found_with_its_edge_and_its_law():
    runs = World(bits=better_at(2.0), noise=0.01).study(variants=FACTORS)
    comparison = read_rates(runs, resamples=20)
    regrets = comparison.regrets.set_index(["size", "b"])
    looped_rows = regrets[regrets.index.get_level_values("b") > 1]
    assert list(looped_rows["edge"].unique()) == ["greatest"]
    assert looped_rows["regret"].to_numpy() == pytest.approx(REGRET, abs=0.05)
    is_covered = looped_rows["regret_low"].lt(REGRET) & looped_rows["regret_high"].gt(REGRET)
    assert is_covered.mean() > 0.8
    assert regrets["regret"].xs(1, level="b").abs().max() < 0.05
    difference, low, high = comparison.law.phi
    assert difference == pytest.approx(
        comparison.law.fit_at_best.phi[0] - comparison.law.fit_at_own.phi[0]
    )
    assert 0 < low < difference < high
    cells = comparison.law.cells.set_index(["size", "b"])
    assert (cells["lower"] < cells["difference"]).all()
    assert cells["difference"]["small", 15] == pytest.approx(REGRET, abs=0.1)
    assert verdicts(runs)["own-rate"] is Verdict.CONTRADICTED


def test_where_the_own_rate_is_the_best_there_is_nothing_to_regret():
    runs = World(bits=better_at(1.0), noise=0.01).study(("tiny", "small"), variants=FACTORS)
    comparison = read_rates(runs, resamples=20)
    assert (comparison.regrets[comparison.regrets["b"] > 1]["edge"] == "").all()
    assert (comparison.regrets["regret_low"] == 0).all()
    assert verdicts(runs)["own-rate"] is Verdict.SUPPORTED
    assert comparison.law.phi[0] == pytest.approx(0, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("best_factor", [1.0, 9.0])  # which none has: all rates are equal
def test_intervals_of_what_the_law_gains_cover_that_it_gains_nothing(best_factor):
    n_studies, misses, cells_missed = 60, 0, []
    for rng in range(n_studies):
        world = World(bits=better_at(best_factor), noise=0.05, n_loops=16)
        runs = world.study(("tiny", "small"), (1, 5, 15), variants=FACTORS, rng=rng)
        law = read_rates(runs, resamples=2).law
        misses += not law.phi[1] <= 0 <= law.phi[2]
        cells_missed += [*((law.cells["lower"] > 0) | (law.cells["upper"] < 0))]
    assert misses / n_studies < 0.05 + 3 * math.sqrt(0.05 * 0.95 / n_studies)
    assert fmean(cells_missed) < 0.1


def test_a_rate_asked_for_by_its_number_is_the_same_rate():
    halves = [{}, {"learning_rate": 5e-4}]
    by_number = World(bits=law_of(0.5)).study(("tiny",), (1, 5), variants=halves)
    by_factor = World(bits=law_of(0.5)).study(("tiny",), (1, 5), variants=FACTORS[:2])
    tables = [read_rates(runs).regrets for runs in (by_number, by_factor)]
    assert tables[0].equals(tables[1])
    assert read_rates(by_number[:6]) is None
    assert "2 sizes" in read_rates(by_number).law


def test_choices_need_another_seed():
    assert choices_of_others({1: 0.5}, {2.0: {1: 0.5}}) == {}
    table = read_rates(World().study(("tiny",), (5,), (1,), variants=FACTORS)).regrets
    assert table[["regret", "regret_low", "regret_high"]].isna().all(axis=None)


def test_the_report_shows_rates_where_there_are_some():
    runs = World(bits=better_at(2.0), noise=0.01).study(
        ("tiny", "small"), (1, 5, 10), variants=FACTORS
    )
    (subject,) = choose(runs, {})
    (exhibit,) = rates_report.exhibits(subject, 20)
    row = exhibit.shown_table.set_index(["size", "b"]).loc["small", 5]
    estimate, low, high = map(float, re.findall(r"[\d.]+", row["regret, bits"]))
    assert low < estimate < high and estimate == pytest.approx(REGRET, abs=0.05)
    assert row["rate of the greatest mean, over the own"] == "2, the greatest tried"
    assert "phi" in exhibit.result and "it differs" in exhibit.result
    assert len(exhibit.figure.axes) == 2
    (one_rate,) = choose(World().study(("tiny",), (1, 5)), {})
    assert rates_report.exhibits(one_rate, 20) == []


def test_seeds_of_the_own_rate_alone_take_no_part():
    gains = {2.0: {1: 0.3, 2: 0.4}}
    own_bits = dict.fromkeys((1, 2, 3, 4, 5), 1.0)
    assert choices_of_others(own_bits, gains) == {1: 2.0, 2: 2.0}
    row = rates._regret("tiny", 5, own_bits, gains)
    assert (row["seeds"], row["regret"]) == (2, pytest.approx(0.35))


def test_a_regret_below_none_is_shown_as_none():
    gains = {2.0: {1: 0.3, 2: -0.2}}
    row = rates._regret("tiny", 5, {1: 1.0, 2: 1.0}, gains)
    assert row["regret"] == pytest.approx(-0.1)
    assert rates_report._row(row)["regret, bits"].startswith("0 [0, ")
