"""The numbers behind claims, against ones worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from planted_runs import World, configured

from analysis.claims import cells as cells_module
from analysis.claims.by_seed import less, mean, mean_of, scaled
from analysis.claims.cells import Cells, bits_after, loss_bits

EXACT = World(noise=0.0)


def a_run(size="tiny", b=5, seed=1, **changes):
    run = EXACT.run(configured(size, b, seed), np.random.default_rng(0))
    return replace(run, **changes)


def evaluated_to(n_loops, seed):
    run = a_run(seed=seed)
    return replace(run, loops={name: values[:n_loops] for name, values in run.loops.items()})


@pytest.mark.parametrize(
    ("lengths", "reach"),
    [((), 0), ((7,), 7), ((10, 50), 50), ((10, 12, 50), 12), ((50, 12, 12, 10, 50, 50, 3), 12)],
)
def test_claims_reach_as_far_as_half_of_the_runs_were_evaluated(lengths, reach):
    cells = Cells.of([evaluated_to(length, seed) for seed, length in enumerate(lengths)])
    assert cells.reach == reach
    assert cells.farthest_loop == reach
    assert cells.where(lambda run: False).reach == reach


def test_one_run_evaluated_further_does_not_move_the_loop_that_all_are_compared_at():
    runs = [evaluated_to(20, seed) for seed in (1, 2, 3, 4)]
    further = replace(a_run(seed=5), loops={"nmse": [0.1] * 50})
    assert Cells.of([*runs, further]).farthest_loop == 20
    assert Cells.of([*runs, further]).bits_lost("tiny", 5).keys() == {1, 2, 3, 4, 5}


def test_the_study_looked_no_further_than_loop_50():
    further = replace(a_run(), loops={"nmse": [0.1] * 80})
    assert Cells.of([further]).farthest_loop == 50


@pytest.mark.parametrize(("reach", "bs"), [(20, [5, 10]), (19, [5]), (9, []), (50, [5, 10, 15])])
def test_beyond_is_twice_the_loops_or_more(reach, bs):
    runs = EXACT.study(sizes=("tiny",), bs=(1, 5, 10, 15), seeds=(1,))
    assert Cells(runs, reach).beyond() == bs
    assert Cells(runs, reach).beyond("tiny") == bs
    assert Cells(runs, reach).beyond("small") == []


def test_sizes_go_by_their_weights_and_pair_with_their_neighbours():
    cells = Cells.of(EXACT.study(sizes=("medium", "tiny", "small"), seeds=(1,)))
    assert cells.sizes == ["tiny", "small", "medium"]
    assert cells.largest == "medium"
    assert cells.pairs == [("tiny", "small"), ("small", "medium")]
    assert cells.bs() == cells.bs("small") == [1, 5, 10, 15]


def test_bits_are_those_after_b_or_after_the_loop_asked_for():
    nmse = [1.0, 0.25, 0.25**2, 0.25**3, 0.25**4, 0.25**6]
    run = a_run(loops={"nmse": nmse, "nmse_se": nmse})
    cells = Cells.of([run])
    assert cells.bits("tiny", 5) == {1: pytest.approx(4.0)}
    assert cells.bits("tiny", 5, 1) == {1: pytest.approx(0.0)}
    assert cells.bits("tiny", 5, 6) == {1: pytest.approx(6.0)}
    assert cells.bits("tiny", 5, 7) == {}
    assert cells.bits("tiny", 10) == cells.bits("small", 5) == {}
    assert cells.bits_lost("tiny", 5) == {1: pytest.approx(-2.0)}
    assert cells.bits_lost("tiny", 5, 2) == {1: pytest.approx(3.0)}
    assert np.isnan(bits_after(run, 7))


@pytest.mark.parametrize(
    ("error", "bits"),
    [(np.nan, -0.5 * np.log2(1e12)), (np.inf, -0.5 * np.log2(1e12)), (0.0, 0.5 * np.log2(1e12))],
)
def test_errors_without_bounds_count_as_the_greatest_and_the_least(error, bits):
    run = a_run(loops={"nmse": [error]}, training={"step": [1], "loss": [error]})
    assert bits_after(run, 1) == pytest.approx(bits)
    assert loss_bits(run) == pytest.approx([bits])
    assert len(loss_bits(a_run(training={}))) == 0


@pytest.mark.parametrize("n_samples", [3, 9, 10, 25, 100])
def test_the_final_loss_is_the_mean_over_the_last_tenth(n_samples):
    bits = np.arange(n_samples, dtype=float)
    training = {"step": list(range(1, n_samples + 1)), "loss": list(0.25 ** bits[:n_samples])}
    cells = Cells.of([a_run(training=training)])
    bits = loss_bits(a_run(training=training))
    n_last = {3: 1, 9: 1, 10: 1, 25: 2, 100: 10}[n_samples]
    assert cells.loss("tiny", 5, True) == {1: pytest.approx(bits[-n_last:].mean())}
    assert cells.loss("tiny", 5, False) == {1: pytest.approx(bits[0])}
    assert Cells.of([a_run(training={})]).loss("tiny", 5, True) == {}


def test_a_gap_is_what_the_larger_b_adds():
    runs = [
        a_run(b=b, training={"step": [1, 2], "loss": [1.0, 0.25**bits]})
        for b, bits in [(1, 1.0), (5, 2.5)]
    ]
    assert Cells.of(runs).gap("tiny", 1, 5) == {1: pytest.approx(1.5)}


def test_the_mean_of_bits_lost_is_over_the_b_that_reach_twice_as_far():
    runs = [
        a_run(b=b, loops={"nmse": [0.25] * b + [0.25 ** (1 - lost)] * (20 - b)})
        for b, lost in [(1, 9.0), (5, 0.5), (10, 0.25), (15, 9.0)]
    ]
    assert Cells.of(runs).mean_bits_lost("tiny") == {1: pytest.approx(0.375)}


def line_run(b, steps, bits, seed=1):
    return a_run(b=b, seed=seed, training={"step": steps, "loss": list(0.25 ** np.array(bits))})


def test_two_losses_part_by_a_slope_per_doubling_and_a_scatter():
    steps = [float(step) for step in range(0, 1001, 25)]
    doublings = np.log2(np.maximum(steps, 1))
    wobble = 0.1 * (-1.0) ** np.arange(len(steps))
    has_begun = np.array(steps) > 0
    base, parting = 2.0 * has_begun, (3 + 0.25 * doublings + wobble) * has_begun
    runs = [line_run(1, steps, base), line_run(5, steps, parting), line_run(5, steps, base, 2)]
    slopes, scatters = Cells.of(runs).parting("tiny", 5)
    late = np.array(steps) > 100
    slope, height = np.polyfit(doublings[late], (1 + 0.25 * doublings + wobble)[late], 1)
    line = slope * doublings[late] + height
    residuals = (1 + 0.25 * doublings + wobble)[late] - line
    assert slopes == {1: pytest.approx(slope)}
    assert scatters == {1: pytest.approx(float(np.std(residuals)))}


@pytest.mark.parametrize(("n_late", "is_line"), [(9, False), (10, True)])
def test_a_line_takes_ten_samples(n_late, is_line):
    steps = [0.0, *np.linspace(101, 1000, n_late)]
    bits = [0.0] + [1.0] * n_late
    slopes, _ = Cells.of([line_run(1, steps, bits), line_run(5, steps, bits)]).parting("tiny", 5)
    assert bool(slopes) is is_line


@pytest.mark.parametrize(("fall", "is_line"), [(0.49, False), (0.51, True)])
def test_a_line_begins_once_both_losses_are_below_half(fall, is_line):
    steps = list(np.linspace(0, 1000, 41))
    low, base = [0.0] + [fall] * 40, [0.0] + [2.0] * 40
    for first, second in [(low, base), (base, low)]:
        cells = Cells.of([line_run(1, steps, first), line_run(5, steps, second)])
        assert bool(cells.parting("tiny", 5)[0]) is is_line


def test_losses_logged_at_other_steps_are_compared_where_both_are_known():
    steps = list(np.linspace(0, 1000, 41))
    cells = Cells.of([
        line_run(1, steps, [0.0] + [2.0] * 40),
        line_run(5, [step + 0.5 for step in steps], [0.0] + [2.0] * 40),
    ])  # fmt: skip
    assert cells.parting("tiny", 5) == ({}, {})


def test_numbers_are_taken_within_the_seeds_that_both_have():
    first, second = {1: 1.0, 2: 2.0, 3: 4.0}, {2: 0.5, 3: 1.0, 9: 7.0}
    assert less(first, second) == {2: 1.5, 3: 3.0}
    assert mean_of([first, second]) == {2: 1.25, 3: 2.5}
    assert mean_of([first, {}]) == first
    assert mean_of([]) == mean_of([{}, {}]) == {}
    assert scaled(first, -2) == {1: -2.0, 2: -4.0, 3: -8.0}
    assert mean(first) == pytest.approx(7 / 3)


def test_the_studys_own_numbers_are_as_it_states_them():
    assert (cells_module.FARTHEST_LOOP, cells_module.STUDIED_B) == (50, 15)
