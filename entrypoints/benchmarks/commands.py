"""The project's own commands, started as a user would and timed from outside."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from looped.config import TrainConfig
from looped.names import Variable
from looped.records import journal

ROOT = Path(__file__).parents[2]
LAUNCHER = (Variable.RUN_ID, Variable.EXPERIMENT_NAME, Variable.EXPERIMENT_ID)


class CommandError(RuntimeError):
    """A command that was to be timed failed."""


class Place(NamedTuple):
    """A folder for runs and an MLflow store in a file, both empty at first."""

    folder: Path

    @property
    def uri(self) -> str:
        """The store."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def environment(self) -> dict[str, str]:
        """What sends a command there, whatever store this process logs to."""
        inherited = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
        path = os.pathsep.join([str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])])
        return inherited | {Variable.TRACKING_URI: self.uri, "PYTHONPATH": path}


class Course(NamedTuple):
    """When a command began (``start``, in seconds since 1970), and the seconds that it took.

    ``processor`` are those in which it computed: on a busy machine they tell more.
    """

    start: float
    seconds: float
    processor: float


@contextmanager
def temporary_place() -> Iterator[Place]:
    """Make a place that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Place(Path(folder))


def run(place: Place, command: str, settings: Mapping[str, object]) -> Course:
    """Run ``python -m entrypoints.<command>`` to its end.

    Raises:
        CommandError: it failed.
    """
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return _python(place, ["-m", f"entrypoints.{command}", *words])


def ask_for_help(place: Place, command: str) -> Course:
    """Run a command that only says how it is used."""
    return _python(place, ["-m", f"entrypoints.{command}", "--help"])


def train(place: Place, config: TrainConfig, tracking: str, **further: object) -> Course:
    """Run a training of a cell that evaluates and registers nothing, unless told to."""
    names = ("size", "b", "prompt", "n_examples", "batch_size", "precision", "device", "steps")
    settings = {name: getattr(config, name) for name in names} | {
        "tracking": tracking,
        "evaluate": "false",
        "register": "false",
        "resume": "never",
        "runs_dir": place.folder / "runs",
    }
    return run(place, "train", settings | further)


def to_first_step(place: Place, config: TrainConfig, tracking: str) -> Course:
    """Time a training from its command to the end of its first step, by its journal's word.

    The processor's time is that of the whole command.
    """
    runs = Path(tempfile.mkdtemp(dir=place.folder))
    course = train(place, config, tracking, steps=1, runs_dir=runs)
    (path,) = runs.glob("*/journal.jsonl")
    records, _ = journal.read(path)
    (first,) = (record["time"] for record in records if record["kind"] == "metrics")
    return course._replace(seconds=first / 1e3 - course.start)


def make_store(place: Place) -> Course:
    """Make the tables of the place's store."""
    return _python(
        place, ["-c", "from looped.tracking.stores.store import open_store; open_store()"]
    )


def _python(place: Place, words: list[str]) -> Course:
    processor_before, start = _processor_seconds(), time.time()
    process = subprocess.run(
        [sys.executable, *words],
        cwd=place.folder,
        env=place.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        lines = (process.stderr.strip() or process.stdout.strip()).splitlines()
        raise CommandError(f"{' '.join(words[:2])} failed: {lines[-1] if lines else 'silently'}")
    return Course(start, time.time() - start, _processor_seconds() - processor_before)


def _processor_seconds() -> float:
    """Of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
