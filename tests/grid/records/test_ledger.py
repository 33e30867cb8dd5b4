import csv
import io
from dataclasses import replace

from looped.config import TrainConfig
from looped.grid.records.ledger import FAILED, FINISHED, LONGEST_NOTE, RUNNING, UNTOLD, Ledger, News
from looped.grid.records.standing import DONE_BEFORE, TO_DO, Standing

CONFIGS = [
    replace(TrainConfig(), b=b, seed=seed).resolved("cpu", "fp32")
    for b in (1, 5)
    for seed in (42, 451)
]
UNTOUCHED = {config.identity: Standing(state=TO_DO) for config in CONFIGS}


def test_the_ledger_follows_each_training_to_its_end():
    finished_before = Standing(
        state=DONE_BEFORE, run_id="run-0", nmse=0.25, reason="NMSE 0.25", commit="abc", step=7500
    )
    ledger = Ledger(CONFIGS, UNTOUCHED | {CONFIGS[0].identity: finished_before}, commit="def")
    assert ledger.counts == {"done": 1, "to do": 3}
    first, second, third = (config.identity for config in CONFIGS[1:])
    reason = "the loss must stay finite"
    for identity, state, facts in [
        (first, RUNNING, {"run_id": "run-1"}),
        (first, RUNNING, {"run_id": "run-1", "step": 3750}),
        (second, RUNNING, {"run_id": "run-2"}),
        (second, FAILED, {"run_id": "run-2", "reason": reason}),
        (third, RUNNING, {"run_id": "run-3"}),
        (third, UNTOLD, {"run_id": "run-3", "step": 7500, "nmse": 0.5, "reason": "NMSE 0.5"}),
    ]:
        ledger.hear(News(identity=identity, state=state, **facts))
    assert ledger.summary() == "4 trainings: 1 done before, 1 untold, 1 running, 1 failed"
    assert ledger.line().endswith("(tiny-b1-s451 3,750/7,500)")
    assert not ledger.is_done
    assert ledger.note("The end.").splitlines() == [
        "**4 trainings: 1 done before, 1 untold, 1 running, 1 failed.**",
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
    for identity in (first, second, third):
        ledger.hear(News(identity=identity, state=FINISHED, nmse=0.1))
    assert ledger.is_done


def test_a_note_of_many_trainings_stays_within_what_mlflow_keeps():
    configs = [replace(CONFIGS[0], b=b, learning_rate=1e-3 * b) for b in range(1, 2001)]
    standings = {config.identity: Standing(state=TO_DO) for config in configs}
    note = Ledger(configs, standings).note("x" * 500)
    assert LONGEST_NOTE - 500 < len(note) <= LONGEST_NOTE
    assert ") are in `trainings.csv`" in note
    assert note.endswith("x" * 500)
