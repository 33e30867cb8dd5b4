"""What is asked of Slurm, read; and what its programs answer."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looped.grid.engines.slurm import queue
from looped.grid.engines.slurm.job_files import JobFiles, NewsFile, SubmittedJob, read_news
from looped.grid.engines.slurm.settings import KEYS, NUMBERS, SlurmSettings
from looped.grid.options import GridOptions
from looped.grid.records.ledger import FINISHED, RUNNING, News

WORDS = st.text("abc123:/[]-_,=", min_size=1, max_size=8).filter(
    lambda word: word.strip(",") == word and "," not in word
)


@given(st.dictionaries(st.sampled_from([key for key in KEYS if key not in NUMBERS]), WORDS))
def test_what_is_asked_is_what_was_given(requests):
    text = ",".join(f"{key}={value}" for key, value in requests.items())
    assert SlurmSettings.read(text or None).requests == requests


def test_a_part_without_a_key_belongs_to_the_value_before_it():
    settings = SlurmSettings.read("nodelist=a1,a[2-4,7],time=120,array_parallelism=8")
    assert settings.requests == {"nodelist": "a1,a[2-4,7]", "time": 120, "array_parallelism": 8}
    assert settings.at_once == 8
    assert settings.for_submitit("looped")["time"] == 120


@pytest.mark.parametrize(
    ("text", "device"),
    [
        (None, "cpu"), ("gpus_per_task=1", "cuda"), ("gpus_per_task=0", "cpu"),
        ("gres=gpu:a100:1", "cuda"), ("gres=scratch:1", "cpu"), ("gpus_per_node=a100:2", "cuda"),
        ("partition=gpu", "cpu"),
    ],
)  # fmt: skip
def test_a_job_trains_on_a_gpu_where_it_asks_for_one(text, device):
    assert SlurmSettings.read(text).device == device


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partitoin=gpu", r"got partitoin \(did you mean partition\?\)"),
        ("gpu", "slurm must be key=value pairs with commas between them, got gpu"),
        ("partition=", "slurm must be key=value pairs"),
        ("time=2h", "slurm's time must be a whole number of minutes, at least 1, got 2h"),
        ("array_parallelism=0", "must be a whole number, at least 1, got 0"),
        ("time=1,time=2", "slurm must name time once"),
    ],
)
def test_what_breaks_a_rule_is_one_line(text, message):
    with pytest.raises(ValueError, match=message) as refusal:
        GridOptions(engine="slurm", slurm=text)
    assert "\n" not in str(refusal.value)


def test_what_is_slurms_comes_with_its_engine():
    with pytest.raises(ValueError, match="slurm must come with engine=slurm, got local"):
        GridOptions(slurm="time=1")
    with pytest.raises(ValueError, match="wait=false must come with engine=slurm, got ray"):
        GridOptions(engine="ray", wait=False)


def answers(monkeypatch, *, code=0, stdout="", stderr=""):
    def run(words, **_):
        return subprocess.CompletedProcess(words, code, stdout, stderr)

    monkeypatch.setattr(queue.subprocess, "run", run)


def test_a_job_that_the_queue_does_not_list_is_gone(monkeypatch):
    answers(monkeypatch, stdout="7_0|RUNNING|None\n7_1|PENDING|Resources\n7_3|TIMEOUT|None\n")
    states = queue.states_of(["7_0", "7_1", "7_2", "7_3"])
    assert states["7_1"] == queue.JobState("PENDING", "Resources")
    assert [states[job].has_ended for job in ("7_0", "7_1", "7_2", "7_3")] == [
        False, False, True, True,
    ]  # fmt: skip
    answers(monkeypatch, code=1, stderr="slurm_load_jobs error: Invalid job id specified\n")
    assert queue.states_of(["7_0"])["7_0"].state == queue.GONE
    answers(monkeypatch, code=1, stderr="Unable to contact slurm controller\n")
    with pytest.raises(queue.SlurmError, match="Unable to contact"):
        queue.states_of(["7_0"])


@pytest.mark.parametrize(
    ("stderr", "is_refused"),
    [
        ("sbatch: error: invalid partition specified: gpu", True),
        ("allocation failure: Requested nodes are busy", False),
        ("allocation failure: Required partition not available (inactive or drain)", False),
        ("sbatch: error: Unable to contact slurm controller (connect failure)", True),
    ],
)
def test_only_what_no_waiting_mends_is_refused(monkeypatch, stderr, is_refused):
    answers(monkeypatch, code=1, stderr=stderr)
    if is_refused:
        with pytest.raises(ValueError, match="slurm must ask for what the cluster has, got: "):
            queue.require_accepted("")
    else:
        queue.require_accepted("")


def test_news_are_read_as_they_were_sent_and_damage_is_none(tmp_path):
    files = JobFiles(tmp_path)
    job = SubmittedJob(job="7_0", news="a.json", trainings=("x", "y"))
    assert (files.jobs(), files.news_of(job)) == ([], {})
    files.keep([job])
    assert files.jobs() == [job]
    path = files.folder / "news" / "a.json"
    news = NewsFile(path)
    news.send(News(identity="x", state=RUNNING, step=1))
    news.send(News(identity="x", state=RUNNING, step=2))  # too soon to be written again
    assert files.news_of(job)["x"].step == 1
    news.send(News(identity="y", state=FINISHED, nmse=0.5))
    assert files.news_of(job) == NewsFile(path).newest == news.newest
    path.write_text('{"x": {"state": 3')
    (files.folder / "jobs.json").write_text("[1]")
    assert (read_news(path), files.jobs()) == ({}, [])
