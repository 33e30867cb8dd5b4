"""What a training returns, as Python and a notebook show it; silent only where it is asked."""

from small_trainings import TINY

from looped.training.loop import train
from looped.training.watcher import SILENT


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
