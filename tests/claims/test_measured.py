"""Numbers by seed that know what prompts do to them, and the intervals that hold it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_runs import World, claim_of, configured
from scipy import stats

from analysis.claims import cells as claim_cells
from analysis.claims.by_seed import (
    Sense,
    interval,
    less,
    mean,
    mean_of,
    moved,
    p_value,
    scaled,
    standard_error,
)
from analysis.claims.cells import Cells
from analysis.claims.measured import Measured, prompt_error
from analysis.claims.power import chance_above
from analysis.runs.expressivity import prompt_influence
from analysis.runs.expressivity import standard_error as error_of_bits
from looped.records.prompt_errors import PromptErrors

N_PROMPTS, N_SEEDS = 200, 4
ON_ALL, ON_EACH = 0.9, 0.3
"""Deviation of a prompt's log error: what all models share, and a cell's own."""


def planted_errors(generator, gain, n_prompts=N_PROMPTS, spread=0.0):
    """Errors of two cells by seed and prompt, whose E differ by ``gain`` bits over all prompts."""
    hardness = ON_ALL * generator.normal(size=n_prompts)
    cells = []
    for level in (0.0, gain):
        log_errors = hardness + ON_EACH * generator.normal(size=n_prompts)
        of_seeds = spread * generator.normal(size=(N_SEEDS, 1)) - 2 * math.log(2) * level
        cells.append(np.exp(log_errors + of_seeds))
    return cells


def measured(errors, prompts="the stream"):
    bits = {seed: -0.5 * math.log2(of_seed.mean()) for seed, of_seed in enumerate(errors)}
    return Measured(bits, prompts, dict(enumerate(map(prompt_influence, errors))))


def plain_paired_error(errors, other_errors):
    """Prompt by prompt and seed by seed, as one would by hand (delta method)."""
    differences = []
    for prompt in range(errors.shape[1]):
        of_seeds = []
        for of_seed, of_other in zip(errors, other_errors, strict=True):
            first = -0.5 * of_seed[prompt] / of_seed.mean() / math.log(2)
            second = -0.5 * of_other[prompt] / of_other.mean() / math.log(2)
            of_seeds.append(first - second)
        differences.append(sum(of_seeds) / len(of_seeds))
    return float(np.std(differences, ddof=1)) / math.sqrt(len(differences))


@given(st.integers(0, 2**32 - 1))
def test_the_paired_error_is_that_of_the_differences_prompt_by_prompt(seed):
    errors, other_errors = planted_errors(np.random.default_rng(seed), gain=0.5, spread=0.2)
    difference = less(measured(other_errors), measured(errors))
    assert prompt_error(difference) == pytest.approx(plain_paired_error(other_errors, errors))
    assert prompt_error(less(measured(errors), measured(errors))) == 0


def test_of_one_run_it_is_the_error_that_every_run_has_always_said():
    (errors, _) = planted_errors(np.random.default_rng(1), gain=0.0)
    nmse, nmse_se = errors[0].mean(), errors[0].std(ddof=1) / math.sqrt(N_PROMPTS)
    assert prompt_error(measured(errors[:1])) == pytest.approx(float(error_of_bits(nmse, nmse_se)))


def test_a_number_of_fewer_prompts_has_the_first_of_them():
    """The variance of a difference of means over 100 and over the same and 100 more prompts."""
    (errors, _) = planted_errors(np.random.default_rng(2), gain=0.0)
    few, many = measured(errors[:1, :100]), measured(errors[:1])
    influences = prompt_influence(errors[0, :100]), prompt_influence(errors[0])
    expected = ((influences[0] - influences[1][:100]) ** 2).sum() + (influences[1][100:] ** 2).sum()
    assert prompt_error(less(few, many)) == pytest.approx(math.sqrt(expected))
    assert prompt_error(less(few, many)) < prompt_error(few)


def test_other_prompts_or_unknown_ones_leave_the_seeds_alone():
    errors, other_errors = planted_errors(np.random.default_rng(3), gain=0.0)
    first = measured(errors)
    for other_part in (measured(other_errors, "another"), dict(measured(other_errors))):
        difference = less(first, other_part)
        assert prompt_error(difference) == 0
        assert not isinstance(difference, Measured)


def test_what_is_linear_in_the_numbers_is_linear_in_what_prompts_do():
    first, second = map(measured, planted_errors(np.random.default_rng(4), gain=0.3))
    by_hand = scaled(less(first, second), 0.5)
    of_means = mean_of([first, scaled(second, -1)])
    assert prompt_error(by_hand) == pytest.approx(prompt_error(of_means))
    assert mean(by_hand) == pytest.approx(mean(of_means))
    assert prompt_error(moved(first, 7.0)) == prompt_error(first)


@given(st.integers(2, 6), st.floats(0.0, 1.0), st.floats(1e-6, 1.0))
def test_the_error_of_the_prompts_never_narrows_and_never_surprises(n_seeds, spread, error):
    numbers = {seed: spread * float(seed) for seed in range(n_seeds)}
    influence = np.array([1.0, -1.0]) * error / math.sqrt(2)
    part = Measured(numbers, "p", dict.fromkeys(numbers, influence))
    assert prompt_error(part) == pytest.approx(error)
    (low, high), (plain_low, plain_high) = interval(part), interval(numbers)
    assert low <= plain_low + 1e-12
    assert high >= plain_high - 1e-12
    assert high - mean(part) >= stats.norm.ppf(0.975) * error * (1 - 1e-9)
    for threshold in (low + share * (high - low) for share in (-0.01, 0.01)):
        claim = p_value({"": part}, Sense.ABOVE, threshold)
        assert (claim < 0.025) == (low > threshold)
    counts = np.array([n_seeds, 30])
    chances = chance_above(part, mean(part) - 0.1, counts, 0.025)
    plain_chances = chance_above(numbers, mean(part) - 0.1, counts, 0.025)
    assert (chances <= plain_chances + 1e-9).all()


def test_intervals_hold_the_gain_over_all_prompts_which_those_of_seeds_alone_miss():
    """400 planted studies: cells that err together, by prompts more than by seeds."""
    generator, gain = np.random.default_rng(5), 0.5
    n_held, held_by_seeds, shares = 0, 0, []
    for _ in range(400):
        errors, other_errors = planted_errors(generator, gain, spread=0.02)
        first, second = measured(errors), measured(other_errors)
        difference = less(second, first)
        low, high = interval(difference)
        seeds_low, seeds_high = interval(dict(difference))
        n_held += low <= gain <= high
        held_by_seeds += seeds_low <= gain <= seeds_high
        root_sum_of_squares = math.hypot(prompt_error(first), prompt_error(second))
        shares.append(prompt_error(difference) / root_sum_of_squares)
    assert n_held / 400 >= 0.93
    assert held_by_seeds / 400 < 0.8
    assert np.median(shares) < 0.5


def test_claims_are_measured_prompt_by_prompt_where_every_run_kept_its_errors():
    """The gain from b = 1 to 5 of two runs, and the loss beyond 5, on the prompts of the curve."""
    generator = np.random.default_rng(6)
    runs = []
    for seed in (1, 2):
        for b in (1, 5):
            run = World(noise=0.0).run(configured("tiny", b, seed), generator)
            errors = generator.chisquare(1, (2, 90)).astype(np.float32)
            prompt_errors = PromptErrors("p", {b: errors[0], 50: errors[1, :30]})
            final = {"held_out/nmse": 0.1, "held_out/nmse_se": 0.01, "held_out/prompts": 90}
            runs.append(replace(run, prompts=30, prompt_errors=prompt_errors, metrics=final))
    cells = Cells.of(runs)
    difference = less(cells.bits("tiny", 5), cells.bits("tiny", 1))
    expected = [
        prompt_influence(run.prompt_errors.by_loop[run.config.b]) * (1 if run.config.b > 1 else -1)
        for run in runs
    ]
    assert prompt_error(difference) == pytest.approx(np.sqrt(((sum(expected) / 2) ** 2).sum()))
    assert difference == {1: 0.0, 2: 0.0}  # of all prompts, not of the planted curves
    lost = cells.bits_lost("tiny", 5)
    assert {len(influence) for influence in lost.influences.values()} == {30}
    fewer = Cells.of([*runs[:-1], replace(runs[-1], metrics={})])
    assert {len(each) for each in fewer.bits("tiny", 1).influences.values()} == {30}
    assert mean(fewer.bits("tiny", 5)) > 2.5  # the curves', for all
    forgetful = Cells.of([*runs[:-1], replace(runs[-1], prompt_errors=None)])
    assert not isinstance(forgetful.bits("tiny", 5), Measured)
    assert standard_error(forgetful.bits("tiny", 5)) == standard_error(cells.bits("tiny", 5))
    assert claim_of({"": difference}).deciding_part is Sense.ABOVE


def test_the_prompts_of_enough_seeds_stand_for_those_of_the_others(monkeypatch):
    """Their mean, so that the error of the mean over all seeds is that over those."""
    monkeypatch.setattr(claim_cells, "ENOUGH_BY_PROMPT", 2)
    generator = np.random.default_rng(7)
    runs = [World(noise=0.1).run(configured("tiny", 5, seed), generator) for seed in range(5)]
    for place in (0, 1):
        errors = PromptErrors("p", {5: generator.chisquare(1, 30).astype(np.float32)})
        runs[place] = replace(runs[place], prompts=30, prompt_errors=errors)
    bits = Cells.of(runs).bits("tiny", 5, 5)
    known_influences = [prompt_influence(run.prompt_errors.by_loop[5]) for run in runs[:2]]
    assert prompt_error(bits) == pytest.approx(
        np.sqrt((np.mean(known_influences, axis=0) ** 2).sum())
    )
    assert len(bits) == 5 and list(bits.influences) == list(bits)
    one_known = Cells.of([runs[0], *runs[2:]])
    assert not isinstance(one_known.bits("tiny", 5, 5), Measured)
