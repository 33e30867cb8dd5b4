"""The grid command in real processes: killed, stopped, failing, refused, started together."""

import csv
import os
import signal
import time
from collections import Counter

import pytest
from child_processes import ChildProcesses, dice, finish

from analysis.claims import plan
from entrypoints import grid
from looped.grid.timing import speeds

SMALL = {
    "sizes": "tiny", "n_dims": 2, "n_examples": 7, "batch_size": 8, "steps": 300, "log_every": 10,
    "checkpoint_seconds": 0.1, "device": "cpu", "evaluate": "false", "register": "false",
}  # fmt: skip


@pytest.fixture
def grids(store, tmp_path):
    return ChildProcesses(store, tmp_path / "runs", "grid", SMALL)


def states(grids):
    """The states of the trainings in the grid's table."""
    (path,) = grids.root.glob("grid-*/trainings.csv")
    return [row["state"] for row in csv.DictReader(path.read_text().splitlines())]


@pytest.mark.crash
def test_killed_and_started_again_it_loses_nothing_and_makes_no_double(grids):
    process = grids.start(bs="1,2", seeds="1,2", steps=300)
    grids.wait_for_records(process, dice().randrange(10, 90))
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    journals = {path: path.read_bytes() for path in grids.root.glob("*/journal.jsonl")}
    assert len(grids.runs("training", "FINISHED")) < 4  # there is something left to lose

    output, code = grids.run(bs="1,2", seeds="1,2", steps=300)
    assert code == 0, output
    assert "4 trainings: " in output.splitlines()[-1]
    killed_parent, parent = grids.runs("grid")
    assert (killed_parent.info.status, parent.info.status) == ("KILLED", "FINISHED")
    finished_runs = grids.runs("training", "FINISHED")
    assert set(Counter(run.data.tags["identity"] for run in finished_runs).values()) == {1}
    assert len(finished_runs) == 4
    assert all(grids.steps(run) == [1, *range(10, 301, 10)] for run in finished_runs)
    for run in grids.runs("training", "KILLED"):
        heir = grids.store.get_run(run.data.tags["superseded_by"])
        assert heir.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert not grids.runs("training", "RUNNING")
    note = parent.data.tags["mlflow.note.content"]
    assert "a finished run for 4 of the 4 trainings, and more than one for 0." in note
    query = note.split("`")[-2]
    listed_runs = grids.store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)
    assert {run.info.run_id for run in listed_runs} == {run.info.run_id for run in finished_runs}
    for path, content in journals.items():  # what the killed processes had written was gone on from
        assert path.read_bytes().startswith(content.rpartition(b"\n")[0])


@pytest.mark.slow
def test_a_failing_training_stops_no_other_and_is_tried_again_when_asked(grids):
    wild = {"learning_rate": "1e30,auto", "grad_clip": 1e30, "warmup": 0, "steps": 50}
    wild |= {"bs": 1, "seeds": 3, "workers": 1}
    output, code = grids.run(**wild, tracking="offline")
    assert code == 1, output
    assert states(grids) == ["failed", "finished"]
    reason = "tiny-b1-s3: failed: loss, query error and gradient norm must stay finite, at step "
    assert reason in output
    output, code = grids.run(**wild, tracking="offline")
    assert (code, output.splitlines()[0]) == (1, "2 trainings: 1 done before, 1 failed before")
    assert "-P retry_failed=true tries again what failed before" in output
    # the finished one is only told, the failed one fails again
    output, code = grids.run(**wild, retry_failed="true")
    assert (code, output.splitlines()[-1]) == (1, "2 trainings: 1 finished now, 1 failed")
    statuses = Counter(run.info.status for run in grids.runs("training"))
    assert statuses == {"FINISHED": 1, "FAILED": 1}
    assert [run.info.status for run in grids.runs("grid")] == ["FAILED"]


@pytest.mark.slow
def test_a_signal_to_the_grid_alone_stops_its_workers_in_good_order(grids):
    process = grids.start(bs="1,2,3", steps=100_000, seeds=1)
    grids.wait_for_records(process, 30)
    process.terminate()
    output, code = finish(process, 60)
    assert code == 128 + signal.SIGTERM
    assert "Traceback" not in output
    assert "give the same command to go on" in output
    trainings = grids.runs("training")
    assert {run.info.status for run in [*trainings, *grids.runs("grid")]} == {"KILLED"}
    assert all("stopped after" in run.data.tags["looped.reason"] for run in trainings)
    assert list(grids.root.glob("*/checkpoints/*.json"))
    assert sorted(states(grids))[-1] == "to do"


