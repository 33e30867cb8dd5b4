"""The grid command in real processes: killed, stopped, failing, refused, started together."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from entrypoints import grid

ROOT = Path(__file__).parents[2]
SMALL = {
    "sizes": "tiny", "n_dims": 2, "n_examples": 7, "batch_size": 8, "steps": 300, "log_every": 10,
    "checkpoint_seconds": 0.1, "device": "cpu", "evaluate": "false", "register": "false",
}  # fmt: skip


class Grids:
    """Starts grids in a store and a folder of the test's own."""

    def __init__(self, store, root):
        self.store = store
        self.root = root

    def start(self, name="grid", **changes):
        settings = SMALL | {"runs_dir": self.root} | changes
        words = [word for key, value in settings.items() if value is not None
                 for word in (f"--{key}", str(value))]  # fmt: skip
        command = [sys.executable, "-m", f"entrypoints.{name}", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, **changes):
        output, _ = (process := self.start(**changes)).communicate(timeout=180)
        return output, process.returncode

    def runs(self, kind="training", status=None):
        query = f"tags.`looped.kind` = '{kind}'"
        found = self.store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)
        return [run for run in found if status in (None, run.info.status)]

    def points(self):
        return sum(path.read_bytes().count(b"\n") for path in self.root.glob("*/journal.jsonl"))

    def wait_for_points(self, process, n_points):
        deadline = time.monotonic() + 90
        while self.points() < n_points:
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.fail(f"it ended early: {process.communicate()[0]}")
            time.sleep(0.01)

    def states(self):
        (path,) = self.root.glob("grid-*/cells.csv")
        return [row["state"] for row in csv.DictReader(path.read_text().splitlines())]


@pytest.fixture
def grids(store, tmp_path):
    return Grids(store, tmp_path / "runs")


def test_killed_and_started_again_it_loses_nothing_and_makes_no_double(grids):
    process = grids.start(bs="1,2", seeds="1,2", steps=300)
    grids.wait_for_points(process, 45)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    begun = {path: path.read_bytes() for path in grids.root.glob("*/journal.jsonl")}
    assert len(begun) < 4 or len(grids.runs(status="FINISHED")) < 4

    output, code = grids.run(bs="1,2", seeds="1,2", steps=300)
    assert code == 0, output
    assert "4 cells: " in output.splitlines()[-1]
    dead, parent = sorted(grids.runs("grid"), key=lambda run: run.info.start_time)
    assert (dead.info.status, parent.info.status) == ("KILLED", "FINISHED")
    finished = grids.runs(status="FINISHED")
    assert Counter(run.data.tags["identity"] for run in finished).most_common()[0][1] == 1
    assert len(finished) == 4
    for run in finished:
        steps = [m.step for m in grids.store.get_metric_history(run.info.run_id, "train/loss")]
        assert steps == [1, *range(10, 301, 10)]
    for run in grids.runs(status="KILLED"):
        heir = grids.store.get_run(run.data.tags["superseded_by"])
        assert heir.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert not grids.runs(status="RUNNING")
    note = parent.data.tags["mlflow.note.content"]
    assert "a finished run for 4 of the 4 cells, and more than one for 0." in note
    query = note.split("`")[-2]
    found = grids.store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)
    assert {run.info.run_id for run in found} == {run.info.run_id for run in finished}
    for path, content in begun.items():  # what the killed processes had written was gone on from
        assert path.read_bytes().startswith(content.rpartition(b"\n")[0])


@pytest.mark.slow
def test_a_failing_cell_stops_no_other_and_is_tried_again_when_asked(grids):
    wild = {"learning_rate": "1e30,auto", "grad_clip": 1e30, "warmup": 0, "steps": 50}
    wild |= {"bs": 1, "seeds": 3, "workers": 1}
    output, code = grids.run(**wild, tracking="offline")
    assert code == 1, output
    assert grids.states() == ["failed", "finished"]
    said = "tiny-b1-s3: failed: loss, query error and gradient norm must stay finite, at step "
    assert said in output
    output, code = grids.run(**wild, tracking="offline")
    assert (code, output.splitlines()[0]) == (1, "2 cells: 1 done before, 1 failed before")
    assert "-P retry_failed=true tries again what failed before" in output
    # the finished one is only told, the failed one fails again
    output, code = grids.run(**wild, retry_failed="true")
    assert (code, output.splitlines()[-1]) == (1, "2 cells: 1 finished now, 1 failed")
    assert [len(grids.runs(status=s)) for s in ("FINISHED", "FAILED", "RUNNING")] == [1, 1, 0]
    assert [run.info.status for run in grids.runs("grid")] == ["FAILED"]


