"""The train command on damaged files and full disks, in real processes: one line, nothing lost."""

import json
import subprocess

import pytest
from child_processes import ChildProcesses, finish

SMALL = {
    "size": "tiny", "b": 2, "n_dims": 2, "n_examples": 7, "batch_size": 8, "steps": 100,
    "log_every": 1, "checkpoint_seconds": 0.0, "device": "cpu", "evaluate": "false",
    "register": "false", "kernels": "off",
}  # fmt: skip
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def commands(store, tmp_path):
    return ChildProcesses(store, tmp_path / "runs", "train", SMALL)


def statuses(commands):
    return [run.info.status for run in commands.runs()]


def journal_of(commands):
    (path,) = commands.root.glob("tiny*-????????????/journal.jsonl")
    return path


@pytest.mark.crash
def test_small_files_that_are_damaged_are_named_and_made_again(commands):
    output, code = commands.run()
    assert code == 0, output
    folder = journal_of(commands).parent
    damaged_names = ["config.json", "origin.json", "told.json"]
    for name in damaged_names:
        (folder / name).write_text("")
    (folder / "checkpoints" / "step-abc.json").write_text("[" * 100_000)
    output, code = commands.run()
    assert code == 0, output
    assert "Traceback" not in output
    for name in damaged_names:
        assert f"{folder / name} " in output
        assert json.loads((folder / name).read_text())
    assert statuses(commands) == ["FINISHED", "FINISHED"]


@pytest.mark.crash
def test_a_damaged_journal_is_refused_in_a_line_and_can_be_put_aside(commands):
    output, code = commands.run()
    assert code == 0, output
    path = journal_of(commands)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 128
    path.write_bytes(content)
    output, code = commands.run()
    assert code == 1
    assert output.startswith(f"train: {path} must hold what was written there, but: the line at ")
    assert output.endswith("; -P resume=never puts its folder aside and trains anew\n")
    assert output.count("\n") == 1
    assert "RUNNING" not in statuses(commands)
    assert bytes(content) == path.read_bytes()
    output, code = commands.run(resume="never")
    assert code == 0, output
    assert set(statuses(commands)) == {"FINISHED"}


@pytest.mark.crash
@pytest.mark.parametrize(
    "most_bytes",
    [
        pytest.param(500, marks=pytest.mark.slow),
        4_000,
        pytest.param(30_000, marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_fills_up_is_said_in_a_line_and_nothing_is_lost(commands, most_bytes):
    """The lock and the first records still fit; then the journal, or a checkpoint, does not."""
    words = commands.words(tracking="offline")
    process = commands.open_python(["-c", LIMITED, str(most_bytes), "entrypoints.train", *words])
    output, code = finish(process)
    assert code == 1
    *progress, line = output.splitlines()
    assert all(line.startswith("tiny-b2-s42: step ") for line in progress)
    assert "runs must be kept where this process can write, got " in line
    assert str(commands.root) in line
    assert line.endswith(": File too large")
    output, code = commands.run(tracking="offline")
    assert code == 0, output
    records = [json.loads(line) for line in journal_of(commands).read_text().splitlines()]
    assert records[-1]["status"] == "FINISHED"
    assert not any(r["kind"] == "end" and r["status"] == "FINISHED" for r in records[:-1])


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, too small for a checkpoint."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a disk")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.crash
def test_the_run_of_a_training_whose_disk_is_full_has_failed(commands, small_disk):
    commands.root = small_disk / "runs"
    output, code = commands.run()
    assert code == 1
    assert "Traceback" not in output
    assert f"got {small_disk}" in output
    assert "No space left on device" in output
    (run,) = commands.runs()
    assert run.info.status == "FAILED"
    assert "No space left on device" in run.data.tags["looped.reason"]


def test_a_disk_that_is_read_only_is_said_in_a_line(commands, small_disk):
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True, capture_output=True)
    output, code = commands.run(runs_dir=small_disk / "runs")
    assert code == 1
    assert output.startswith("train: runs must be kept where this process can write, got ")
    assert output.endswith(": Read-only file system\n")
    assert output.count("\n") == 1
    assert "RUNNING" not in statuses(commands)
