import csv
import io
from dataclasses import replace

from looped.config import TrainConfig
from looped.grid.ledger import FAILED, FINISHED, LONGEST_NOTE, RUNNING, UNTOLD, Ledger, News
from looped.grid.standing import Known

CELLS = [
    replace(TrainConfig(), b=b, seed=seed).resolved("cpu", "fp32")
    for b in (1, 5)
    for seed in (42, 451)
]
TO_DO = {cell.identity: Known("to do") for cell in CELLS}


def test_the_ledger_follows_each_cell_to_its_end():
    known = TO_DO | {CELLS[0].identity: Known("done", "run-0", 0.25, "NMSE 0.25", "abc", 7500)}
    ledger = Ledger(CELLS, known, commit="def")
    assert ledger.counts == {"done": 1, "to do": 3}
    one, two, three = (cell.identity for cell in CELLS[1:])
    for news in [
        News(one, RUNNING, "run-1"), News(one, RUNNING, "run-1", 3750),
        News(two, RUNNING, "run-2"), News(two, FAILED, "run-2", reason="the loss must stay finite"),
        News(three, RUNNING, "run-3"), News(three, UNTOLD, "run-3", 7500, 0.5, "NMSE 0.5"),
    ]:  # fmt: skip
        ledger.hear(news)
    assert ledger.summary() == "4 cells: 1 done before, 1 untold, 1 running, 1 failed"
    assert ledger.line().endswith("(tiny-b1-s451 3,750/7,500)")
    assert not ledger.is_done
    assert ledger.note("The end.").splitlines() == [
        "**4 cells: 1 done before, 1 untold, 1 running, 1 failed.**",
        "",
        "| b | seed 42 | seed 451 |",
        "|---|---|---|",
        "| 1 | 0.25 (before) | running, 50% |",
        "| 5 | failed | 0.5 (untold) |",
        "",
        "- tiny-b5-s42: failed: the loss must stay finite",
        "",
        "The end.",
    ]
    rows = list(csv.DictReader(io.StringIO(ledger.table())))
    assert [row["state"] for row in rows] == ["done", "running", "failed", "untold"]
    assert [row["commit"] for row in rows] == ["abc", "def", "def", "def"]
    assert [row["run_id"] for row in rows] == ["run-0", "run-1", "run-2", "run-3"]
    for identity in (one, two, three):
        ledger.hear(News(identity, FINISHED, nmse=0.1))
    assert ledger.is_done


def test_a_note_of_many_cells_stays_within_what_mlflow_keeps():
    cells = [replace(CELLS[0], b=b, learning_rate=1e-3 * b) for b in range(1, 2001)]
    note = Ledger(cells, {cell.identity: Known("to do") for cell in cells}).note("x" * 500)
    assert LONGEST_NOTE - 500 < len(note) <= LONGEST_NOTE
    assert "more rows are in `cells.csv`" in note
    assert note.endswith("x" * 500)
