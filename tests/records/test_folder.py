import subprocess
import sys
import time

import pytest

from looped.config import TrainConfig
from looped.records.folder import FolderInUseError, RunFolder, is_held_by, read_config

CONFIG = TrainConfig().resolved("cpu", "fp32")

HOLDER = """
import sys, time
from pathlib import Path
from looped.config import TrainConfig
from looped.records.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]), TrainConfig().resolved("cpu", "fp32"))
folder.sign_lock("its-run")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder's lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_only_one_process_at_a_time_trains_a_configuration(tmp_path, holder):
    with pytest.raises(FolderInUseError, match="one process at a time"):
        RunFolder(tmp_path, CONFIG)
    holder.kill()
    holder.wait()
    RunFolder(tmp_path, CONFIG).close()


def test_the_lock_tells_whose_living_process_holds_it(tmp_path, holder):
    (path,) = tmp_path.iterdir()
    assert is_held_by(path, "its-run")
    assert not is_held_by(path, "an-earlier-run")
    holder.kill()
    holder.wait()
    time.sleep(0.1)
    assert not is_held_by(path, "its-run")
    assert not is_held_by(tmp_path / "missing", "its-run")


def test_a_fresh_run_puts_the_earlier_ones_aside(tmp_path):
    for _ in range(3):
        folder = RunFolder(tmp_path, CONFIG, fresh=True)
        assert folder.journal_path.read_text() == ""
        folder.journal.append("start", step=0)
        folder.close()
    name = folder.path.name
    assert sorted(p.name for p in tmp_path.iterdir()) == [name, f"{name}.1", f"{name}.2"]
    assert all((p / "journal.jsonl").read_text() for p in tmp_path.iterdir())


def test_a_run_goes_on_on_the_device_it_was_begun_on(tmp_path):
    RunFolder(tmp_path, CONFIG).close()
    with pytest.raises(ValueError, match=r"begun with device=cpu .* got device=cuda"):
        RunFolder(tmp_path, CONFIG.resolved("cuda", "fp32"))
    assert read_config(next(tmp_path.iterdir()))["config"]["device"] == "cpu"
