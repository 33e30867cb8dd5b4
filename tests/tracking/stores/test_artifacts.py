"""A store in a file whose folder was moved or copied."""

import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from looped.records.journal import TrackingError
from looped.tracking.stores import artifacts
from looped.tracking.stores.store import open_store


@pytest.fixture
def project(empty_database, tmp_path, monkeypatch):
    """A project with a store as MLflow makes it: a run, its file, a registered model, a journal."""
    home = tmp_path / "old"
    (home / "runs" / "a").mkdir(parents=True)
    shutil.copy(empty_database, home / "mlflow.db")
    monkeypatch.setenv("MLFLOW_ARTIFACT_ROOT", str(home / "mlruns"))
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    client = open_client(home, monkeypatch)
    # the Default experiment of a copied database has the place where that was made
    with closing(artifacts._connect(home / "mlflow.db")) as connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ?", (str(home / "mlruns" / "0"),)
        )
    experiment_id = client.create_experiment("study", str(home / "mlruns" / "1"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    tags = {"looped.folder": str(home / "runs" / "a"), "looped.kind": "training"}
    run = client.create_run(experiment_id, tags=tags)
    client.log_text(run.info.run_id, "content", "model/file.txt")
    client.set_terminated(run.info.run_id, "FINISHED")
    client.create_registered_model("law")
    source = f"{run.info.artifact_uri}/model"
    client.create_model_version("law", source, run.info.run_id, await_creation_for=0)
    return home, run.info.run_id


def open_client(home, monkeypatch):
    uri = f"sqlite:///{home / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_project_in_its_place_is_not_refused(project, monkeypatch):
    home, _ = project
    open_store()
    assert artifacts.relocate(home / "mlflow.db") == []


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_moved_or_copied_project_is_refused_until_it_is_relocated(
    project, monkeypatch, tmp_path, is_copied
):
    home, run_id = project
    new = tmp_path / "deeper" / "new"
    shutil.copytree(home, new)
    if not is_copied:
        shutil.rmtree(home)
    before = tree(home)
    client = open_client(new, monkeypatch)
    with pytest.raises(TrackingError, match=r"moved or copied .* -e relocate") as refusal:
        open_store()
    assert len(str(refusal.value).splitlines()) == 1
    lines = artifacts.relocate(new / "mlflow.db")
    assert any("(1 run)" in line for line in lines)
    open_store()
    run = client.get_run(run_id)
    assert run.info.artifact_uri == f"{new}/mlruns/1/{run_id}/artifacts"
    assert run.data.tags["looped.folder"] == str(new / "runs" / "a")
    assert Path(client.get_model_version("law", "1").source, "file.txt").read_text() == "content"
    client.log_text(client.create_run("1").info.run_id, "more", "more.txt")
    assert tree(home) == before
    assert home.exists() == is_copied
    assert artifacts.relocate(new / "mlflow.db") == []


def test_a_database_that_came_without_its_artifacts_says_so(project, monkeypatch, tmp_path):
    home, _ = project
    new = tmp_path / "new"
    new.mkdir()
    (home / "mlflow.db").rename(new / "mlflow.db")
    shutil.rmtree(home)
    open_client(new, monkeypatch)
    with pytest.raises(TrackingError, match=f"{home}/mlruns/1, where nothing is left"):
        open_store()
    assert not home.exists()
    assert artifacts.relocate(new / "mlflow.db")[-1] == (
        "the files of 1 registered model are not there"
    )
    open_store()


def test_a_copied_database_alone_does_not_write_to_the_original(project, monkeypatch, tmp_path):
    home, _ = project
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(home / "mlflow.db", new)
    open_client(new, monkeypatch)
    with pytest.raises(TrackingError, match="moved or copied and says"):
        open_store()


def test_artifacts_elsewhere_on_purpose_stay_there(project, monkeypatch, tmp_path):
    home, _ = project
    client = open_client(home, monkeypatch)
    experiment_id = client.create_experiment("large", (tmp_path / "disk" / "large").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    open_store()
    assert not (tmp_path / "disk").exists()
    run = client.create_run(experiment_id, tags={"looped.kind": "training"})
    client.log_text(run.info.run_id, "x", "x.txt")
    client.set_terminated(run.info.run_id, "FINISHED")
    open_store()
    assert artifacts.relocate(home / "mlflow.db") == []
    os.rename(tmp_path / "disk", tmp_path / "away")  # unmounted, say
    with pytest.raises(TrackingError, match="where nothing is left; bring that back"):
        open_store()
