import json
import math
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looped.records.journal import Journal, history, last_record, read


def test_what_is_appended_is_read_to_the_bit(tmp_path):
    with closing(Journal(tmp_path / "journal.jsonl")) as journal:
        journal.append("metrics", step=3, values={"loss": 0.1 + 0.2, "tiny": 5e-324})
    records, _ = read(tmp_path / "journal.jsonl")
    assert records[0]["values"] == {"loss": 0.1 + 0.2, "tiny": 5e-324}


def test_reading_goes_on_from_an_offset(tmp_path):
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
        journal.append("start", step=0)
        first, offset = read(path)
        journal.append("metrics", step=1, values={})
        second, _ = read(path, offset)
    assert [r["kind"] for r in first + second] == ["start", "metrics"]


def test_a_half_written_line_is_not_read_and_goes_when_the_journal_is_opened(tmp_path):
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
        journal.append("start", step=0)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "metr')
    assert [r["kind"] for r in read(path)[0]] == ["start"]
    with closing(Journal(path)) as journal:
        assert path.read_bytes() == whole
        journal.append("end", status="KILLED", reason="")
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["start", "end"]


def test_numbers_that_are_none_cannot_hide_in_a_journal(tmp_path):
    with (
        closing(Journal(tmp_path / "journal.jsonl")) as journal,
        pytest.raises(ValueError, match="not JSON compliant"),
    ):
        journal.append("metrics", step=1, values={"loss": math.nan})


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6))
def test_history_holds_each_sample_once_and_in_order(attempts):
    """Each process starts somewhere up to where the last one came, and goes on for a while."""
    records, reached = [], 0
    for number, (wished, length) in enumerate(attempts):
        start = min(wished, reached)
        records.append({"kind": "start", "step": start})
        reached = start + length
        records += [
            {"kind": "metrics", "step": step, "process": number}
            for step in range(start + 1, reached + 1)
        ]
        records.append({"kind": "outcome", "step": reached, "process": number})
    samples = [r for r in history(records) if r["kind"] == "metrics"]
    assert [r["step"] for r in samples] == list(range(1, reached + 1))
    newest = [r["process"] for r in samples]
    assert newest == sorted(newest)
    outcomes = [r for r in history(records) if r["kind"] == "outcome"]
    assert [r["process"] for r in outcomes] == [len(attempts) - 1]


def test_the_last_record_of_a_kind_is_read_from_the_end(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    assert last_record(path, "start") is None
    journal.append("start", step=0)
    for step in range(2000):
        journal.append("metrics", step=step, values={"x": 1.0})
    journal.append("outcome", step=2000, text="ä" * 20_000)
    journal.close()
    with path.open("a") as file:
        file.write('{"kind": "end", "to')  # torn
    assert last_record(path, "metrics")["step"] == 1999
    assert last_record(path, "start", "end")["kind"] == "start"
    assert last_record(path, "outcome", "metrics")["kind"] == "outcome"
    assert last_record(path, "evaluation") is None
