"""fit_scaling and predict_scaling, from their arguments to what MLflow holds."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import planted_study
import pytest
from mlflow.exceptions import MlflowException
from planted_study import E_M, TRUTH, log_training

from analysis.answers import files as answer_files
from analysis.publish import law_packaging, law_registry
from analysis.runs.selection import Selection
from analysis.scaling.fit import fit_scaling
from analysis.scaling.form.forms import FORMS
from analysis.scaling.law_file import load_law, save_law
from entrypoints import fit_scaling as fit_command
from entrypoints import predict_scaling as predict_command
from looped.config import TrainConfig
from looped.tracking.packaging import quietly

LAW = "saturating_power/of_E_M"
QUICK = ("--resamples", "100")
CHAMPION = "models:/looped-scaling-law@champion"


@pytest.fixture
def run(call, planted_store):
    """Run a command on the planted store."""
    return call


def without_rendering(figure, path):
    """Leave a figure's two files, which take seconds to render, empty."""
    for suffix in ("svg", "png"):
        Path(f"{path}.{suffix}").touch()


@pytest.fixture(scope="module")
def fitted_database(planted_database, tmp_path_factory):
    """The planted database after one fit of its law, and what the command said; made once."""
    database = tmp_path_factory.mktemp("fitted") / "mlflow.db"
    shutil.copy(planted_database[0], database)
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        patch.setenv("MLFLOW_EXPERIMENT_ID", planted_database[1])
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        patch.setattr(answer_files, "save", without_rendering)
        patch.setattr(sys, "argv", ["fit_scaling", "--form", LAW, *QUICK])
        assert fit_command.main() == 0
    return database, output.getvalue()


@pytest.fixture
def fitted_store(fitted_database, planted_store, tmp_path):
    """A client of a copy of that database."""
    shutil.copy(fitted_database[0], tmp_path / "mlflow.db")
    return planted_store


def fit_run(client):
    (run,) = client.search_runs(
        [os.environ["MLFLOW_EXPERIMENT_ID"]], "tags.`looped.kind` = 'fit'", max_results=1
    )
    return run


def test_the_command_prints_the_text(fitted_database):
    for part in ("Runs", "Law", "Joint law of size and loops", "Loops for size", "Verdict"):
        assert f"[[{part}]]" in fitted_database[1]
    assert "champion is version 1, the first" in fitted_database[1]


def test_a_fit_is_logged(fitted_store):
    run = fit_run(fitted_store)
    assert run.info.status == "FINISHED"
    metrics, params = run.data.metrics, run.data.params
    assert params["law.form"] == LAW and params["fit.resamples"] == "100"
    for name, true in zip(("gain", "slope", "exponent"), TRUTH[LAW], strict=True):
        assert metrics[f"law/{name}"] == pytest.approx(true, rel=0.3)
        assert metrics[f"law/{name}/lower"] < metrics[f"law/{name}"] < metrics[f"law/{name}/upper"]
    for size, true in E_M.items():
        assert metrics[f"law/E_M.{size}"] == pytest.approx(true, abs=0.15)
    assert metrics["fit/runs"] == 36
    assert 0 < metrics["fit/leave_one_b_out"] < 0.3
    assert 1 < metrics["exchange/tiny_to_medium"] < 15
    assert 0 < metrics["exchange/tiny_to_medium/train_flops_ratio"] < 1
    doubling = "doubling/train/tiny_b5"
    assert metrics[f"{doubling}/lower"] < metrics[doubling] < metrics[f"{doubling}/upper"]
    assert 0 <= metrics["joint/lack_of_fit"] <= 1 and 0 <= metrics["joint/lack_of_fit_alike"] <= 1
    assert {f"joint/phi/without_{size}" for size in E_M} <= set(metrics)
    assert not any("per_flop" in name for name in metrics)
    names = {
        Path(file.path).name for file in fitted_store.list_artifacts(run.info.run_id, "scaling")
    }
    figures = {"law", "residuals", "held_out", "forms", "costs", "loop_curves", "loop_law"}
    tables = {"points", "cells", "parameters", "forms", "residuals", "held_out", "costs"}
    tables |= {"doublings", "joint_law", "joint_law_cells", "joint_law_by_sizes"}
    tables |= {"loop_curves", "loop_law", "loop_law_errors"}
    assert names >= {f"{name}.{kind}" for name in figures for kind in ("svg", "png")}
    assert names >= {f"{name}.csv" for name in tables} | {"fit.txt", "answers.json"}


