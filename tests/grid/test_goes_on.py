"""A grid that goes on is the grid: to the bit, with real processes."""

import os
import signal
import time

import pytest
from child_processes import ChildProcesses, finish
from safetensors.torch import load_file

from looped.records.journal import read

TWO_LENGTHS = {
    "sizes": "tiny", "bs": "1,6", "seeds": "1", "n_dims": 2, "n_examples": 15, "batch_size": 16,
    "steps": 240, "warmup": 20, "log_every": 10, "checkpoint_seconds": 0.05, "device": "cpu",
    "evaluate": "false", "register": "false", "tracking": "offline", "workers": 2,
}  # fmt: skip


@pytest.fixture
def grids(tmp_path):
    return ChildProcesses(None, tmp_path / "runs", "grid", TWO_LENGTHS)


def kinds(path):
    return [record["kind"] for record in read(path)[0]]


def wait_for_one_left(grids, process, seconds=120):
    """Wait until one of two trainings has ended and the other has a checkpoint."""
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        journals = sorted(grids.root.glob("tiny-*/journal.jsonl"))
        ended_journals = [path for path in journals if b'"kind": "end"' in path.read_bytes()]
        (left,) = set(journals) - set(ended_journals) if len(ended_journals) == 1 else (None,)
        if left and list((left.parent / "checkpoints").glob("step-*.json")):
            return left
        time.sleep(0.005)


def weights(root):
    return {
        path.parts[-3]: load_file(path) for path in root.glob("tiny-*/model/weights.safetensors")
    }


def threads_of(path):
    return [record["threads"] for record in read(path)[0] if record["kind"] == "start"]


def assert_same(first, second, n_trainings=2):
    assert len(first) == n_trainings
    assert first.keys() == second.keys()
    for name, tensors in first.items():
        assert all((second[name][key] == value).all() for key, value in tensors.items()), name


@pytest.mark.crash
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has one share of threads")
def test_a_training_left_alone_goes_on_with_the_threads_it_began_with(grids, tmp_path):
    process = grids.start()
    left = wait_for_one_left(grids, process)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    output, code = grids.run()
    assert code == 0, output
    assert kinds(left).count("start") == 2
    n_threads = len(os.sched_getaffinity(0)) // 2
    assert threads_of(left) == [n_threads] * 2
    output, code = grids.run(runs_dir=tmp_path / "uninterrupted")
    assert code == 0, output
    assert_same(weights(grids.root), weights(tmp_path / "uninterrupted"))


@pytest.mark.crash
def test_a_chain_of_lengths_that_was_killed_goes_on_to_the_same_weights(grids, tmp_path):
    """Two chains side by side; killed once a longer training is on its way."""
    process = grids.start(bs="1,2", steps="120,240")
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None and time.monotonic() < deadline
        journals = [path.read_bytes() for path in grids.root.glob("tiny-*/journal.jsonl")]
        if any(b'"training": ' in content and b'"step": 150' in content for content in journals):
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    output, code = grids.run(bs="1,2", steps="120,240")
    assert code == 0, output
    output, code = grids.run(
        bs="1,2", steps="120,240", resume="never", runs_dir=tmp_path / "uninterrupted"
    )
    assert code == 0, output
    ways = [
        sorted(root.glob("tiny-*/journal.jsonl"))
        for root in (grids.root, tmp_path / "uninterrupted")
    ]
    is_longer = [[b'"training": ' in path.read_bytes() for path in paths] for paths in ways]
    assert (sum(is_longer[0]), sum(is_longer[1])) == (2, 0)
    assert_same(weights(grids.root), weights(tmp_path / "uninterrupted"), n_trainings=4)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has one share of threads")
@pytest.mark.slow
def test_other_workers_change_no_weights(grids, tmp_path):
    process = grids.start(workers=1)  # all cores for one
    deadline = time.monotonic() + 120
    while not list(grids.root.glob("tiny-*/checkpoints/step-*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    output, code = grids.run(workers=2)
    assert code == 0, output
    assert f"threads of a training: {len(os.sched_getaffinity(0))}, as the grid was begun" in output
    output, code = grids.run(runs_dir=tmp_path / "uninterrupted", workers=1)
    assert code == 0, output
    assert_same(weights(grids.root), weights(tmp_path / "uninterrupted"))
