"""The slot on a lent GPU, from its command to its end: at the smallest scale, on this CPU."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLOT = ROOT / "entrypoints" / "benchmarks" / "gpu_slot.sh"
LACKING = """
import sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mlflow", "beartype", "sqlalchemy", "ray"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Lacking())
"""
WORDS = (
    "--sizes tiny --bs 1,2 --seeds 1 --n_dims 1 --n_examples 3 --batch_size 4 --steps {steps} "
    "--warmup 5 --b_max 4 --n_prompts 16 --checkpoint_seconds 0 --workers 1 --device cpu"
)
STEPS = 150
MEBIBYTE = 2**20


class Slots:
    """Slots of one grid, each with a folder of its own for trainings, as on a machine each."""

    def __init__(self, folder, steps):
        self.folder = folder
        self.words = WORDS.format(steps=steps)
        self.lacking = folder / "lacking"
        self.lacking.mkdir(parents=True)
        (self.lacking / "sitecustomize.py").write_text(LACKING)

    def start(self, name, **variables):
        folders = {"OUT": self.folder / name, "RUNS": self.folder / f"{name}-trainings"}
        environment = os.environ | {
            "PYTHON": sys.executable,
            "PYTHONPATH": str(self.lacking),
            "GRID": self.words,
            "TESTS": "",
            "PART_MIB": "1",
            "MOST_PARTS": "5",
            **{key: str(value) for key, value in (folders | variables).items()},
        }
        return subprocess.Popen(
            [SLOT], env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def log(self, name):
        return (self.folder / name / "slot.log").read_text("utf-8")

    def parts(self, name):
        return sorted((self.folder / name).glob("trainings.tar.gz.*"))

    def errors(self, name):
        """The error of each training that has finished, as the parts of a slot have it."""
        folder = self.folder / f"{name}-unpacked"
        folder.mkdir()
        packed = b"".join(part.read_bytes() for part in self.parts(name))
        subprocess.run(["tar", "-xzf", "-", "-C", folder], input=packed, check=True)
        errors = {}
        for journal in folder.glob("*/journal.jsonl"):
            records = [json.loads(line) for line in journal.read_text().splitlines()]
            if records[-1].get("status") == "FINISHED":
                (outcome,) = (each for each in records if each["kind"] == "outcome")
                errors[journal.parent.name] = outcome["values"]["held_out/nmse"]
        return errors


def wait_for(is_so, process, seconds=120):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)


@pytest.fixture(scope="module")
def errors_of_whole_grid(tmp_path_factory):
    """What the trainings come to that nothing cut off."""
    slots = Slots(tmp_path_factory.mktemp("slot"), STEPS)
    assert slots.start("whole").wait(180) == 0
    errors = slots.errors("whole")
    assert len(errors) == 2
    return errors


@pytest.mark.slow  # grids as processes of their own, about a minute
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_slot_that_is_cut_off_is_gone_on_with(tmp_path, errors_of_whole_grid, end):
    slots = Slots(tmp_path, STEPS)
    first = slots.start("first", PACK_SECONDS=1, TESTS="tests/training/test_gpu.py")
    trainings = tmp_path / "first-trainings"
    wait_for(lambda: list(trainings.glob("*/checkpoints/step-*.json")), first)
    if end == signal.SIGKILL:  # which leaves no time to pack: the last packing stands
        before = time.time()
        wait_for(
            lambda: any(part.stat().st_mtime > before + 1 for part in slots.parts("first")), first
        )
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    else:
        first.terminate()
        assert first.wait(60) != 0
    assert 1 <= len(slots.parts("first")) <= 5
    assert all(part.stat().st_size <= MEBIBYTE for part in slots.parts("first"))
    assert len(slots.errors("first")) < 2

    second = slots.start("second", BEFORE=tmp_path / "first")
    assert second.wait(180) == 0, slots.log("second")
    assert "went on from" in slots.log("second")
    assert "2 trainings have finished" in slots.log("second")
    assert slots.errors("second") == errors_of_whole_grid


def test_parts_that_are_not_whole_are_refused_before_anything_is_trained(tmp_path):
    slots = Slots(tmp_path, steps=20)
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "trainings.tar.gz.00").write_bytes(b"no archive")
    assert slots.start("first", BEFORE=tmp_path / "before").wait(30) == 2
    assert "BEFORE must hold all parts of an earlier slot, whole, got " in slots.log("first")
    assert slots.parts("first") == []
