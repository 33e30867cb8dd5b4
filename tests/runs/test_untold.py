"""What journals hold and the store does not is said, cheaply and whatever lies there."""

import os
import shutil
from contextlib import closing
from dataclasses import replace

import planted_study
import pytest
from planted_study import log_training

from analysis.runs.load import read_runs
from analysis.runs.untold import shortfall
from entrypoints import fit_scaling as fit_command
from entrypoints import report as report_command
from looped.config import TrainConfig
from looped.names import Metric
from looped.records.folder import RunFolder
from looped.records.origin import Origin
from looped.tracking.stores.store import open_store

CONFIG = TrainConfig(size="small", b=5, seed=7).resolved("cpu", "fp32")
OTHER_RECIPE = replace(CONFIG, steps=10)


def keep(root, config, status="FINISHED", grid=None):
    """Leave the folder of a training that ended."""
    with closing(RunFolder(root, config)) as folder:
        folder.journal.append("start", step=0, program="p", replicas=1)
        values = {Metric.NMSE: 0.5, Metric.NMSE_SE: 0.1, Metric.BITS: 0.5, Metric.PROMPTS: 640}
        folder.journal.append("outcome", step=config.steps, values=values, tags={})
        folder.journal.append("end", status=status, reason="as it ended")
        Origin("abc", False, "here", grid).write(folder.path)
    return folder.path


@pytest.fixture
def say(store, tmp_path):
    def say():
        opened_store = open_store()
        return shortfall(opened_store, read_runs(*opened_store), str(tmp_path))

    return say


@pytest.fixture
def experiment():
    return os.environ["MLFLOW_EXPERIMENT_ID"]


def test_what_the_store_holds_is_no_shortfall(say, store, tmp_path, experiment):
    assert say() == ""
    keep(tmp_path, CONFIG)
    log_training(store, experiment, CONFIG, 2.0)
    assert say() == ""


def test_a_missing_training_of_the_kind_is_counted_with_the_command(
    say, store, tmp_path, experiment
):
    log_training(store, experiment, CONFIG, 2.0)
    keep(tmp_path, replace(CONFIG, b=6, loop_window=6))
    assert say() == (
        f"incomplete: {tmp_path} holds 1 finished training that MLflow does not hold and this "
        f"leaves out: mlflow run . -e import_runs -P path={tmp_path} --experiment-name test "
        "tells it"
    )
    keep(tmp_path, replace(CONFIG, seed=8))
    assert "holds 2 finished trainings" in say()


def test_what_did_not_finish_or_is_of_another_kind_does_not_count(say, store, tmp_path, experiment):
    log_training(store, experiment, CONFIG, 2.0, grid="grid-1")
    keep(tmp_path, replace(CONFIG, seed=1), "KILLED")
    keep(tmp_path, OTHER_RECIPE)
    keep(tmp_path, replace(CONFIG, task="sparse_linear"))
    aside = keep(tmp_path, replace(CONFIG, seed=2))
    aside.rename(f"{aside}.1")
    assert say() == ""
    keep(tmp_path, replace(OTHER_RECIPE, seed=3), grid="grid-1")
    assert "holds 1 finished training " in say()


def test_everything_counts_where_the_experiment_is_empty(say, tmp_path):
    keep(tmp_path, CONFIG)
    keep(tmp_path, OTHER_RECIPE)
    assert "holds 2 finished trainings" in say()


def test_what_another_experiment_was_told_does_not_count(say, store, tmp_path, experiment):
    log_training(store, experiment, CONFIG, 2.0)
    elsewhere = log_training(store, store.create_experiment("other"), CONFIG, 2.0)
    path = keep(tmp_path, replace(CONFIG, seed=8))
    (path / "told.json").write_text(f'{{"{elsewhere}": {{"offset": 1, "step": 1}}}}')
    assert say() == ""
    store.delete_run(elsewhere)
    assert "holds 1 finished training " in say()


@pytest.mark.parametrize("name", ["journal.jsonl", "config.json", "origin.json", "told.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b"[" * 100_000, b"\xff\n", b"{}\n"])
def test_damage_fails_nothing(say, tmp_path, name, content):
    keep(tmp_path, replace(CONFIG, seed=9))
    (keep(tmp_path, CONFIG) / name).write_bytes(content)
    assert "finished training" in say()


def test_only_the_end_of_a_journal_is_read(say, tmp_path, monkeypatch):
    path = keep(tmp_path, CONFIG)
    journal = (path / "journal.jsonl").read_bytes()
    first, rest = journal.split(b"\n", 1)
    (path / "journal.jsonl").write_bytes(b"damaged long ago\n" * 100_000 + first + b"\n" + rest)
    assert "holds 1 finished training " in say()


@pytest.mark.parametrize("command", [fit_command, report_command])
def test_a_command_without_runs_says_it_first_and_last(
    store, tmp_path, monkeypatch, capsys, command
):
    keep(tmp_path, CONFIG)
    monkeypatch.setattr("sys.argv", ["command", "--runs_dir", str(tmp_path)])
    assert command.main() == 1
    output = capsys.readouterr()
    line = output.out.splitlines()[0]
    assert line.startswith(f"incomplete: {tmp_path} holds 1 finished training ")
    assert output.err.splitlines()[-1] == line
    shutil.rmtree(tmp_path / f"{CONFIG.name}-{CONFIG.identity}")
    assert command.main() == 1
    assert "incomplete" not in "".join(capsys.readouterr())


def test_a_fit_says_it_first_and_last(planted_store, tmp_path, capsys, monkeypatch):
    from analysis.answers import files as answer_files

    monkeypatch.setattr(answer_files, "save", lambda figure, path: None)
    for table_seed in (777, 778):
        config = planted_study.replace(
            TrainConfig(size="tiny", b=1, seed=table_seed), **{}
        ).resolved("cpu", "fp32")
        keep(tmp_path / "runs", config)
    words = ("--form", "saturating_power/of_E_M", "--resamples", "100", "--register", "false")
    monkeypatch.setattr("sys.argv", ["command", *words, "--runs_dir", str(tmp_path / "runs")])
    assert fit_command.main() == 1  # though the law is fitted and logged
    output = capsys.readouterr()
    first = output.out.splitlines()[0]
    assert first.startswith(f"incomplete: {tmp_path / 'runs'} holds 2 finished trainings ")
    assert output.err.splitlines()[-1] == first
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    fits = planted_store.search_runs([experiment], "tags.`looped.kind` = 'fit'")
    assert [run.info.status for run in fits] == ["FINISHED"]
