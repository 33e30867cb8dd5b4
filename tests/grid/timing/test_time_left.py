"""The time left of simulated grids, whose true time is known."""

import random
from dataclasses import replace

import pytest
from simulated_grid import Machine, news_of, plan_of, usual_speeds
from small_trainings import TINY

from looped import TrainConfig
from looped.grid.records.ledger import FINISHED, KILLED, LOST, RUNNING, Ledger, News
from looped.grid.records.standing import DONE_BEFORE, TO_DO, Standing
from looped.grid.timing.plan import Plan, Speed, time_to_end
from looped.grid.timing.time_left import NOMINAL_TELL, TimeLeft, nominal_seconds

SMALL = TrainConfig(n_dims=2, n_examples=15, batch_size=32, steps=300)
FACTOR, SHARE, SECONDS = 1.5, 0.02, 5.0
"""An estimate may be wrong by this factor, by this share of the whole time, or so many seconds."""
CONFIGS = {
    size: [
        replace(SMALL, size=size, b=b, seed=seed).resolved("cpu", "fp32")
        for b in (1, 2, 5, 10)
        for seed in range(4)
    ]
    for size in ("nano", "tiny", "small", "medium")
}


def estimates(plan, machine, speeds, moments):
    """Return at shares of the whole time what was estimated, what was left; and the whole."""
    all_news = news_of(plan, machine)
    whole = all_news[-1][0]
    time_left = TimeLeft(plan, speeds)
    estimates_and_truths, place = [], 0
    for moment in moments:
        now = moment * whole
        while place < len(all_news) and all_news[place][0] <= now:
            time_left.hear(all_news[place][1], all_news[place][0])
            place += 1
        estimates_and_truths.append((moment, time_left.seconds_left(now), whole - now))
    return estimates_and_truths, whole


def misses(estimates_and_truths, whole, factor=FACTOR):
    slack = max(SHARE * whole, SECONDS)
    return [
        (round(moment, 3), seconds, true, whole)
        for moment, seconds, true in estimates_and_truths
        if seconds is None or not true / factor - slack <= seconds <= factor * true + slack
    ]


def drawn(seed):
    """Draw a grid of one to three sizes and values of b, and a machine that trains it.

    A size is up to twice as fast there as usual, or as slow. That was measured for a second, alone:
    workers beside one another may be slower, alike. Some trainings go on from a step.
    """
    dice = random.Random(seed)
    sizes, bs = (
        dice.sample(choices, dice.randint(1, 3)) for choices in (tuple(CONFIGS), (1, 2, 5, 10))
    )
    configs = [
        config
        for size in sizes
        for config in CONFIGS[size]
        if config.b in bs and config.seed < dice.randint(2, 4)
    ]
    before = {
        config.identity: dice.randint(1, config.steps - 1)
        for config in configs[: dice.randint(0, 3)]
    }
    n_prompts = dice.choice([64, 1024, 4096])
    plan = plan_of(configs, dice.randint(1, 4), before, n_prompts=n_prompts)
    speeds = {
        size: 0.05 * speed * dice.uniform(0.5, 2.0) for size, speed in usual_speeds(*sizes).items()
    }
    machine = Machine(
        speeds=speeds, evaluation=dice.uniform(0.5, 2.0), begin=dice.uniform(0.1, 3.0),
        tell=dice.uniform(0.0, 2.0),
    )  # fmt: skip
    alone = dice.uniform(1.0, 1.7)
    measured_speeds = {
        size: Speed(*(alone * dice.uniform(0.9, 1.1) * speed / slower
                      for slower in (1.0, machine.evaluation)))
        for size, speed in speeds.items()
    }  # fmt: skip
    return plan, machine, measured_speeds


MOMENTS = [n / 25 for n in range(1, 25)]


@pytest.mark.parametrize("seed", range(10))
def test_after_a_tenth_of_the_time_it_is_right_within_a_factor_of_one_and_a_half(seed):
    late = [0.1, *(moment for moment in MOMENTS if moment > 0.1)]
    assert not misses(*estimates(*drawn(seed), late))


@pytest.mark.parametrize("seed", range(100, 104))
def test_from_the_first_second_on_it_is_no_nonsense(seed):
    """It may be off by what the workers slow one another, which cannot be known."""
    assert not misses(*estimates(*drawn(seed), [0.0, 0.001, 0.01, 0.03, 0.06]), factor=2.0)