@pytest.mark.slow
def test_a_signal_to_the_grid_alone_stops_its_workers_in_good_order(grids):
    process = grids.start(bs="1,2,3", steps=100_000, seeds=1)
    grids.wait_for_points(process, 30)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in output
    assert "the same command goes on" in output
    assert {run.info.status for run in [*grids.runs(), *grids.runs("grid")]} == {"KILLED"}
    assert all("stopped after" in run.data.tags["looped.reason"] for run in grids.runs())
    assert list(grids.root.glob("*/checkpoints/*.json"))
    assert sorted(grids.states())[-1] == "to do"


def test_eight_that_start_together_on_no_database_lose_nothing(grids, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    monkeypatch.chdir(tmp_path)
    alone = {"steps": 100, "log_every": 1, "sizes": None, "size": "tiny"}
    processes = [grids.start("train", seed=seed, **alone) for seed in range(8)]
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    from mlflow.tracking import MlflowClient

    grids.store = MlflowClient()
    finished = grids.runs(status="FINISHED")
    assert {run.data.tags["seed"] for run in finished} == {str(seed) for seed in range(8)}
    for run in finished:
        for name in ("train/loss", "speed/steps_per_s"):
            history = grids.store.get_metric_history(run.info.run_id, name)
            assert [m.step for m in history] == list(range(1, 101))


def main(monkeypatch, runs_dir, **changes):
    """Run the command here, for what trains nothing."""
    settings = SMALL | {"runs_dir": runs_dir} | changes
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    monkeypatch.setattr("sys.argv", ["grid", *words])
    monkeypatch.setattr(grid, "StopRequest", lambda: None)
    return grid.main()


def test_a_dry_run_says_what_it_would_do_and_does_nothing(grids, monkeypatch, capsys):
    assert main(monkeypatch, grids.root, bs="1,2", seeds="1,2", dry_run="true") == 0
    *cells, counts, estimate = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in cells] == [
        f"tiny-b{b}-s{s}" for b in (1, 2) for s in (1, 2)
    ]
    assert counts == "4 cells: 4 to do"
    assert estimate.startswith("to train: 4 cells, ")
    assert not grids.runs("grid")
    assert not grids.root.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bs": "1,5", "loop_window": 3}, "grid: every cell must be one that train takes, got b=1: "
         "loop_window must lie in [1, b=1], got 3"),
        ({"seeds": "42,7,42.0"}, "grid: cells must differ in what decides their outcome, "
         "got tiny-b1-s42 twice"),
        ({"replicas": "some"}, "grid: replicas must be auto, off or a whole number of at least 1, "
         "got some"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_before_anything_starts(grids, monkeypatch, capsys, changes, says):
    try:
        code = main(monkeypatch, grids.root, **({"bs": "1", "seeds": 1} | changes))
    except SystemExit as refusal:
        code = refusal.code
    assert code == 2
    assert capsys.readouterr().err == says + "\n"
    assert not grids.runs("grid")


def test_an_unreachable_server_is_one_line_quickly(grids, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    begun = time.monotonic()
    assert main(monkeypatch, grids.root, bs="1") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("grid: MLflow must be reachable, got http://127.0.0.1:1: ")
    assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_a_grid_through_mlflow_run_nests_and_registers(grids):
    settings = SMALL | {"runs_dir": grids.root, "bs": "1,2", "seeds": "1", "b_max": 4}
    settings |= {"evaluate": "true", "register": "true", "steps": 20}
    words = [word for key, value in settings.items() for word in ("-P", f"{key}={value}")]
    command = [sys.executable, "-m", "mlflow", "run", ".", "-e", "grid", *words]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*command, "--env-manager", "local"], cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (parent,) = grids.runs("grid")
    assert parent.data.params["bs"] == "1,2"
    children = grids.runs(status="FINISHED")
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 2
    assert len(grids.store.search_model_versions("name='looped-linear-tiny-d2-n7'")) == 2
    baselines = [run.data.tags["baseline"] for run in grids.runs("baseline")]
    assert len(baselines) == len(set(baselines)) > 2