@pytest.mark.slow
def test_eight_that_start_together_on_no_database_lose_nothing(grids, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    monkeypatch.chdir(tmp_path)
    settings = {"steps": 100, "log_every": 1, "sizes": None, "size": "tiny"}
    processes = [grids.start("train", seed=seed, **settings) for seed in range(8)]
    for process in processes:
        output, code = finish(process, 240)
        assert code == 0, output
    from mlflow.tracking import MlflowClient

    grids.store = MlflowClient()
    finished_runs = grids.runs("training", "FINISHED")
    assert {run.data.tags["seed"] for run in finished_runs} == {str(seed) for seed in range(8)}
    for run in finished_runs:
        for name in ("train/loss", "speed/steps_per_s"):
            assert grids.steps(run, name) == list(range(1, 101))


def main(monkeypatch, runs_dir, **changes):
    """Run the command here, for what trains nothing."""
    settings = SMALL | {"runs_dir": runs_dir} | changes
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    monkeypatch.setattr("sys.argv", ["grid", *words])
    monkeypatch.setattr(grid, "StopRequest", lambda: None)
    return grid.main()


def test_a_dry_run_says_what_it_would_do_and_does_nothing(grids, monkeypatch, capsys):
    assert main(monkeypatch, grids.root, bs="1,2", seeds="1,2", dry_run="true") == 0
    *lines, counts, estimate = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        f"tiny-b{b}-s{s}" for b in (1, 2) for s in (1, 2)
    ]
    assert counts == "4 trainings: 4 to do"
    assert estimate.startswith("to train: 4 trainings, ")
    assert not grids.runs("grid")
    assert not grids.root.exists()


def test_a_dry_run_says_which_claims_it_can_decide_from_the_runs_that_there_are(
    planted_store, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(plan, "MOST_DRAWS", 400)
    monkeypatch.setattr(grid, "KEPT_RESULTS", tmp_path)
    trained = {"n_dims": 5, "n_examples": 63, "batch_size": 64, "steps": 7500, "evaluate": "true"}
    cells = {"sizes": "tiny,small,medium", "bs": "1,5,10,15", "seeds": "42,451,1984"}
    settings = trained | cells | {"dry_run": "true", "study": "random-b"}
    monkeypatch.setattr(speeds, "measure_speed", lambda *_: 1e9)
    monkeypatch.setattr(speeds, "measure_evaluation", lambda *_: 1e9)
    assert main(monkeypatch, tmp_path / "runs", **settings) == 0
    lines = capsys.readouterr().out.splitlines()
    (header,) = [line for line in lines if line.startswith("claims, with 3 seeds a cell")]
    assert (
        "like the pilot, 36 finished runs in the store (linear, 7,500 steps, 3 seeds a cell)"
        in header
    )
    words = {line.split()[0]: line for line in lines}
    assert "supported in 99% of them or more" in words["quality-grows-with-size"]
    # medium is planted to lose a bit beyond b, so that there is something to explain
    assert "where it does lie the pilot cannot tell" in words["random-b-uniform-equal-steps"]
    assert not any(line.startswith("warning") for line in lines)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"bs": "1,5", "tied": "false", "b_draw": "uniform"},
         "grid: every training must be one that train takes, got b=1: "
         "an untied model has a stack for each of its b loops, so b_draw must be fixed, got "
         "uniform"),
        ({"seeds": "42,7,42.0"}, "grid: trainings must differ in what decides their outcome, "
         "got tiny-b1-s42 twice"),
        ({"replicas": "some"}, "grid: replicas must be auto, off or a whole number from 1 to "
         "1,000,000, got some"),
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
    start = time.monotonic()
    assert main(monkeypatch, grids.root, bs="1") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("grid: MLflow must be reachable, got http://127.0.0.1:1: ")
    assert time.monotonic() - start < 10


@pytest.mark.slow
def test_a_grid_through_mlflow_run_nests_and_registers(grids):
    settings = {"bs": "1,2", "seeds": "1", "b_max": 4, "steps": 20}
    output, code = finish(grids.start_project(**settings, evaluate="true", register="true"))
    assert code == 0, output
    (parent,) = grids.runs("grid")
    assert parent.data.params["bs"] == "1,2"
    children = grids.runs("training", "FINISHED")
    assert [run.data.tags["mlflow.parentRunId"] for run in children] == [parent.info.run_id] * 2
    assert len(grids.store.search_model_versions("name='looped-linear-tiny-d2-n7'")) == 2
    baselines = [run.data.tags["baseline"] for run in grids.runs("baseline")]
    assert len(baselines) == len(set(baselines)) > 2
