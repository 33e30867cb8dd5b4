"""--json: one object at the end, alone on standard output, well or not."""

import doctest
import json
import os
import subprocess
import sys

import pytest

from analysis.scaling import FORMS
from entrypoints import fit_scaling, predict_scaling
from entrypoints.command_line import arguments, outcome, usage
from looped.tracking import experiments
from looped.tracking.stores.store import Store
from looped.training import progress, trained

NOISY = """
import os, subprocess, sys
from entrypoints.command_line import outcome
@outcome.command("noisy")
def main(result):
    print("said")
    subprocess.run(["echo", "a child said"])
    result.tell(numbers={"nmse": float("nan"), "bits": 2.5}, files={"here": "a"})
    result.tell(files={"there": "b"})
    return int(sys.argv[-1])
sys.exit(main())
"""


@pytest.mark.parametrize("module", [usage, outcome, experiments, progress, trained])
def test_its_examples_hold(module):
    assert doctest.testmod(module).failed == 0


def run(*words):
    return subprocess.run(
        [sys.executable, "-c", NOISY, *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("flag", [["--json"], ["--json", "true"]])
def test_standard_output_holds_the_object_alone(flag):
    process = run(*flag, "--code", "3")
    content = json.loads(process.stdout)
    assert (content["command"], content["exit_code"], process.returncode) == ("noisy", 3, 3)
    assert content["numbers"] == {"nmse": None, "bits": 2.5}
    assert content["files"] == {"here": "a", "there": "b"}
    assert sorted(process.stderr.split()) == sorted(["said", "a", "child", "said"])


def test_without_the_flag_nothing_changes():
    for words in ([], ["--json", "false"]):
        process = run(*words, "--code", "0")
        assert sorted(process.stdout.split()) == sorted(["said", "a", "child", "said"])
        assert process.stderr == ""


def test_a_refusal_is_an_object_too(call, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["predict", "--json", "--size", "tiny", "--b", "0"])
    with pytest.raises(SystemExit):
        predict_scaling.main()
    output = capsys.readouterr()
    content = json.loads(output.out)
    assert content["exit_code"] == 2
    assert content["problems"] == ["b must be a whole number of at least 1, got 0"]
    assert output.err == "predict_scaling: b must be a whole number of at least 1, got 0\n"


def test_the_place_of_a_run_is_told(store):
    experiment_id = os.environ["MLFLOW_EXPERIMENT_ID"]
    result = outcome.Outcome("train", is_asked=True)
    result.tell_place(Store(store, experiment_id), "abc")
    content = json.loads(result.text())
    assert content["store"] == os.environ["MLFLOW_TRACKING_URI"]
    assert content["experiment"] == {"id": experiment_id, "name": "test"}
    assert content["run_id"] == "abc"
    page = f"/#/experiments/{experiment_id}/runs/abc?workflowType=machine_learning"
    assert content["links"]["this run"].endswith(page)


def test_help_names_the_forms_and_the_ways_to_call():
    text = arguments.build_parser("fit_scaling", "", fit_scaling.FitOptions).format_help()
    assert tuple(FORMS) == fit_scaling.FORMS
    plain = " ".join(text.split())
    assert ", ".join(FORMS).replace(" ", "") in plain.replace(" ", "")
    assert text.startswith("usage: looped fit [--")
    assert "mlflow run . -e fit_scaling [-P" in text and "--json: " in plain