def test_the_law_is_loaded_elsewhere_without_the_repository(run, fitted_store, tmp_path):
    code, (which, here, fitted_to) = run(predict_command, "--size", "small", "--b", "30")
    assert code == 0
    assert which.startswith(f"law: {CHAMPION}, the only one in sqlite:///")
    assert fitted_to.startswith("fitted to 36 runs of linear") and "none plateaued" in fitted_to
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = (
        "import mlflow, pandas as pd, sys\n"
        f"law = mlflow.pyfunc.load_model('{CHAMPION}')\n"
        "asked = {'size': ['small', None], 'E_M': [None, 2.4], 'b': [30, 8]}\n"
        "table = law.predict(pd.DataFrame(asked))\n"
        "assert 'torch' not in sys.modules\n"
        "print(table.round(3).to_csv(index=False))\n"
    )
    process = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(",") for line in process.stdout.strip().splitlines()]
    assert rows[0] == list(law_packaging.OUTPUTS)
    prediction = re.match(r"small at b = 30: (\S+) bits \[(\S+), (\S+)\]", here)
    assert [float(part) for part in prediction.groups()] == [float(part) for part in rows[1][:3]]
    assert (rows[1][5], rows[2][5]) == ("True", "False")
    run_ends = re.search(r"one new training: \[(\S+), (\S+)\] bits", here)
    assert [float(part) for part in run_ends.groups()] == [float(part) for part in rows[1][6:8]]
    error = re.search(r"they add a standard error of (\S+) bits", here).group(1)
    assert float(error) == float(rows[1][8]) > 0
    true = float(FORMS[LAW](2.4, 8, *TRUTH[LAW]))
    assert float(rows[2][0]) == pytest.approx(true, abs=0.1)


@pytest.mark.slow
def test_a_law_that_is_refused_takes_nothing_from_the_fit(run, planted_store, monkeypatch):
    def refuse(*_):
        raise MlflowException("Permission denied")

    monkeypatch.setattr(law_registry, "create_if_missing", refuse)
    monkeypatch.setattr(answer_files, "save", without_rendering)
    code, (line,) = run(fit_command, "--form", LAW, *QUICK)
    run_of_fit = fit_run(planted_store)
    expected = f"fit_scaling: the law of run {run_of_fit.info.run_id} must be registered as "
    expected += "looped-scaling-law (the same command fits and registers it again), got: "
    assert (code, line) == (1, f"{expected}Permission denied")
    assert run_of_fit.info.status == "FINISHED" and run_of_fit.data.metrics["fit/runs"] == 36


def test_nothing_registered_is_a_pickle(fitted_store):
    folder = Path(fitted_store.get_run(fit_run(fitted_store).info.run_id).info.artifact_uri[7:])
    files = [path for path in (folder / "law").rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files if path.parent.name != "__pycache__"}
    assert (
        {".py", ".json"}
        <= kinds
        <= {"", ".py", ".typed", ".cpp", ".h", ".json", ".yaml", ".txt", ".csv"}
    )


def test_of_several_laws_one_must_be_chosen(run, fitted_store):
    fitted_store.create_registered_model("looped-scaling-law-relu_network")
    code, (line,) = run(predict_command, "--size", "small")
    assert code == 1
    assert f"got none of {CHAMPION}, models:/looped-scaling-law-relu_network/1 (sqlite" in line
    code, (line,) = run(predict_command, "--size", "small", "--law", "models:/looped-scaling-lw/1")
    assert code == 1


def test_a_size_that_the_law_does_not_know_is_refused(run, fitted_store):
    code, (line,) = run(predict_command, "--size", "huge")
    assert code == 1
    assert "size must be one of tiny, small, medium (or give E_M), got huge" in line


def test_champion_moves_only_when_held_out_error_falls(store):
    name, task_and_recipe = "looped-scaling-law", {"task": "linear", "recipe": "abc"}
    table = planted_study.table_of_runs(noise=0.05)
    lines, champions = [], []
    for form, recipe in (("power", "abc"), (LAW, "abc"), ("power", "abc"), (LAW, "def")):
        fit = fit_scaling(table, forms=[form], resamples=100)
        run_id = store.create_run(os.environ["MLFLOW_EXPERIMENT_ID"]).info.run_id
        with quietly():
            lines.append(
                law_registry.register(
                    store, run_id, fit, name, task_and_recipe | {"recipe": recipe}
                )[1]
            )
        champions.append(int(store.get_registered_model(name).aliases["champion"]))
    assert champions == [1, 2, 2, 2]
    assert lines[0] == "champion is version 1, the first"
    assert lines[1].startswith("champion moves from version 1 to 2: held-out error")
    assert lines[2].startswith("champion stays version 2: held-out error")
    assert lines[3].startswith("champion stays version 2, whose recipe abc does not compare")


