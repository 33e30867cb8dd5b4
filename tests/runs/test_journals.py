"""Finished trainings read from their folders; what is damaged or unfinished is left out."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from kept_runs import kept_runs

from analysis.runs.journals import read_folder
from looped.records.journal import Journal

RESULTS = Path(__file__).parents[2] / "results" / "h100"
FOLDER = "tiny-b5-s42-5a0b5461e669"


@pytest.fixture
def root(tmp_path):
    shutil.copytree(RESULTS / FOLDER, tmp_path / "runs" / FOLDER)
    return tmp_path / "runs"


def test_what_is_not_finished_or_damaged_is_passed_over(root):
    assert len(read_folder(root)) == 1
    with closing(Journal(root / FOLDER / "journal.jsonl")) as journal:
        journal.append("start", step=0)
    assert read_folder(root) == []
    with closing(Journal(root / FOLDER / "journal.jsonl")) as journal:
        journal.append("end", status="KILLED", reason="it was killed")
    assert read_folder(root) == []
    (root / FOLDER / "journal.jsonl").write_text("nothing of ours\n")
    assert read_folder(root) == read_folder(root / "nowhere") == []


def test_the_kept_study_is_whole():
    runs = kept_runs()
    assert len(runs) == 36
    assert all(run.has_learned and run.is_evaluated for run in runs)
    assert {run.task for run in runs} == {"linear"}
