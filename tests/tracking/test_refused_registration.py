"""A registry that refuses what a command was asked for: one line, no success, nothing lost."""

import json
import os
import re
import shlex

import pytest
from child_processes import ChildProcesses
from services import answering_alike, free_port

import looped
from entrypoints import import_runs, train

NAME = "looped-linear-tiny-d2-n5"
SMALL = {
    "size": "tiny", "b": 2, "n_dims": 2, "n_examples": 5, "batch_size": 4, "steps": 23,
    "log_every": 5, "device": "cpu", "evaluate": "false",
}  # fmt: skip
REFUSAL = r"HTTP 403 of \S+ \(Permission denied\); .* may not do that there"


@pytest.fixture
def refused(monkeypatch):
    """Lets a server answer 403 to whatever is asked of the registry, until told to let it be."""
    port = free_port()
    with answering_alike(port, 403, b"Permission denied"):
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"http://127.0.0.1:{port}")
        yield lambda: monkeypatch.delenv("MLFLOW_REGISTRY_URI")


@pytest.fixture
def words(tmp_path):
    settings = SMALL | {"runs_dir": tmp_path / "runs"}
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def trainings(store):
    query = "tags.`looped.kind` = 'training'"
    return store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)


def versions(store):
    return store.search_model_versions(f"name='{NAME}'")


def test_train_says_so_and_the_command_that_it_names_registers_the_model(
    call, store, words, refused
):
    code, lines = call(train, *words)
    assert code == 1
    (complaint,) = [line for line in lines if line.startswith("train: ")]
    (run,) = trainings(store)
    expected = r"train: tiny-b2-s42 is finished, and (mlflow run \. -e import_runs .*) registers "
    expected += rf"its model later: run {run.info.run_id} must be registered as {NAME}, got: "
    command = re.match(expected + REFUSAL, complaint)[1]
    assert run.info.status == "FINISHED"
    assert "held_out/nmse" in run.data.metrics

    refused()
    command_words = shlex.split(command)
    assert command_words[-2:] == ["--experiment-name", "test"]
    (path,) = [word.removeprefix("path=") for word in command_words if word.startswith("path=")]
    code, lines = call(import_runs, "--path", path)
    assert code == 0
    assert lines[0] == f"tiny-b2-s42: told before; registered now as models:/{NAME}/1"
    assert [version.run_id for version in versions(store)] == [run.info.run_id]
    assert looped.load(f"models:/{NAME}@best").config.n_dims == 2
    code, lines = call(import_runs, "--path", path)  # and that is all there is to do
    assert (code, lines[0], len(versions(store))) == (0, "tiny-b2-s42: told before", 1)
    assert [each.info.run_id for each in trainings(store)] == [run.info.run_id]


def test_what_is_not_asked_for_is_no_failure(call, store, words, refused):
    code, _ = call(train, *words, "--register", "false")
    assert code == 0
    code, lines = call(import_runs, "--path", words[-1], "--register", "false")
    assert (code, lines[0]) == (0, "tiny-b2-s42: told before")


def test_import_runs_tells_all_and_says_what_was_refused(call, store, words, refused):
    assert call(train, *words, "--tracking", "offline")[0] == 0
    for line in ("1 of 1 run told; 0 were told before", "0 of 1 run told; 1 were told before"):
        code, lines = call(import_runs, "--path", words[-1], "--json")
        assert code == 1
        complaint = "import_runs: 1 model could not be registered, which the same command does "
        assert [each for each in lines if re.match(complaint + f"later; .*{REFUSAL}", each)]
        assert f"{line}; 1 model not registered" in lines
        (run,) = trainings(store)
        assert run.info.status == "FINISHED"
    refused()
    code, lines = call(import_runs, "--path", words[-1], "--json")
    outcome = json.loads("\n".join(lines))
    assert (code, outcome["problems"], outcome["numbers"]["unregistered"]) == (0, [], 0)
    assert len(versions(store)) == 1


@pytest.mark.crash
def test_a_grid_of_processes_is_finished_and_no_success(store, tmp_path, refused):
    lists = {"sizes": "tiny", "bs": "1,2", "seeds": "1", "workers": 2, "size": None, "b": None}
    grids = ChildProcesses(store, tmp_path / "runs", "grid", SMALL | lists)
    output, code = grids.run()
    assert code == 1
    assert "2 trainings: 2 finished now" in output
    expected = r"2 models of trainings that finished could not be registered: (mlflow run .*) does "
    (line,) = re.findall(f"{expected}it later; the first: run .*{REFUSAL}", output)
    assert [run.info.status for run in trainings(store)] == ["FINISHED"] * 2
    assert [run.info.status for run in grids.runs("grid")] == ["FINISHED"]
    refused()
    output, code = grids.run()  # its trainings are done; models are the other command's to register
    assert code == 0 and "2 done before" in output
    imports = ChildProcesses(store, tmp_path / "runs", "import_runs", {})
    output, code = imports.run(runs_dir=None, path=tmp_path / "runs")
    assert code == 0 and len(versions(store)) == 2
    assert f"path={tmp_path / 'runs'}" in line
