import sys
from dataclasses import replace

from looped.config import TrainConfig
from looped.training import progress
from looped.training.progress import Progress

CONFIG = TrainConfig(size="tiny", b=5, seed=42, steps=1000)
VALUES = {"train/loss": 0.5, "train/query_error": 0.25, "speed/steps_per_s": 2.0}


def test_plain_lines_say_how_far_how_good_and_how_long(capsys):
    Progress().sampled(CONFIG, 400, VALUES)
    line = "tiny-b5-s42: step 400/1,000, loss 0.5000, query error 0.2500, 2.0 steps/s, 05:00 left\n"
    assert capsys.readouterr().err == line


def test_plain_lines_come_now_and_then_and_at_the_end(capsys, monkeypatch):
    now = iter([0.0, 0.0, 3.0, 11.0, 11.0, 12.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    show = Progress()
    for step in (10, 20, 30, 40):
        show.sampled(replace(CONFIG, steps=40), step, VALUES)
    lines = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [f"tiny-b5-s42: step {step}/40" for step in (10, 30, 40)]


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    config, show = replace(CONFIG, steps=10), Progress()
    show.sampled(config, 5, VALUES)
    show.sampled(config, 10, VALUES)
    show.evaluated(config, 64, 64)
    text = capsys.readouterr().err
    assert "tiny-b5-s42: 100%" in text
    assert "10/10" in text
    assert "loss 0.5000, query error 0.2500" in text
    assert text.endswith("\rtiny-b5-s42: 100% evaluated\n")


def test_it_never_stops_what_it_shows():
    assert Progress().should_stop() is False
    assert "should_stop" not in vars(Progress)
