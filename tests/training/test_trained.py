"""What a training returns, as Python and a notebook show it; silent only where it is asked."""

from contextlib import closing

import pytest
from small_trainings import TINY

from looped.records.folder import RunFolder
from looped.training import resolve
from looped.training.loop import train
from looped.training.watcher import SILENT, Stopped, Watcher


def test_it_is_a_line_a_table_and_a_curve(capsys):
    trained = train(TINY)
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("tiny-b2-s42: step 23/23, loss ")
    assert repr(trained).startswith("Trained(tiny-b2-s42: NMSE ") and len(repr(trained)) < 100
    assert "after 2 loops, 23 steps)" in repr(trained)
    assert "<th>seed</th>" in trained._repr_html_() and "<td>42</td>" in trained._repr_html_()
    curve = trained.learning_curve
    assert curve["step"] == [1, 5, 10, 15, 20, 23]
    assert {len(column) for column in curve.values()} == {6}
    assert curve["loss"][-1] == trained.curve.last["loss"]
    train(TINY, watcher=SILENT)
    assert capsys.readouterr().err == ""


class StopsAt(Watcher):
    """Stops a training at the first sample from a step on."""

    def __init__(self, step):
        self.step, self.newest_step = step, 0

    def sampled(self, config, step, values):
        self.newest_step = step

    def should_stop(self):
        return self.newest_step >= self.step


def test_one_that_goes_on_says_from_where_and_has_the_whole_curve(tmp_path, capsys):
    config = resolve.resolve(TINY)
    with closing(RunFolder(tmp_path, config)) as folder, pytest.raises(Stopped):
        train(config, folder, StopsAt(10))
    with closing(RunFolder(tmp_path, config)) as folder:
        trained = train(config, folder)
    first_line = capsys.readouterr().err.splitlines()[0]
    assert first_line == "tiny-b2-s42: going on from step 11 of 23"
    assert trained.learning_curve["step"][:3] == [1, 5, 10]
    assert trained.learning_curve["step"][-1] == 23
