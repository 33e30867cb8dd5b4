"""What follows from a law, against small cases worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import planted_answers
import pytest
from golden import require_text

from analysis.answers import answers as answers_of
from analysis.answers import costs, exchange
from analysis.answers import text as text_of_answers
from analysis.answers.answers import answer, curves_of, shown_curves
from analysis.answers.costs import budgets
from analysis.answers.exchange import Crossing
from analysis.answers.loops import loop_curves
from analysis.answers.text import describe
from analysis.runs.expressivity import expressivity
from analysis.runs.selection import select
from analysis.scaling.fit import fit_scaling
from looped.config import TrainConfig

LAW = "saturating_power/of_E_M"


@pytest.fixture(scope="module")
def runs():
    return planted_answers.two_lengths()


@pytest.fixture(scope="module")
def answers(runs):
    selection = select(runs, recipe=runs[0].config.recipe_identity)
    return answer(selection, fit_scaling(selection.table, form=LAW, resamples=100), runs, 100)


def test_the_text_is_as_it_was_when_somebody_read_it(answers):
    require_text(describe(answers), "answers.txt")


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((4.234, 3.1, 7.91), "b = 4.23 [3.1, 7.91]"),
        ((4.2, 3.1, math.inf), "b = 4.2 [3.1, never]"),
        ((math.inf, 3.123, math.inf), "never; within the interval from b = 3.12"),
        ((math.inf, math.inf, math.inf), "never"),
    ],
)
def test_a_crossing_is_said_in_words(ends, words):
    assert str(Crossing(*ends)) == words


def test_a_rising_curve_is_crossed_between_what_was_looked_at():
    bs = np.array([1.0, 2.0, 4.0])
    assert exchange._first(bs, np.array([-3.0, -1.0, 3.0])) == 2.5
    assert exchange._first(bs, np.array([0.0, 1.0, 3.0])) == 1
    assert exchange._first(bs, np.array([-1.0, 0.0, 3.0])) == 2
    assert exchange._first(bs, np.array([-3.0, -2.0, -1.0])) == math.inf


def test_the_last_worthwhile_is_beyond_every_b_that_gains_enough():
    bs = np.array([1.0, 2.0, 4.0])
    assert exchange.WORTHWHILE_BITS == 0.01
    assert exchange._last(bs, np.array([0.5, 0.01, 0.0099])) == 4
    assert exchange._last(bs, np.array([0.5, 0.001, 0.001])) == 2
    assert exchange._last(bs, np.array([0.001, 0.02, 0.001])) == 4
    assert exchange._last(bs, np.array([0.009, 0.009, 0.001])) == 1
    assert exchange._last(bs, np.array([0.5, 0.1, 0.1])) == math.inf


def test_a_front_holds_what_nothing_as_cheap_equals():
    cost, bits = pd.Series([3.0, 1.0, 2.0, 2.0, 4.0]), pd.Series([2.0, 1.0, 1.0, 1.5, 2.0])
    assert list(costs.front(cost, bits)) == [True, True, False, True, False]


def test_the_cheapest_within_a_hundredth_of_the_best_is_bought():
    table = pd.DataFrame(
        {
            "size": ["a", "b", "c"], "b": [1, 2, 3], "bits": [1.0, 1.0101, 1.02], "lower": 0.0,
            "upper": 9.0, "beyond": [False, False, True], "infer_flops": [1.0, 2.0, 3.0],
        }
    )  # fmt: skip
    best = costs.best_for(table, "infer", [0.9, 1.0, 2.0, 9.0])
    assert best.to_dict("list") == {
        "budget": [1.0, 2.0, 9.0], "size": ["a", "b", "b"], "b": [1, 2, 2],
        "bits": [1.0, 1.0101, 1.0101], "lower": [0.0] * 3, "upper": [9.0] * 3,
        "beyond": [False, False, False],
    }  # fmt: skip


def test_an_exchange_rate_and_its_ends_are_where_the_difference_is_nought(answers):
    fit = answers.fit
    crossing = answers.exchange["tiny", "small"]

    def ends(b):
        lifted, target = (
            pd.DataFrame({"size": [size], "b": [loops]})
            for size, loops in (("tiny", b), ("small", 1))
        )
        return np.ravel(fit.difference(lifted, target, 0.95))

    assert ends(crossing.b)[0] == pytest.approx(0, abs=1e-3)
    assert ends(crossing.lower)[2] == pytest.approx(0, abs=2e-3)
    assert ends(crossing.upper)[1] == pytest.approx(0, abs=2e-3)
    value, low, high = ends(5.0)
    prediction = fit.predict({"size": ["tiny", "small"], "b": [5, 1]})
    assert value == pytest.approx(prediction[0] - prediction[1])
    assert high - value == pytest.approx(value - low)


def test_costs_are_looked_at_to_twice_the_largest_b(answers):
    table = answers.costs
    assert list(table["b"]) == [*range(1, 31)] * 3
    assert list(table["size"].unique()) == list(answers.fit.run_table.sizes)
    assert (table["beyond"] == (table["b"] > 15)).all()
    lower, upper = answers.fit.interval(table)
    assert list(table["lower"]) == list(lower)
    assert list(table["upper"]) == list(upper)


def test_budgets_are_spaced_evenly_and_rounded_up():
    table = pd.DataFrame({"train_flops": [1.5e3, 2e4, 1.5e8]})
    raw = [1.5e3 * 10**power for power in range(6)]
    assert budgets(table, "train") == [2.0 * 10 ** (3 + power) for power in range(6)]
    assert budgets(table, "train", 2) == [2e3, 2e8]
    assert len(budgets(table, "train")) == len(raw)


def test_curves_come_by_size_b_and_seed(answers, runs):
    table = curves_of(answers.selection.runs[::-1], ["small", "tiny", "medium"])
    keys = list(zip(table["size"], table["b"], table["seed"], strict=True))
    sizes = ["small", "tiny", "medium"]
    assert keys == [(size, b, seed) for size in sizes for b in (1, 5, 10, 15) for seed in (1, 2)]
    by_id = {run.run_id: run for run in runs}
    for row in table.to_dict("records"):
        assert by_id[row["run_id"]].config.seed == row["seed"]
    curve_by_cell = shown_curves(answers)
    assert list(curve_by_cell) == [
        (s, b) for s in answers.fit.run_table.sizes for b in (1, 5, 10, 15)
    ]
    first = next(r for r in answers.selection.runs
                 if (r.config.size, r.config.b, r.config.seed) == ("tiny", 5, 1))  # fmt: skip
    assert curve_by_cell["tiny", 5] == list(expressivity(first.loops["nmse"]))


def test_the_joint_law_takes_other_lengths_of_the_same_training_alone(runs):
    selection = select(runs, recipe=runs[0].config.recipe_identity)
    config = runs[1].config
    further_runs = [
        replace(runs[1], config=replace(config, learning_rate=0.5, seed=9)),
        replace(runs[1], config=replace(config, seed=10), tags={"plateau": "true"}),
        replace(runs[1], config=replace(config, seed=11), loops={"nmse": []}),
        replace(runs[1], config=replace(config, seed=12)),
        runs[1],
    ]
    assert answers_of._joint(selection, [*runs, *further_runs], 100).n_runs == len(runs) + 1


def test_landmarks_of_a_curve_follow_from_its_formula():
    loops = np.arange(1, 51.0)
    start, rise, rate, stretch, fall, decay, onset = parameters = [
        1.0, 2.5, 1.0, 0.9, 1.0, 0.15, 7.0,
    ]  # fmt: skip

    def bits(loop):
        approach = 1 - math.exp(-((rate * (loop - 1)) ** stretch))
        return start + rise * approach - fall * (1 - math.exp(-decay * max(loop - onset, 0)))

    values = [bits(loop) for loop in range(1, 51)]
    assert loop_curves.curve(loops, np.array([parameters]))[0] == pytest.approx(values)
    marks = loop_curves._landmarks(np.array(parameters), np.array(values))
    peak = int(np.argmax(values))
    assert marks["peak_loop"] == peak + 1 == 7
    assert marks["peak_bits"] == pytest.approx(values[peak])
    first = next(i for i, value in enumerate(values, 1) if value >= values[peak] - 0.05)
    assert marks["plateau_from"] == first < 7
    lost = values[peak] - (start + rise - fall)
    assert marks["lost"] == pytest.approx(lost)
    half = next(n for n in range(1, 500) if bits(7 + n) <= values[peak] - lost / 2)
    assert marks["half_life"] == half


@pytest.mark.parametrize(("fall", "keeps"), [(0.049, True), (0.051, False)])
def test_a_curve_that_loses_a_twentieth_of_a_bit_has_a_half_life(fall, keeps):
    parameters = np.array([1.0, 2.0, 2.0, 1.0, fall, 0.15, 30.0])
    values = loop_curves.curve(np.arange(1, 51.0), parameters[None])[0]
    marks = loop_curves._landmarks(parameters, values)
    assert (marks["lost"] == 0.0) is keeps
    assert math.isinf(marks["half_life"]) is keeps


@pytest.mark.parametrize(("n_loops", "is_fitted"), [(9, False), (10, True)])
def test_ten_loops_are_enough_for_a_curve(n_loops, is_fitted):
    parameters = np.array([[1.0, 2.0, 0.5, 0.8, 0.0, 0.15, 7.0]])
    values = loop_curves.curve(np.arange(1, n_loops + 1.0), parameters)[0]
    row = loop_curves.fit_curves([list(values)], [2]).iloc[0]
    assert bool(row.notna().all()) is is_fitted


def test_seeds_of_a_cell_are_told_by_their_median_and_ends():
    table = pd.DataFrame(
        {
            "size": ["b", "b", "b", "a"], "b": [5, 5, 5, 1], "peak_loop": [4.0, 9.0, 5.0, 1.0],
            "peak_bits": [1.0, 3.0, 2.0, 7.0], "lost": [0.1, 0.3, 0.2, 0.0],
            "half_life": [3.0, math.inf, 8.0, math.inf], "rmse": [0.01, 0.03, 0.02, 0.0],
        }
    )  # fmt: skip
    first, second = loop_curves.summarise(table).to_dict("records")
    assert first == {
        "size": "b", "b": 5, "peak_loop": 5.0, "peak_bits": 2.0, "lost": 0.2, "half_life": 8.0,
        "rmse": 0.02, "peak_loop_least": 4.0, "half_life_least": 3.0, "peak_loop_greatest": 9.0,
        "half_life_greatest": math.inf,
    }  # fmt: skip
    assert (second["size"], second["half_life_least"]) == ("a", math.inf)


def test_of_many_seeds_it_is_said_that_groups_are_left_out(answers, monkeypatch):
    words = "the law over loops leaves out 1 groups of seeds, not each seed"
    assert words not in describe(answers)
    monkeypatch.setattr(text_of_answers, "MOST_GROUPS", 1)
    assert words in describe(answers)


def test_of_many_seeds_the_first_curves_are_fitted(monkeypatch):
    configs = [TrainConfig(size="tiny", b=b, seed=seed) for b in (1, 5) for seed in range(4)]
    runs = [planted_answers.logged_run(config, 2.0) for config in configs]
    monkeypatch.setattr(answers_of, "MOST_CURVES", 3)
    table = curves_of(runs[::-1], ["tiny"])
    assert list(zip(table["b"], table["seed"], strict=True)) == [
        (b, seed) for b in (1, 5) for seed in range(3)
    ]
