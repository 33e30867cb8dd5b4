"""What stands in for conda where a machine has none; `test_train_command` runs MLflow with it."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "conda-stand-in"


def run(*words, path="/usr/bin:/bin", **variables):
    environment = {"PATH": path} | variables
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def programs(tmp_path):
    """The folder of an environment's programs in a checkout, without conda."""
    folder = tmp_path / "check out" / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "activate").write_text("VIRTUAL_ENV=here\n")
    shutil.copy(ROOT / "conda.yaml", folder.parents[1])
    return folder


@pytest.fixture
def real_conda(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "conda").write_text('#!/bin/sh\necho "real $@"\n')
    (folder / "conda").chmod(0o755)
    return folder


def test_it_knows_one_environment_by_the_name_that_mlflow_gives_it(programs):
    line = run(STAND_IN, "--put-into", programs).stdout
    assert line.startswith("no conda here: ") and line.count("\n") == 1
    answer = json.loads(run(programs / "conda", "env", "list", "--json").stdout)
    digest = hashlib.sha1((ROOT / "conda.yaml").read_bytes()).hexdigest()
    assert [Path(env).name for env in answer["envs"]] == [f"mlflow-{digest}"]
    assert "stand-in" in run(programs / "conda", "--help").stdout
    refusal = run(programs / "conda", "env", "create", "-n", "x")
    assert refusal.returncode == 1
    assert "makes no environments, got: conda env create -n x" in refusal.stderr


def test_activation_says_once_that_it_is_a_stand_in(programs):
    for _ in range(2):
        run(STAND_IN, "--put-into", programs)
    activation = run("bash", "-c", f"source '{programs}/activate' mlflow-1 && echo on")
    assert activation.stdout == "on\n"
    assert activation.stderr.count("stand-in") == 1
    assert run("bash", "-c", f"source '{programs}/activate'").stderr == ""


def test_a_real_conda_wins_wherever_it_is(programs, real_conda):
    run(STAND_IN, "--put-into", programs)
    path = f"{programs}:/usr/bin:/bin:{real_conda}"
    assert run(programs / "conda", "env", "list", path=path).stdout == "real env list\n"
    by_variable = run(programs / "conda", "info", CONDA_EXE=str(real_conda / "conda"))
    assert by_variable.stdout == "real info\n"
    run(STAND_IN, "--put-into", programs, path=f"/usr/bin:/bin:{real_conda}")
    assert not (programs / "conda").exists()
    assert (programs / "activate").read_text() == "VIRTUAL_ENV=here\n"


def test_two_stand_ins_do_not_call_each_other(programs, tmp_path):
    second_folder = tmp_path / "second_folder"
    second_folder.mkdir()
    shutil.copy(STAND_IN, second_folder / "conda")
    run(STAND_IN, "--put-into", programs)
    line = run(programs / "conda", "--help", path=f"{programs}:{second_folder}:/usr/bin:/bin")
    assert "stand-in" in line.stdout
