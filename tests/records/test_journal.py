import errno
import json
import math
import os
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looped.records.damage import DamagedFileError, UnwritableError
from looped.records.journal import Journal, history, last_record, newest_start, read, starts


def test_what_is_appended_is_read_to_the_bit(tmp_path):
    with closing(Journal(tmp_path / "journal.jsonl")) as journal:
        journal.append("metrics", step=3, values={"train/loss": 0.1 + 0.2, "final/loss": 5e-324})
    records, _ = read(tmp_path / "journal.jsonl")
    assert records[0]["values"] == {"train/loss": 0.1 + 0.2, "final/loss": 5e-324}


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
        journal.append("metrics", step=step, values={"train/loss": 1.0})
    journal.append("diverged", step=2000, reason="ä" * 20_000)
    journal.close()
    with path.open("a") as file:
        file.write('{"kind": "end", "to')  # torn
    assert last_record(path, "metrics")["step"] == 1999
    assert last_record(path, "start", "end")["kind"] == "start"
    assert last_record(path, "diverged", "metrics")["kind"] == "diverged"
    assert last_record(path, "evaluation") is None


@pytest.fixture
def damaged(tmp_path):
    """A journal of three records, the second of which is damaged, and where that one begins."""
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
        for step in range(3):
            journal.append("start", step=step)
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.replace(b'"kind"', b'"kine"') + third)
    return path, len(first)


@pytest.mark.parametrize(
    "reader", [read, Journal, newest_start, starts, lambda path: last_record(path, "end")]
)
def test_damage_is_said_with_the_file_the_place_and_what_can_be_done(damaged, reader):
    path, place = damaged
    content = path.read_bytes()
    with pytest.raises(DamagedFileError) as caught:
        reader(path)
    assert str(caught.value) == (
        f"{path} must hold what was written there, but: the line at byte {place} is no record "
        "(kind must be one of start, metrics, evaluation, outcome, diverged, end, got None); "
        "-P resume=never puts its folder aside and trains anew"
    )
    assert path.read_bytes() == content


def test_starts_are_listed_by_byte_and_time(tmp_path):
    path = tmp_path / "journal.jsonl"
    with closing(Journal(path)) as journal:
        journal.append("start", step=0)
        journal.append("metrics", step=1, values={})
        journal.append("start", step=1)
    lines = path.read_bytes().splitlines(keepends=True)
    times = [json.loads(line)["time"] for line in lines]
    assert starts(path) == [(0, times[0]), (len(lines[0]) + len(lines[1]), times[2])]
    assert newest_start(path) == starts(path)[-1][0]


def test_a_full_disk_leaves_no_half_record(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    write = os.write

    def write_half(number, content):
        if len(content) < 10:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(number, content[: len(content) // 2])

    with closing(Journal(path)) as journal:
        journal.append("start", step=0)
        before = path.read_bytes()
        monkeypatch.setattr(os, "write", write_half)
        with pytest.raises(UnwritableError) as caught:
            journal.append("metrics", step=1, values={"train/loss": 1.0})
        monkeypatch.undo()
        assert path.read_bytes() == before
        journal.append("end", status="FAILED", reason=str(caught.value))
    assert [record["kind"] for record in read(path)[0]] == ["start", "end"]
    assert str(caught.value) == (
        f"runs must be kept where this process can write, got {path}: No space left on device"
    )


def test_a_link_is_no_journal(tmp_path):
    (tmp_path / "other").write_text("half a line")
    (tmp_path / "journal.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(DamagedFileError, match="must hold what was written there"):
        Journal(tmp_path / "journal.jsonl")
    assert (tmp_path / "other").read_text() == "half a line"
