"""The train command in real processes: killed, stopped, refused, run through MLflow."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]
SMALL = {
    "size": "tiny", "b": 2, "n_dims": 2, "n_examples": 7, "batch_size": 8,
    "steps": 600, "log_every": 10, "checkpoint_seconds": 0.1, "device": "cpu", "evaluate": "false",
    "register": "false",
}  # fmt: skip


class Commands:
    """Starts the command in a store and a folder of the test's own."""

    def __init__(self, store, runs_dir):
        self.store = store
        self.runs_dir = runs_dir

    def start(self, launcher=("-m", "entrypoints.train"), **changes):
        settings = SMALL | {"runs_dir": self.runs_dir} | changes
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        return self._open([sys.executable, *launcher, *words])

    def start_project(self, **changes):
        settings = SMALL | {"runs_dir": self.runs_dir} | changes
        words = [word for name, value in settings.items() for word in ("-P", f"{name}={value}")]
        launcher = [sys.executable, "-m", "mlflow", "run", ".", "-e", "train"]
        return self._open([*launcher, *words, "--env-manager", "local"])

    def _open(self, command):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def runs(self):
        experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
        return self.store.search_runs([experiment], order_by=["start_time"])

    def steps(self, run, name="train/loss"):
        return [m.step for m in self.store.get_metric_history(run.info.run_id, name)]

    def wait_for_points(self, process, n_points):
        """Wait until the journal has so many records and the process still lives."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            journals = list(Path(self.runs_dir).glob("*/journal.jsonl"))
            if journals and journals[0].read_bytes().count(b"\n") >= n_points:
                return
            time.sleep(0.01)
        pytest.fail(f"it ended early: {process.communicate()[0]}")


@pytest.fixture
def commands(store, tmp_path):
    return Commands(store, tmp_path / "runs")


def finish(process):
    output, _ = process.communicate(timeout=120)
    return output, process.returncode


ALL_STEPS = [1, *range(10, 601, 10)]


def test_killed_at_random_moments_it_ends_as_if_it_never_was(commands, tmp_path):
    output, code = finish(commands.start(runs_dir=tmp_path / "whole"))
    assert code == 0, output
    dice = random.Random()
    for n_points in sorted(dice.sample(range(4, 55), 3)):
        process = commands.start()
        commands.wait_for_points(process, n_points)
        time.sleep(dice.random() * 0.05)
        process.kill()
        process.communicate()
    output, code = finish(commands.start())
    assert code == 0, output

    whole, resumed = (
        load_file(next((tmp_path / name).glob("*/model/weights.safetensors")))
        for name in ("whole", "runs")
    )
    assert all((whole[name] == resumed[name]).all() for name in whole)
    first, *killed, last = commands.runs()
    assert [run.info.status for run in killed] == ["KILLED"] * 3
    assert [run.data.tags["superseded_by"] for run in killed] == [last.info.run_id] * 3
    assert last.info.status == "FINISHED"
    assert commands.steps(last) == ALL_STEPS
    same = {k: v for k, v in first.data.metrics.items() if not k.startswith(("speed/", "memory/"))}
    assert same.items() <= last.data.metrics.items()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_good_order(commands, number):
    process = commands.start()
    commands.wait_for_points(process, 5)
    process.send_signal(number)
    output, code = finish(process)
    assert code == 128 + number
    assert "Traceback" not in output
    (run,) = commands.runs()
    assert run.info.status == "KILLED"
    assert "stopped after" in run.data.tags["looped.reason"]
    assert list(Path(commands.runs_dir).glob("*/checkpoints/*.json"))


def test_a_training_that_diverges_is_a_failed_run_and_says_so(commands):
    output, code = finish(commands.start(learning_rate=1e30, grad_clip=1e30, warmup=0))
    assert code == 1
    assert output.splitlines()[-1].startswith(
        "tiny-b2-s42: loss, query error and gradient norm must stay finite, at step "
    )
    (run,) = commands.runs()
    assert run.info.status == "FAILED"


def test_two_commands_for_one_configuration_do_not_meet(commands):
    process = commands.start(steps=100_000)
    commands.wait_for_points(process, 3)
    output, code = finish(commands.start(steps=100_000))
    assert code == 1
    assert output.startswith("train: one process at a time may work in a folder")
    process.terminate()
    finish(process)
    assert [run.info.status for run in commands.runs()] == ["KILLED"]


def test_refusals_leave_no_run_behind(commands):
    output, code = finish(commands.start(loop_window=3))
    assert code == 2
    assert output == "train: loop_window must lie in [1, b=2], got 3\n"
    assert commands.runs() == []


def test_a_registry_that_is_away_takes_nothing_from_the_run(commands, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    output, code = finish(commands.start(steps=20, register="true"))
    assert code == 0
    assert "Traceback" not in output
    (said,) = [line for line in output.splitlines() if line.startswith("train: ")]
    (run,) = commands.runs()
    expected = f"train: run {run.info.run_id} must be registered as looped-linear-tiny-d2-n7 ("
    assert said.startswith(expected)
    assert run.info.status == "FINISHED"


def test_mlflow_run_trains_and_a_bad_value_there_is_a_failed_run(commands):
    output, code = finish(
        commands.start_project(steps=20, evaluate="true", b_max=4, register="true")
    )
    assert code == 0, output
    assert 'load it: mlflow.pyfunc.load_model("models:/looped-linear-tiny-d2-n7/1")' in output
    assert "tiny-b2-s42: NMSE " in output
    assert "mlflow ui" in output
    output, code = finish(commands.start_project(b="ten"))
    assert code == 1
    assert "train: argument --b: must be a whole number, got ten" in output
    first, *baselines, last = commands.runs()
    assert (first.info.status, last.info.status) == ("FINISHED", "FAILED")
    assert commands.steps(first) == [1, 10, 20]
    assert commands.steps(first, "loops/nmse") == [1, 2, 3, 4]
    assert commands.steps(first, "loops/state_change") == [2, 3, 4]
    assert {run.data.tags["baseline"] for run in baselines} >= {"least_squares", "averaging"}
    assert all(commands.steps(run, "loops/nmse") == [1, 2, 3, 4] for run in baselines)
    files = {f.path for f in commands.store.list_artifacts(first.info.run_id, "evaluation")}
    assert "evaluation/extrapolation.svg" in files
    assert "evaluation/baselines.csv" in files


def test_a_signal_to_mlflow_run_alone_stops_the_training_too(commands):
    process = commands.start_project(steps=100_000)
    commands.wait_for_points(process, 3)
    process.terminate()
    finish(process)
    deadline = time.monotonic() + 30
    while (status := commands.runs()[0].info.status) == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert status == "KILLED"
