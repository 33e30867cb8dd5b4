"""The command `looped`, and the package as it is installed from a wheel."""

import json
import os
import subprocess
import sys
from pathlib import Path

import environments
import pytest
import yaml

import looped
from entrypoints import console
from entrypoints.command_line.usage import CONSOLE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def say(monkeypatch, capsys):
    def say(*words):
        monkeypatch.setattr(sys, "argv", ["looped", *words])
        try:
            code = console.main()
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr()

    return say


def test_every_entry_point_has_a_short_name():
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    assert set(CONSOLE.values()) == set(project["entry_points"]) - {"evaluate-extrapolation"}


def test_help_lists_the_commands_and_version_says_which_it_is(say):
    code, output = say("--help")
    assert code == 0
    listed = [line.split()[0] for line in output.out.splitlines() if line.startswith("  ")]
    assert listed == [*CONSOLE, "ui"]
    assert say("--version")[1].out == f"looped {looped.__version__}\n"
    assert say("ui", "--help")[1].out.startswith("usage: looped ui")


def test_a_command_has_the_parsers_of_its_entry_point(say):
    code, output = say("train", "--b", "ten")
    assert (code, output.err) == (2, "train: argument --b: must be a whole number, got ten\n")


def test_a_mistyped_command_is_one_line(say):
    code, output = say("trian")
    assert code == 2
    assert output.err.startswith("looped: command must be one of train, grid, ")
    assert output.err.endswith("ui, got trian (did you mean train?)\n")


def test_the_package_offers_its_interface():
    assert set(looped.__all__) | {"__version__"} == set(dir(looped))


@pytest.mark.slow  # a wheel is built and a training runs, some 20 seconds
def test_a_wheel_installed_into_a_clean_environment_trains(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, "."]
    copy = tmp_path / "source"  # setuptools writes beside the sources
    copy.mkdir()
    for name in ("looped", "analysis", "entrypoints", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", ROOT / name, copy], check=True)
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("looped-*.whl")
    environment = environments.clean_environment(tmp_path / "environment")
    install = [*pip, "--python", environment / "bin" / "python", "install", "--no-deps", wheel]
    subprocess.run(install, check=True, capture_output=True)

    (site,) = environment.glob("lib/python*/site-packages")
    for package in ("looped", "analysis", "entrypoints"):
        assert (site / package / "py.typed").exists()
    assert (site / "looped" / "kernels" / "cpu" / "chain.cpp").exists()
    read = "from looped import datasets; assert len(datasets.load('h100-joint').runs) == 36"
    subprocess.run([environment / "bin" / "python", "-c", read], cwd=tmp_path, check=True)
    variables = environments.variables_without_conda()
    variables = {n: v for n, v in variables.items() if not n.startswith("MLFLOW_")}
    words = "--size tiny --b 2 --n_dims 2 --n_examples 7 --batch_size 8 --steps 20 --b_max 4"
    process = subprocess.run(
        [environment / "bin" / "looped", "train", *words.split(), "--json"],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    content = json.loads(process.stdout)
    assert (content["status"], content["store"]) == ("FINISHED", f"sqlite:///{tmp_path}/mlflow.db")
    assert 0 < content["numbers"]["held_out/nmse"] < 3
    assert content["model"] == "models:/looped-linear-tiny-d2-n7/1"
    assert "tiny-b2-s42: NMSE " in process.stderr
    assert (tmp_path / "mlflow.db").exists()
    assert os.listdir(content["files"]["folder"])
