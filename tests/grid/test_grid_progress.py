"""How far a grid is, on a terminal and elsewhere, and what is said of its time beforehand."""

import sys
from dataclasses import replace

import pytest
from small_trainings import TINY

from looped.grid.engines.engine import NewsSender
from looped.grid.records.ledger import FINISHED, RUNNING, Ledger, News
from looped.grid.records.standing import DONE_BEFORE, TO_DO, TO_GO_ON, Standing
from looped.grid.timing import forecast, progress
from looped.grid.timing.progress import GridProgress
from looped.training import resolve

CONFIGS = [resolve.resolve(replace(TINY, seed=seed, steps=3000)) for seed in (1, 2, 3, 4)]
FIRST, SECOND, THIRD, FOURTH = (config.identity for config in CONFIGS)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    time = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: time[0])
    return time


def half_done():
    """A ledger of four trainings, one done before and one at a third of its steps."""
    standings = {config.identity: Standing(state=TO_DO) for config in CONFIGS}
    standings[FIRST] = Standing(state=DONE_BEFORE)
    standings[SECOND] = Standing(state=TO_GO_ON, step=1000)
    return Ledger(CONFIGS, standings)


def test_the_time_left_follows_from_the_work_done_since_it_began(clock):
    ledger = half_done()
    assert ledger.work == (4000 * TINY.step_flops, 12_000 * TINY.step_flops)
    grid_progress = GridProgress(ledger)
    assert grid_progress.seconds_left() is None
    clock[0] = 10.0
    ledger.hear(News(identity=SECOND, state=RUNNING, step=3000))
    assert grid_progress.seconds_left() == pytest.approx(
        30.0
    )  # 2,000 steps in 10 s, 6,000 are left


def test_elsewhere_than_on_a_terminal_it_is_a_short_line_now_and_then(clock, capsys):
    ledger = half_done()
    grid_progress = GridProgress(ledger)
    ledger.hear(News(identity=SECOND, state=RUNNING, step=3000))
    for clock[0] in (1.0, 9.0, 10.0, 11.0):
        grid_progress.tick()
    grid_progress.close()
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "4 trainings: 1 done before, 1 running, 2 to do (tiny-b2-s2 being evaluated)"
        ", 50% of the work, 00:30 left\n"
    )


def test_a_terminal_gets_one_bar_over_all_trainings(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ledger = half_done()
    grid_progress = GridProgress(ledger)
    clock[0] = 10.0
    ledger.hear(News(identity=SECOND, state=FINISHED, step=3000))
    grid_progress.say("tiny-b2-s2: NMSE 0.1")
    grid_progress.tick()
    grid_progress.close()
    output = capsys.readouterr()
    assert output.out == "tiny-b2-s2: NMSE 0.1\n"
    assert "2 of 4 trainings  50%|" in output.err and "00:30 left" in output.err


def test_a_worker_says_from_where_a_training_goes_on():
    news = []
    sender = NewsSender(news.append, lambda: False, "offline")
    sender.opened(CONFIGS[0], "")
    sender.began(CONFIGS[0], 710)
    assert news[-1].reason == "tiny-b2-s1: going on from step 710 of 3,000"
    ledger = half_done()
    ledger.hear(news[-1])
    assert (ledger.entries[FIRST].step, ledger.entries[FIRST].reason) == (710, "")


@pytest.mark.parametrize(
    ("speed", "n_lines", "says"),
    [(1e3, 2, "smaller: `make study`"), (1e12, 1, "to train: 4 trainings, ")],
)
def test_a_grid_says_at_its_start_how_long_it_takes_and_what_is_smaller(
    monkeypatch, speed, n_lines, says
):
    monkeypatch.setattr(forecast, "measure_speed", lambda group, n_threads: speed)
    plan = {
        "groups": [[config] for config in CONFIGS],
        "standings": {config.identity: Standing(state=TO_DO) for config in CONFIGS},
        "b_max": 0, "n_prompts": 64, "n_workers": 2, "n_threads": 1, "after": {},
    }  # fmt: skip
    assert forecast.outlook(**plan) == []  # too little to measure for
    monkeypatch.setattr(forecast, "WORTH_MEASURING", 1)
    lines = forecast.outlook(**plan)
    assert len(lines) == n_lines
    assert lines[-1].startswith(says)
