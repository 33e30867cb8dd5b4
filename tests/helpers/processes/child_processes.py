"""Commands as processes of their own, in a store and folder of the test's: killed, stopped, ended.

Where a test takes a random moment, it asks ``dice``, whose seed every failure prints:
``LOOPED_TEST_SEED=<seed> pytest <test>`` takes the same moments again.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from shlex import quote

import pytest
from environments import variables_without_conda

ROOT = Path(__file__).parents[3]


def dice():
    """Random numbers of a seed that is drawn anew, or that of ``LOOPED_TEST_SEED``."""
    seed = int(os.environ.get("LOOPED_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"random moments: LOOPED_TEST_SEED={seed} takes them again")  # shown where a test fails
    return random.Random(seed)


def finish(process, seconds=180):
    """Wait for a process to end; return what it printed and its exit code."""
    output, _ = process.communicate(timeout=seconds)
    return output, process.returncode


class ChildProcesses:
    """Starts commands with common settings; reads what they leave in the folder and the store.

    Args:
        store: client of the store that the environment names.
        root: the commands' ``runs_dir``.
        command: what is started unless another is named.
        settings: by name; a command may change them, and leaves out those that are None.
    """

    def __init__(self, store, root, command, settings):
        self.store = store
        self.root = root
        self.command = command
        self.settings = settings

    def start(self, command=None, **changes):
        """Start ``python -m entrypoints.<command>`` in a group of processes of its own."""
        words = ["-m", f"entrypoints.{command or self.command}", *self.words(**changes)]
        return self.open_python(words)

    def words(self, **changes):
        """The settings as words of a command line."""
        return [word for name, value in self._written(changes) for word in (f"--{name}", value)]

    def start_project(self, **changes):
        """Start ``mlflow run . -e <command> --env-manager local``."""
        launcher = ["-m", "mlflow", *self._project_words(changes)]
        return self.open_python([*launcher, "--env-manager", "local"])

    def start_bare_project(self, checkout, **changes):
        """Start ``mlflow run . -e <command>`` as one types it inside the checkout's environment."""
        typed = " ".join(map(quote, ["mlflow", *self._project_words(changes)]))
        return subprocess.Popen(
            ["bash", "-c", f"source .venv/bin/activate && exec {typed}"],
            cwd=checkout,
            env=variables_without_conda(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _project_words(self, changes):
        words = [w for name, value in self._written(changes) for w in ("-P", f"{name}={value}")]
        return ["run", ".", "-e", self.command, *words]

    def run(self, **changes):
        """Run the command to its end; return what it printed and its exit code."""
        return finish(self.start(**changes))

    def _written(self, changes):
        settings = self.settings | {"runs_dir": self.root} | changes
        return [(name, str(value)) for name, value in settings.items() if value is not None]

    def open_python(self, words):
        """Start Python with these words in a group of processes of its own."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def n_records(self):
        """Records in the journals of all runs."""
        return sum(path.read_bytes().count(b"\n") for path in self.root.glob("*/journal.jsonl"))

    def wait_for_records(self, process, n_records, seconds=90):
        """Wait until the journals hold so many records, while the process still lives."""
        deadline = time.monotonic() + seconds
        while self.n_records() < n_records:
            if process.poll() is not None:
                pytest.fail(f"it ended early: {process.communicate()[0]}")
            if time.monotonic() > deadline:
                process.kill()
                output, _ = process.communicate()
                pytest.fail(f"{self.n_records()} of {n_records} records in {seconds} s: {output}")
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()[0]

    def runs(self, kind=None, status=None):
        """Runs of the experiment, oldest first: of a kind, with a status."""
        query = f"tags.`looped.kind` = '{kind}'" if kind else ""
        experiment_ids = [os.environ["MLFLOW_EXPERIMENT_ID"]]
        runs = self.store.search_runs(experiment_ids, query, order_by=["start_time"])
        return [run for run in runs if status in (None, run.info.status)]

    def steps(self, run, name="train/loss"):
        """The steps of a run's curve."""
        return [sample.step for sample in self.store.get_metric_history(run.info.run_id, name)]
