"""What a worker says of its trainings, without the worker's process."""

import pytest

from looped.config import TrainConfig
from looped.grid.engines import engine
from looped.grid.engines.engine import NewsSender
from looped.grid.records.ledger import FAILED, FINISHED, KILLED, RUNNING, UNTOLD
from looped.training.watcher import Ending

CONFIG = TrainConfig(steps=600).resolved("cpu", "fp32")


def sender(news, tracking="online", should_stop=lambda: False):
    return NewsSender(news.append, should_stop, tracking)


@pytest.mark.parametrize(
    ("tracking", "status", "is_told", "state", "step"),
    [
        ("online", "FINISHED", True, FINISHED, 600),
        ("online", "FINISHED", False, UNTOLD, 600),
        ("offline", "FINISHED", False, FINISHED, 600),
        ("online", "KILLED", True, KILLED, 0),
        ("online", "FAILED", True, FAILED, 0),
        ("online", "REFUSED", False, FAILED, 0),
    ],
)
def test_an_ending_becomes_news_of_it(tracking, status, is_told, state, step):
    news = []
    ending = Ending(
        config=CONFIG, status=status, reason="why", run_id="run-1", is_told=is_told, nmse=0.5,
        problems=("a problem",),
    )  # fmt: skip
    sender(news, tracking).ended(ending)
    (message,) = news
    assert (message.identity, message.state, message.step) == (CONFIG.identity, state, step)
    assert (message.run_id, message.nmse, message.reason) == ("run-1", 0.5, "why; a problem")


def test_samples_are_news_once_a_second(monkeypatch):
    moments = iter([10.0, 10.5, 11.0, 11.5])
    monkeypatch.setattr(engine.time, "monotonic", lambda: next(moments))
    news = []
    watcher = sender(news)
    watcher.opened(CONFIG, "run-1")
    for step in (1, 2, 3, 4):
        watcher.sampled(CONFIG, step, {})
    assert [(each.state, each.run_id, each.step) for each in news] == [
        (RUNNING, "run-1", 0), (RUNNING, "run-1", 1), (RUNNING, "run-1", 3),
    ]  # fmt: skip


def test_it_stops_when_its_worker_is_to_stop():
    answers = iter([False, True])
    watcher = sender([], should_stop=lambda: next(answers))
    assert [watcher.should_stop(), watcher.should_stop()] == [False, True]
