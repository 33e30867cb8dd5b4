import sys

import pytest

from entrypoints import progress
from entrypoints.progress import Progress

SAMPLE = {"train/loss": 0.5, "train/query_error": 0.25, "speed/steps_per_s": 2.0}


def test_plain_lines_say_how_far_how_good_and_how_long(capsys):
    Progress("tiny", 1000)(400, SAMPLE)
    line = "tiny: step 400/1,000, loss 0.5000, query error 0.2500, 2.0 steps/s, 05:00 left\n"
    assert capsys.readouterr().err == line


def test_plain_lines_come_now_and_then_and_at_the_end(capsys, monkeypatch):
    now = iter([0.0, 0.0, 3.0, 11.0, 11.0, 12.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    show = Progress("tiny", 40)
    for step in (10, 20, 30, 40):
        show(step, SAMPLE)
    shown_steps = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert shown_steps == ["tiny: step 10/40", "tiny: step 30/40", "tiny: step 40/40"]


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = Progress("tiny", 10)
    show(5, SAMPLE)
    show(10, SAMPLE)
    show.evaluated(64, 64)
    output = capsys.readouterr().err
    assert "tiny: 100%" in output
    assert "10/10" in output
    assert "loss 0.5000, query error 0.2500" in output
    assert output.endswith("\rtiny: evaluated on 64/64 prompts\n")


def test_an_evaluation_stops_when_asked():
    with pytest.raises(KeyboardInterrupt):
        Progress("tiny", 0, should_stop=lambda: True).evaluated(1, 2)