@pytest.mark.parametrize("seed", range(200, 207))
def test_a_machine_that_changes_its_pace_is_followed_within_a_tenth_or_a_minute(seed):
    plan, machine, measured_speeds = drawn(seed)
    dice = random.Random(seed)
    changed_at = dice.uniform(0.02, 0.7) * news_of(plan, machine)[-1][0]
    machine.changes = [(changed_at, dice.choice([0.5, 2.0]))]
    whole = news_of(plan, machine)[-1][0]
    followed = (changed_at + max(60.0, 0.1 * whole)) / whole
    late = [moment for moment in MOMENTS if moment > max(0.1, followed)]
    assert not misses(*estimates(plan, machine, measured_speeds, late))


def test_a_pause_of_the_machine_says_nothing_of_the_time_to_come():
    """A lid that is closed at 0.3 of the time for as long as the whole grid takes."""
    plan, machine, measured_speeds = drawn(3)
    whole = news_of(plan, machine)[-1][0]
    machine.changes = [(0.3 * whole, 1e-9), (1.3 * whole, 1.0)]
    pairs, _ = estimates(plan, machine, measured_speeds, [0.7, 0.75, 0.9])
    assert not misses(pairs, whole)


def test_what_is_killed_or_lost_is_left_out_or_counted_again():
    configs = CONFIGS["tiny"][:2]
    plan = plan_of(configs, 1)
    speeds = {"tiny": Speed(1e9, 1e9)}
    time_left = TimeLeft(plan, speeds)
    whole = time_left.seconds_left(0.0)
    (first,), (second,) = plan.groups
    running = News(identity=first.identity, state=RUNNING)
    moments = (0.0, 1.0, 1.0 + 199 * first.step_flops / 1e9)
    for moment, step in zip(moments, (0, 1, 200), strict=True):
        time_left.hear(replace(running, step=step), moment)
    time_left.hear(replace(running, state=LOST), moments[-1])
    left = time_left.seconds_left(moments[-1])  # it goes on from its checkpoint
    assert left == pytest.approx(whole - (moments[-1] - 1.0), abs=0.1)
    for config in (first, second):
        time_left.hear(replace(running, identity=config.identity), 2.0)
        time_left.hear(replace(running, identity=config.identity, state=KILLED), 2.0)
    assert (time_left.seconds_left(2.0), time_left.nominal_left) == (0.0, 0.0)


def test_groups_are_given_to_workers_as_the_engine_gives_them():
    durations = [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    assert time_to_end({}, durations, {}, 2) == 5.0
    assert time_to_end({}, durations, {}, 9) == 4.0
    assert time_to_end({7: 1.0}, durations, {0: {3}}, 2) == 8.0
    assert time_to_end({}, [], {}, 2) == 0.0
    assert time_to_end({}, durations, {0: {1}, 1: {0}}, 1) == 10.0  # which no engine would do


def test_the_work_of_a_grid_is_that_of_the_steps_it_trains_and_of_what_follows_them():
    short, middle, long = (replace(TINY, steps=n).resolved("cpu", "fp32") for n in (10, 20, 40))
    standings = {
        short.identity: Standing(state=DONE_BEFORE),
        middle.identity: Standing(state=TO_DO, first_step=10),
        long.identity: Standing(state=TO_DO, first_step=20),
    }
    plan = Plan(
        groups=[[middle], [long]], standings=standings, b_max=0, n_prompts=2, n_workers=1,
        n_threads=1, after={},
    )  # fmt: skip
    speeds = {short.size: Speed(short.step_flops, 1e30)}  # a step a second
    whole = nominal_seconds(Ledger([short, middle, long], standings), plan, speeds)
    assert whole == pytest.approx(40 + 3 * NOMINAL_TELL)
    time_left = TimeLeft(plan, speeds)
    assert time_left.nominal_left == pytest.approx(30 + 2 * NOMINAL_TELL)
    time_left.hear(News(identity=middle.identity, state=RUNNING, step=15), 1.0)
    assert time_left.nominal_left == pytest.approx(25 + 2 * NOMINAL_TELL)
    time_left.hear(News(identity=middle.identity, state=FINISHED, step=20), 2.0)
    assert time_left.nominal_left == pytest.approx(20 + NOMINAL_TELL)
    # it began anew after all
    time_left.hear(News(identity=long.identity, state=RUNNING, step=5), 3.0)
    assert time_left.nominal_left == pytest.approx(35 + NOMINAL_TELL)
