"""fit_scaling given a table of losses, from its arguments to files and to what MLflow holds."""

import json
import os
import re
from pathlib import Path

import documented_commands
import page_blocks
import pytest
from mlflow.exceptions import MlflowException

from analysis.loss_tables import laws
from analysis.publish import law_registry
from analysis.scaling.fit import fit_scaling
from analysis.scaling.law_file import LAW
from entrypoints import fit_scaling as fit_command
from entrypoints import predict_scaling as predict_command

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "examples/losses.csv")
COLUMNS = ("--columns", "size=model,b=r,seed=rep,value=loss")
QUICK = ("--resamples", "100")
ASKED = ("--table", EXAMPLE, *COLUMNS, "--unit", "nmse", *QUICK)


@pytest.fixture(autouse=True)
def few_forms(monkeypatch):
    """Fit one form in place of 23, and render nothing."""

    def fit_few(points, forms=None, form=None, **options):
        return fit_scaling(points, ["logarithmic/of_E_M"], form, **options)

    def without_rendering(figure, path):
        Path(f"{path}.svg").touch()

    monkeypatch.setattr(laws, "fit_scaling", fit_few)
    monkeypatch.setattr("analysis.loss_tables.written.save", without_rendering)


def test_offline_a_folder_gets_all_and_mlflow_is_left_alone(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    code, lines = call(fit_command, *ASKED, "--out", "out")
    assert code == 0 and "[[Law]]" in lines and "[[Table]]" in lines
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files >= {"fit.txt", "losses.csv", "points.csv", "cells.csv", "parameters.csv",
                     "forms.csv", "residuals.csv", "held_out.csv", "law.svg", "law"}  # fmt: skip
    assert list((tmp_path / "out/law").rglob(LAW))
    (command,) = re.findall(r"predict by it: looped predict (.*)", "\n".join(lines))
    code, (line, account) = call(predict_command, *command.split())
    assert code == 0 and re.match(r"tiny at b = 30: \S+ bits .* NMSE 0\.0\d+ \[", line)
    assert account == "fitted to 36 losses of the table losses.csv; E = 1/2 log2(1 / nmse), in bits"


def test_a_run_holds_the_fit_and_nothing_is_registered(call, store):
    code, lines = call(fit_command, *ASKED, "--json")
    outcome = json.loads("\n".join(lines))
    assert code == 0 and outcome["form"] == "logarithmic/of_E_M"
    run = store.get_run(outcome["run_id"])
    assert run.info.status == "FINISHED"
    assert run.info.experiment_id == os.environ["MLFLOW_EXPERIMENT_ID"]
    assert run.data.tags["looped.kind"] == "fit"
    assert run.data.params["fit.unit"] == "nmse"
    assert run.data.params["law.sizes"] == "tiny,small,medium"
    assert run.data.metrics["fit/runs"] == 36
    names = {Path(file.path).name for file in store.list_artifacts(run.info.run_id, "scaling")}
    assert {"fit.txt", "points.csv", "law.svg"} <= names
    assert store.search_registered_models() == []


def test_a_law_of_a_table_is_never_one_of_our_runs(call, store):
    options = ("--register", "true", "--experiment", "tables of others")
    code, lines = call(fit_command, *ASKED, *options)
    assert code == 0 and "champion is version 1, the first" in "\n".join(lines)
    assert store.get_experiment_by_name("tables of others") is not None
    (model,) = store.search_registered_models()
    assert model.name == "looped-table-law-losses"
    with pytest.raises(ValueError, match="a law must be registered"):
        law_registry.choose_law(store, None, "store")
    law = "models:/looped-table-law-losses@champion"
    code, (line, _) = call(predict_command, "--size", "small", "--b", "10", "--law", law)
    assert code == 0 and line.startswith("small at b = 10: ")


def refuse(*_):
    raise MlflowException("Permission denied")


def test_a_law_that_is_refused_takes_nothing_from_the_fit(call, store, monkeypatch):
    monkeypatch.setattr(law_registry, "create_if_missing", refuse)
    code, lines = call(fit_command, *ASKED, "--register", "true")
    (run,) = store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]])
    expected = f"fit_scaling: the law of run {run.info.run_id} must be registered as "
    expected += "looped-table-law-losses (the same command fits and registers it again), got: "
    assert (code, lines) == (1, [f"{expected}Permission denied"])
    assert run.info.status == "FINISHED" and run.data.metrics["fit/runs"] == 36
    assert store.list_artifacts(run.info.run_id, "scaling")


