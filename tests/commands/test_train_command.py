"""The train command in real processes: killed, stopped, refused, run through MLflow."""

import os
import signal
import time

import environments
import pytest
from child_processes import ChildProcesses, dice, finish
from safetensors.torch import load_file

SMALL = {
    "size": "tiny", "b": 2, "n_dims": 2, "n_examples": 7, "batch_size": 8,
    "steps": 600, "log_every": 10, "checkpoint_seconds": 0.1, "device": "cpu", "evaluate": "false",
    "register": "false",
}  # fmt: skip


@pytest.fixture
def commands(store, tmp_path):
    return ChildProcesses(store, tmp_path / "runs", "train", SMALL)


ALL_STEPS = [1, *range(10, 601, 10)]


@pytest.mark.crash
def test_killed_at_random_moments_it_ends_as_if_it_never_was(commands, tmp_path):
    output, code = commands.run(runs_dir=tmp_path / "whole")
    assert code == 0, output
    moments = dice()
    for _ in range(3):
        n_records = commands.n_records() + moments.randrange(4, 16)
        process = commands.start()
        commands.wait_for_records(process, n_records)
        time.sleep(moments.random() * 0.05)
        process.kill()
        finish(process)
    output, code = commands.run()
    assert code == 0, output

    whole, resumed = (
        load_file(next((tmp_path / name).glob("*/model/weights.safetensors")))
        for name in ("whole", "runs")
    )
    assert all((whole[name] == resumed[name]).all() for name in whole)
    first, *killed_runs, last = commands.runs()
    assert [run.info.status for run in killed_runs] == ["KILLED"] * 3
    assert [run.data.tags["superseded_by"] for run in killed_runs] == [last.info.run_id] * 3
    assert last.info.status == "FINISHED"
    assert commands.steps(last) == ALL_STEPS
    same = {k: v for k, v in first.data.metrics.items() if not k.startswith(("speed/", "memory/"))}
    assert same.items() <= last.data.metrics.items()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_good_order(commands, number):
    process = commands.start()
    commands.wait_for_records(process, 5)
    process.send_signal(number)
    output, code = finish(process)
    assert code == 128 + number
    assert "Traceback" not in output
    assert output.splitlines()[-1] == "give the same command to go on"
    (run,) = commands.runs()
    assert run.info.status == "KILLED"
    assert "stopped after" in run.data.tags["looped.reason"]
    assert list(commands.root.glob("*/checkpoints/*.json"))


def test_a_training_that_diverges_is_a_failed_run_and_says_so(commands):
    output, code = commands.run(learning_rate=1e30, grad_clip=1e30, warmup=0)
    assert code == 1
    assert output.splitlines()[-1].startswith(
        "tiny-b2-s42: loss, query error and gradient norm must stay finite, at step "
    )
    (run,) = commands.runs()
    assert run.info.status == "FAILED"


@pytest.mark.crash
def test_two_commands_for_one_configuration_do_not_meet(commands):
    process = commands.start(steps=100_000)
    commands.wait_for_records(process, 3)
    output, code = commands.run(steps=100_000)
    assert code == 1
    assert output.startswith("train: one process at a time may work in a folder")
    process.terminate()
    finish(process)
    assert [run.info.status for run in commands.runs()] == ["KILLED"]


def test_refusals_leave_no_run_behind(commands):
    output, code = commands.run(loop_window=0)
    assert code == 2
    assert output == "train: loop_window must be a whole number of at least 1, got 0\n"
    assert commands.runs() == []


@pytest.mark.crash
def test_a_registry_that_is_away_takes_nothing_from_the_run(commands, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    output, code = commands.run(steps=20, register="true")
    assert code == 1
    assert "Traceback" not in output
    (complaint,) = [line for line in output.splitlines() if line.startswith("train: ")]
    (run,) = commands.runs()
    assert complaint.startswith("train: tiny-b2-s42 is finished, and mlflow run . -e import_runs ")
    name = "looped-linear-tiny-d2-n7"
    assert f": run {run.info.run_id} must be registered as {name}, got: " in complaint
    assert run.info.status == "FINISHED"


def test_mlflow_run_trains_and_a_bad_value_there_is_a_failed_run(commands, tmp_path):
    checkout = environments.checkout_set_up_without_conda(tmp_path / "checkout")
    settings = {"steps": 20, "evaluate": "true", "b_max": 4, "register": "true"}
    output, code = finish(commands.start_bare_project(checkout, **settings))
    assert code == 0, output
    assert "stand-in for conda: this runs in " in output
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


@pytest.mark.slow
def test_ctrl_c_on_mlflow_run_is_no_failure(commands):
    """MLflow marks the run FAILED; the next process that trains it says what came of it."""
    process = commands.start_project(steps=100_000, checkpoint_seconds=0.5)
    commands.wait_for_records(process, 6)
    os.killpg(process.pid, signal.SIGINT)
    finish(process)
    (first,) = commands.runs()
    assert first.info.status == "FAILED"
    again = commands.start(steps=100_000)
    commands.wait_for_records(again, 12)
    again.terminate()
    finish(again)
    first, second = commands.runs()
    assert (first.info.status, second.info.status) == ("KILLED", "KILLED")
    assert first.data.tags["looped.reason"].startswith("stopped after")


@pytest.mark.crash
def test_a_signal_to_mlflow_run_alone_stops_the_training_too(commands):
    process = commands.start_project(steps=100_000)
    commands.wait_for_records(process, 3)
    process.terminate()
    finish(process)
    deadline = time.monotonic() + 30
    while (status := commands.runs()[0].info.status) == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert status == "KILLED"