def test_a_law_read_back_is_the_same(tmp_path):
    fit = fit_scaling(planted_study.table_of_runs(noise=0.08), resamples=100)
    save_law(tmp_path, fit)
    loaded_fit = load_law(tmp_path)
    question = {"size": ["tiny", "medium"], "b": [7, 30]}
    assert (loaded_fit.predict(question) == fit.predict(question)).all()
    assert np.array_equal(loaded_fit.interval(question), fit.interval(question))
    assert loaded_fit.report() == fit.report()


def test_mixed_recipes_are_refused_unless_chosen(run, planted_store):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    log_training(planted_store, experiment, TrainConfig(steps=300), 1.0)
    code, (line,) = run(fit_command, *QUICK)
    assert code == 1
    assert "must share their recipe" in line and "steps=300" in line


def test_a_size_without_b_1_is_left_out_with_a_notice():
    table = planted_study.table_of_runs(noise=0.05)
    table = table[(table["size"] != "small") | (table["b"] > 1)]
    runs = [SimpleNamespace(config=SimpleNamespace(size=size)) for size in table["size"]]
    counts = dict.fromkeys(
        ("n_plateaued", "n_diverged", "n_repeated", "n_unconverged", "n_unevaluated"), 0
    )
    selection, line = fit_command.from_b_1(Selection(table=table, runs=runs, **counts))
    assert line == "left out, as they have no run at b = 1: small"
    assert set(selection.table["size"]) == {"tiny", "medium"}
    assert {run.config.size for run in selection.runs} == {"tiny", "medium"}
    assert fit_command.from_b_1(selection) == (selection, "")
    none_at_one = Selection(table=table[table["b"] > 1], runs=runs, **counts)
    assert fit_command.from_b_1(none_at_one) == (none_at_one, "")


def test_the_run_that_launched_it_holds_the_fit(run, planted_store, monkeypatch):
    monkeypatch.setattr(answer_files, "save", without_rendering)
    launching_run_id = planted_store.create_run(os.environ["MLFLOW_EXPERIMENT_ID"]).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", launching_run_id)
    options = ("--sizes", "tiny,small", "--measure", "median", "--register", "false")
    code, lines = run(fit_command, "--form", "power", *options, *QUICK)
    assert code == 0, lines
    run_after = planted_store.get_run(launching_run_id)
    assert run_after.info.run_name == "fit_scaling"
    assert run_after.data.tags["looped.kind"] == "fit"
    assert run_after.data.params["law.sizes"] == "tiny,small"
    assert "E_M b^phi" in run_after.data.tags["mlflow.note.content"]
    # the planted median is 0.66 bits above the mean
    assert run_after.data.metrics["law/E_M.tiny"] > E_M["tiny"] + 0.4


@pytest.mark.parametrize(
    ("command", "argv", "rule", "expected_code"),
    [
        (fit_command, ["--task", "relu_network"], "task must be one of linear (36 runs), got", 1),
        (fit_command, ["--sizes", "huge"], "sizes must be among", 1),
        (fit_command, ["--bs", "1,two"], "bs must be whole numbers of at least 1", 2),
        (fit_command, ["--bs", "1"], "the table must have b beyond 1, got", 1),
        (fit_command, ["--bs", "5,10"], "every size must have runs at b = 1", 1),
        (fit_command, ["--form", "cubic"], "form must be one of power,", 1),
        (fit_command, ["--resamples", "10"], "resamples must be a whole number of at least 100", 2),
        (fit_command, ["--measure", "mode"], "measure must be one of mean, median, got mode", 2),
        (predict_command, [], "give size or E_M, got size=None and E_M=None", 2),
        (
            predict_command,
            ["--size", "tiny", "--b", "0"],
            "b must be a whole number of at least 1",
            2,
        ),
        (predict_command, ["--size", "tiny", "--level", "1"], "level must lie between 0 and 1", 2),
        (predict_command, ["--size", "tiny"], "(fit_scaling does it), got none in sqlite:///", 1),
        (predict_command, ["--size", "tiny", "--law", CHAMPION], "law must be registered in", 1),
    ],
)
def test_bad_input_is_refused_in_one_line(run, command, argv, rule, expected_code):
    code, (line,) = run(command, *argv)
    assert code == expected_code
    assert rule in line