def test_who_asks_for_a_law_and_a_folder_gets_both(call, store, tmp_path):
    code, _ = call(fit_command, *ASKED, "--register", "true", "--out", str(tmp_path / "out"))
    assert code == 0 and (tmp_path / "out" / "fit.txt").exists()
    assert [model.name for model in store.search_registered_models()] == ["looped-table-law-losses"]


def test_a_table_without_a_law_has_none_to_register(call, store, tmp_path):
    rows = [f"S,{loop},{1 / loop + 0.1}" for loop in range(1, 11)]
    (tmp_path / "curve.csv").write_text("\n".join(["size,loop,loss", *rows]))
    words = ("--table", str(tmp_path / "curve.csv"), "--columns", "value=loss", "--unit", "nmse")
    assert call(fit_command, *words, *QUICK)[0] == 0
    code, (line,) = call(fit_command, *words, *QUICK, "--register", "true")
    assert code == 1
    assert line.startswith("fit_scaling: register=true must be of a law, got none (a law of b ")


def test_a_prediction_is_said_in_the_tables_unit():
    conversion = json.dumps({"unit": "nats", "way": "ratio", "reference": 8.0, "floor": None})
    row = {"E_LM": 1.0, "lower": 0.0, "upper": 2.0, "least": 1.0, "most": 1.0, "beyond": False}
    options = predict_command.PredictOptions(size="S", b=2)
    assert ", nats 4 [2, 8]" in predict_command.say(options, row, conversion)
    assert ", NMSE 0.25 [0.0625, 1]" in predict_command.say(options, row)


def test_the_run_of_mlflow_run_says_why_a_table_is_refused(call, store, monkeypatch, tmp_path):
    run_id = store.create_run(os.environ["MLFLOW_EXPERIMENT_ID"]).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    (tmp_path / "a.csv").write_text("size,b,loss\nS,1,three\n")
    code, (line,) = call(fit_command, "--table", str(tmp_path / "a.csv"), "--unit", "nats")
    assert code == 1
    assert line == "fit_scaling: loss must hold numbers, got three in row 1"
    run = store.get_run(run_id)
    assert run.info.status == "FAILED" and "got three in row 1" in str(run.data.tags)


@pytest.mark.parametrize(
    ("argv", "rule", "expected_code"),
    [
        (("--table", EXAMPLE), "perplexity, expressivity with a table, got none", 2),
        (("--table", EXAMPLE, "--unit", "nat"), "got nat (did you mean nats?)", 2),
        (("--unit", "nats"), "unit is of a table, which must be given (table), got nats", 2),
        ((*ASKED, "--columns", "size"), "columns must be pairs", 2),
        ((*ASKED, "--columns", "b=r,b=q"), "columns must name each thing once, got b twice", 2),
        ((*ASKED, "--task", "linear"), "task is of runs and must be auto with a table", 1),
        ((*ASKED, "--measure", "median"), "measure is of runs and must be mean with a table", 1),
        ((*ASKED, "--sizes", "huge"), "sizes must be among tiny, small, medium, got huge", 1),
        ((*ASKED, "--bs", "1,3"), "bs must be among 1, 5, 10, 15, got 3", 1),
        ((*ASKED, "--table", "none.csv"), "table must be a file, got none.csv, which is none", 1),
        ((*ASKED, "--bits", "difference"), "bits=difference must be of losses that are log", 1),
        ((*ASKED, "--reference", "-1"), "reference must be above 0, got -1", 1),
    ],
)
def test_bad_input_is_refused_in_one_line(call, argv, rule, expected_code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    code, (line,) = call(fit_command, *argv)
    assert code == expected_code
    assert rule in line
    assert list(tmp_path.iterdir()) == []


def test_the_pages_commands_run(call, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    page = ROOT / "docs/your-own-table.md"
    commands = [words for words in page_blocks.commands_of(page) if words[:2] == ["looped", "fit"]]
    assert commands
    for number, words in enumerate(commands):
        documented_commands.check(words)
        out = tmp_path / str(number)
        code, _ = call(fit_command, *words[2:], "--out", str(out), *QUICK)
        assert code == 0 and (out / "fit.txt").exists()
