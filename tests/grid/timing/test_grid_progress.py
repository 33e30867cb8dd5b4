"""How far a grid is, on a terminal and elsewhere, and what is said of its time beforehand."""

import sys
from dataclasses import replace

import pytest
from small_trainings import TINY

from looped.grid.engines.engine import NewsSender
from looped.grid.records.ledger import FINISHED, RUNNING, Ledger, News
from looped.grid.records.standing import DONE_BEFORE, TO_DO, TO_GO_ON, Standing
from looped.grid.timing import forecast, progress
from looped.grid.timing.plan import Plan, Speed
from looped.grid.timing.progress import GridProgress
from looped.training import resolve

CONFIGS = [resolve.resolve(replace(TINY, seed=seed, steps=3000)) for seed in (1, 2, 3, 4)]
FIRST, SECOND, THIRD, FOURTH = (config.identity for config in CONFIGS)
PLAN = Plan(
    groups=[[config] for config in CONFIGS],
    standings={config.identity: Standing(state=TO_DO) for config in CONFIGS},
    b_max=0, n_prompts=2, n_workers=1, n_threads=1, after={},
)  # fmt: skip


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    time = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def half_done():
    """A ledger of four trainings, one done before and one at a third of its steps; its progress."""
    standings = {config.identity: Standing(state=TO_DO) for config in CONFIGS}
    standings[FIRST] = Standing(state=DONE_BEFORE)
    standings[SECOND] = Standing(state=TO_GO_ON, step=1000)
    ledger = Ledger(CONFIGS, standings)
    plan = replace(PLAN, groups=[[config] for config in CONFIGS[1:]], standings=standings)
    return ledger, GridProgress(ledger, plan, {})


def train_second(clock, ledger, grid_progress):
    """Train it from step 1,000 to 1,200 in a second and from there to its end in 9 more."""
    first_news = News(identity=SECOND, state=RUNNING, step=1000, reason="going on")
    steps = [replace(first_news, step=step, reason="") for step in (1200, 3000)]
    for seconds, news in zip((0.0, 1.0, 10.0), (first_news, *steps), strict=True):
        clock[0] = seconds
        ledger.hear(news)
        grid_progress.hear(news)


def test_the_time_left_is_that_of_the_steps_and_evaluations_that_are_left(clock):
    ledger, grid_progress = half_done()
    assert grid_progress.seconds_left() is None
    train_second(clock, ledger, grid_progress)
    # 200 steps a second; beside them a second to begin, and 0.3 to tell of each
    assert grid_progress.seconds_left() == pytest.approx(2 * (1 + 15) + 3 * 0.3, abs=0.2)


def test_elsewhere_than_on_a_terminal_it_is_a_short_line_now_and_then(clock, capsys):
    ledger, grid_progress = half_done()
    train_second(clock, ledger, grid_progress)
    for clock[0] in (11.0, 19.0, 20.0, 21.0):
        grid_progress.tick()
    grid_progress.close()
    output = capsys.readouterr()
    assert output.out == ""
    line, second_line = output.err.splitlines()
    assert line.startswith(
        "4 trainings: 1 done before, 1 running, 2 to do (tiny-b2-s2 being evaluated), "
    )
    assert line.endswith("% of the work, 00:32 left")
    assert second_line.endswith("00:32 left")


def test_a_terminal_gets_one_bar_over_all_trainings(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ledger, grid_progress = half_done()
    train_second(clock, ledger, grid_progress)
    last_news = News(identity=SECOND, state=FINISHED, step=3000)
    ledger.hear(last_news)
    grid_progress.hear(last_news)
    grid_progress.say("tiny-b2-s2: NMSE 0.1")
    grid_progress.tick()
    grid_progress.close()
    output = capsys.readouterr()
    assert output.out == "tiny-b2-s2: NMSE 0.1\n"
    assert "2 of 4 trainings  50%|" in output.err and "00:32 left" in output.err


def test_a_worker_says_from_where_a_training_goes_on():
    news = []
    sender = NewsSender(news.append, lambda: False, "offline")
    sender.opened(CONFIGS[0], "")
    sender.began(CONFIGS[0], 710)
    assert news[-1].reason == "tiny-b2-s1: going on from step 710 of 3,000"
    ledger, _ = half_done()
    ledger.hear(news[-1])
    assert (ledger.entries[FIRST].step, ledger.entries[FIRST].reason) == (710, "")


@pytest.mark.parametrize(
    ("speed", "n_lines", "says"),
    [(1e3, 2, "smaller: `make study`"), (1e12, 1, "to train: 4 trainings, ")],
)
def test_a_grid_says_at_its_start_how_long_it_takes_and_what_is_smaller(speed, n_lines, says):
    assert not forecast.is_worth_measuring(PLAN)
    lines = forecast.outlook(PLAN, {"tiny": Speed(speed, speed)})
    assert len(lines) == n_lines
    assert lines[-1].startswith(says)
