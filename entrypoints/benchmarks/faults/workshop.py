"""A folder and a store in which commands are started, killed, and started again."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from entrypoints.benchmarks.commands import LAUNCHER, ROOT
from looped.names import Variable

SMALL: Mapping[str, object] = {
    "n_dims": 2, "n_examples": 7, "batch_size": 8, "steps": 400, "log_every": 10,
    "checkpoint_seconds": 0.1, "device": "cpu", "b_max": 8, "n_prompts": 640,
}  # fmt: skip
"""Trainings of some seconds, nearly all of which is spent beside their steps."""

LONGEST = 600.0  # seconds that a command may take


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    output: str

    @property
    def has_traceback(self) -> bool:
        """Whether somebody had to read one."""
        return "Traceback (most recent call last)" in self.output


class Workshop:
    """Commands of one store and one folder of runs.

    Args:
        folder: is used up.
        uri: of the store; a database in the folder if left out.
    """

    def __init__(self, folder: Path, uri: str = "") -> None:
        self.folder = folder
        self.runs_dir = folder / "runs"
        self.uri = uri or f"sqlite:///{folder / 'mlflow.db'}"

    def start(self, command: str, **settings: object) -> "subprocess.Popen[str]":
        """Start a command in a group of processes of its own."""
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        inherited = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
        path = os.pathsep.join([str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])])
        return subprocess.Popen(
            [sys.executable, "-m", f"entrypoints.{command}", *words],
            cwd=self.folder,
            env=inherited | {Variable.TRACKING_URI: self.uri, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def start_training(self, **changes: object) -> "subprocess.Popen[str]":
        """Start a small training."""
        settings = {"size": "tiny", "b": 2, **SMALL, "runs_dir": self.runs_dir} | changes
        return self.start("train", **settings)

    def start_grid(self, **changes: object) -> "subprocess.Popen[str]":
        """Start a grid of four small trainings on two workers."""
        lists = {"sizes": "tiny", "bs": "1,2", "seeds": "1,2", "workers": 2}
        return self.start("grid", **(lists | dict(SMALL) | {"runs_dir": self.runs_dir} | changes))

    def run(self, command: str, **settings: object) -> Ended:
        """Run a command to its end."""
        return finish(self.start(command, **settings))


def finish(process: "subprocess.Popen[str]") -> Ended:
    """Wait for a command's end; one that does not come to it is killed, and has no good code."""
    try:
        output, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        output += f"\nit did not end within {LONGEST:g} s"
    return Ended(process.returncode, output)


def kill_at(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Kill a command and all that it started, at a moment; tell whether it still lived."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    was_alive = process.poll() is None
    if was_alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return was_alive


def moments(dice: random.Random, longest: float, count: int) -> Sequence[float]:
    """Draw moments of a command's life, in seconds."""
    return [dice.uniform(0, longest) for _ in range(count)]


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards, whoever may still write there."""
    folder = Path(mkdtemp(prefix="looped-faults-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
