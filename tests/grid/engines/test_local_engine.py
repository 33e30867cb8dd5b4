"""The local engine with toy work in real processes."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from toy_work import never, toy, until_signal

from looped.config import TrainConfig
from looped.grid.engines.local_engine import run_locally
from looped.grid.records.ledger import FINISHED, KILLED, RUNNING

CONFIGS = [replace(TrainConfig(), seed=seed).resolved("cpu", "fp32") for seed in range(5)]


class Desk:
    """Keeps all news; says to stop once so many trainings were heard of."""

    folder = Path()

    def __init__(self, most=None):
        self.news = []
        self.most = most

    def hear(self, news):
        self.news.append(news)

    def tick(self):
        pass

    def should_stop(self):
        return self.most is not None and len({news.identity for news in self.news}) >= self.most


def run(groups, work, watch_signals=never, most=None):
    desk = Desk(most)
    run_locally(groups, work, watch_signals, 2, 1, desk)
    return desk.news


@pytest.mark.crash
def test_a_worker_that_dies_takes_only_its_own_group_along():
    groups = [CONFIGS[:1], CONFIGS[1:3], CONFIGS[3:4], CONFIGS[4:]]
    news = run(groups, partial(toy, dies_at=1))
    endings = {each.identity: each for each in news if each.state != RUNNING}
    states = [endings[config.identity].state for config in CONFIGS]
    assert states == [FINISHED, KILLED, KILLED, FINISHED, FINISHED]
    assert endings[CONFIGS[1].identity].reason == "its worker died of SIGKILL"
    assert len([each for each in news if each.state != RUNNING]) == 5
    assert len({each.step for each in news if each.state == RUNNING}) >= 2


def test_a_stop_ends_what_runs_in_good_order_and_begins_nothing_more():
    begun_at = time.monotonic()
    groups = [[config] for config in CONFIGS]
    news = run(groups, partial(toy, sleeps=60), until_signal, most=2)
    assert time.monotonic() - begun_at < 40
    assert [each.state for each in news] == [RUNNING] * 2 + [KILLED] * 2
    assert all(each.reason == "toy" for each in news[2:])
