import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from looped.config import TrainConfig
from looped.records.checkpoint import save_checkpoint
from looped.records.damage import UnwritableError
from looped.records.folder import (
    FolderInUseError,
    RunFolder,
    is_held_by,
    load_config,
    read_config,
)

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"config": {"device": "cqu"}}', "[" * 100_000], ids=range(5)
)
def test_a_damaged_configuration_is_written_again_since_the_name_confirms_it(
    tmp_path, caplog, text
):
    RunFolder(tmp_path, CONFIG).close()
    (path,) = tmp_path.iterdir()
    before = (path / "config.json").read_text()
    (path / "config.json").write_text(text)
    RunFolder(tmp_path, CONFIG).close()
    assert (path / "config.json").read_text() == before
    (line,) = caplog.messages
    assert line.startswith(f"{path / 'config.json'} must hold what was written there, but: ")


def test_a_damaged_journal_gives_the_lock_back_and_can_be_put_aside(tmp_path):
    RunFolder(tmp_path, CONFIG).close()
    (path,) = tmp_path.iterdir()
    (path / "journal.jsonl").write_text("?\n")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"journal\.jsonl must hold"):
            RunFolder(tmp_path, CONFIG)
    RunFolder(tmp_path, CONFIG, fresh=True).close()
    assert (tmp_path / f"{path.name}.1" / "journal.jsonl").read_text() == "?\n"


def test_a_journal_that_is_lost_beside_a_checkpoint_is_said(tmp_path, caplog):
    RunFolder(tmp_path, CONFIG).close()
    (path,) = tmp_path.iterdir()
    save_checkpoint(path / "checkpoints", 5, {}, {})
    RunFolder(tmp_path, CONFIG).close()
    (line,) = caplog.messages
    assert "is empty beside a checkpoint at step 5" in line
    RunFolder(tmp_path, CONFIG, fresh=True).close()
    assert (tmp_path / f"{path.name}.1" / "checkpoints").exists()
    assert not (path / "checkpoints").exists()


@pytest.mark.parametrize("target", ["victim", "nothing"])
def test_a_lock_that_is_a_link_is_refused(tmp_path, target):
    (tmp_path / "victim").write_text("precious")
    path = tmp_path / "runs" / f"{CONFIG.name}-{CONFIG.identity}"
    path.mkdir(parents=True)
    (path / "lock").symlink_to(tmp_path / target)
    with pytest.raises(UnwritableError, match=f"got {path / 'lock'}: "):
        RunFolder(tmp_path / "runs", CONFIG)
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "nothing").exists()
    assert not is_held_by(path, "precious")


def test_what_an_older_version_wrote_stays_as_it_is(tmp_path):
    """So that runs which lie in a repository stay unchanged when MLflow is told of them."""
    name = "tiny-b5-s42-5a0b5461e669"
    (tmp_path / name).mkdir()
    path = tmp_path / name / "config.json"
    path.write_bytes((ROOT / "results" / "h100" / name / "config.json").read_bytes())
    before = path.read_text("utf-8")
    assert '"average"' not in before
    RunFolder(tmp_path, load_config(tmp_path / name)).close()
    assert path.read_text("utf-8") == before
    settings = json.loads(before)
    settings["config"]["log_every"] = 50
    path.write_text(json.dumps(settings))
    RunFolder(tmp_path, replace(load_config(tmp_path / name), log_every=25)).close()
    assert load_config(tmp_path / name).log_every == 25
