"""The local engine with toy work in real processes."""

import time
from dataclasses import replace
from functools import partial

from toy_work import never, toy, until_signal

from looped.config import TrainConfig
from looped.grid.ledger import FINISHED, KILLED, RUNNING
from looped.grid.local_engine import run_locally

CELLS = [replace(TrainConfig(), seed=seed).resolved("cpu", "fp32") for seed in range(5)]


def run(groups, work, watch_signals=never, n_workers=2, should_stop=lambda: False):
    heard = []
    run_locally(groups, work, watch_signals, n_workers, 1, heard.append, lambda: None, should_stop)
    return heard


def test_a_worker_that_dies_takes_only_its_own_group_along():
    groups = [CELLS[:1], CELLS[1:3], CELLS[3:4], CELLS[4:]]
    heard = run(groups, partial(toy, dies_at=1))
    ended = {news.identity: news for news in heard if news.state != RUNNING}
    states = [ended[cell.identity].state for cell in CELLS]
    assert states == [FINISHED, KILLED, KILLED, FINISHED, FINISHED]
    assert ended[CELLS[1].identity].reason == "its worker died of SIGKILL"
    assert len([news for news in heard if news.state != RUNNING]) == 5
    assert len({news.step for news in heard if news.state == RUNNING}) >= 2


def test_a_stop_ends_what_runs_in_good_order_and_begins_nothing_more():
    begun = time.monotonic()
    heard = []
    run_locally(
        [[cell] for cell in CELLS], partial(toy, sleeps=60), until_signal, 2, 1, heard.append,
        lambda: None, lambda: len({n.identity for n in heard}) == 2,
    )  # fmt: skip
    assert time.monotonic() - begun < 40
    assert [news.state for news in heard] == [RUNNING] * 2 + [KILLED] * 2
    assert all(news.reason == "toy" for news in heard[2:])
