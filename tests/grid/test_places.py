"""Where runs are kept."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from entrypoints import grid, train
from looped.grid.options import RunOptions
from looped.grid.places import RUNS, runs_folder, where_kept

SMALL = ["--n_dims", "2", "--n_examples", "5", "--batch_size", "4", "--steps", "5"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Where a command runs: a checkout that is not where the store is."""
    (tmp_path / "code").mkdir()
    monkeypatch.chdir(tmp_path / "code")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "code"


def test_runs_lie_here_where_the_store_does(here, monkeypatch):
    assert runs_folder(None) == Path(RUNS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{here}/mlflow.db")
    assert runs_folder(None) == Path(RUNS)
    assert where_kept(None) == ""


def test_runs_lie_beside_the_store(here, monkeypatch):
    place = here.parent / "place"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
    (here / RUNS).mkdir()  # of another store
    assert runs_folder(None) == place / RUNS
    assert where_kept(None) == f"runs are kept in {place}/runs"
    assert RunOptions().runs_folder == place / RUNS
    assert RunOptions(runs_dir="runs").runs_folder == Path(RUNS)


def test_runs_that_were_told_to_the_store_from_here_stay_in_use(here, monkeypatch, empty_database):
    place = here.parent / "place"
    place.mkdir()
    shutil.copy(empty_database, place / "mlflow.db")
    uri = f"sqlite:///{place}/mlflow.db"
    run_id = MlflowClient(uri).create_run("0").info.run_id
    (here / RUNS / "a").mkdir(parents=True)
    (here / RUNS / "a" / "told.json").write_text(json.dumps({run_id: {}}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert runs_folder(None) == Path(RUNS)
    (here / RUNS / "a" / "told.json").write_text(json.dumps({"another": {}}))
    assert runs_folder(None) == place / RUNS


def test_a_temporary_checkout_keeps_runs_in_the_home_without_a_store_in_a_file(here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(here.parent))
    assert runs_folder(None) == Path(RUNS)
    monkeypatch.setenv("MLFLOW_RUN_ID", "ab" * 16)
    assert runs_folder(None) == Path("/home/someone/.local/share/looped/runs")


def test_a_tilde_is_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert runs_folder("~/runs") == Path("/home/someone/runs")
    with pytest.raises(ValueError, match="must be a known home, got ~nobody-of-that-name/runs"):
        RunOptions(runs_dir="~nobody-of-that-name/runs")


@pytest.mark.parametrize(
    ("command", "words"),
    [(train, ["--size", "tiny"]), (grid, ["--sizes", "tiny", "--bs", "1", "--workers", "1"])],
)
def test_a_runs_dir_that_is_a_file_is_refused_in_a_line(command, words, call, tmp_path):
    (tmp_path / "file").write_text("")
    words = [*words, *SMALL, "--tracking", "offline", "--runs_dir", str(tmp_path / "file")]
    code, lines = call(command, *words)
    assert code == 1
    rule = "runs must be kept where this process can write"
    assert [line for line in lines if rule in line] == lines[-1:]
