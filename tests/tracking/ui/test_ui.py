"""What a person meets in the UI: links, saved views, what is compared in the table."""

import base64
import json
import os
import zlib

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from small_trainings import TINY

from looped.records.folder import RunFolder
from looped.tracking.opening import open_run
from looped.tracking.stores.store import Store
from looped.tracking.ui import discard, experiment, links
from looped.tracking.ui.views import TRAININGS, VIEWS
from looped.training import resolve

TINY_CONFIG = resolve.resolve(TINY)


@pytest.fixture
def place(store, monkeypatch):
    monkeypatch.setattr(experiment, "_prepared", set())
    return Store(store, os.environ["MLFLOW_EXPERIMENT_ID"])


def tags_of(place):
    return place.client.get_experiment(place.experiment_id).tags


def test_views_are_written_as_mlflow_reads_them(place):
    experiment.prepare_experiment(place)
    tags = tags_of(place)
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.note.content"].startswith("Looped transformers")
    for view in VIEWS:
        content = json.loads(tags[f"mlflow.sharedViewState.{view.key}"])
        kind, packed = content["state"].split(";")
        state = json.loads(zlib.decompress(base64.b64decode(packed)))
        assert (content["name"], kind, state) == (view.name, "deflate", view.state)
        assert len(tags[f"mlflow.sharedViewState.{view.key}"]) < 5000  # which a tag may have
        place.client.search_runs([place.experiment_id], state["searchFilter"])  # is a query


def test_what_a_person_made_of_it_stays(place):
    tags_of_a_person = {
        "mlflow.note.content": "mine",
        f"mlflow.sharedViewState.{TRAININGS.key}": "mine",
    }
    for name, value in tags_of_a_person.items():
        place.client.set_experiment_tag(place.experiment_id, name, value)
    experiment.prepare_experiment(place)
    assert tags_of_a_person.items() <= tags_of(place).items()


def test_an_experiment_that_takes_no_view_stops_nothing(place, monkeypatch):
    def refuse(*_):
        raise MlflowException("no")

    monkeypatch.setattr(place.client, "set_experiment_tag", refuse)
    experiment.prepare_experiment(place)
    assert "mlflow.note.content" not in tags_of(place)


def test_links_name_the_server_and_no_password(place, tmp_path, monkeypatch):
    run_id = place.client.create_run(place.experiment_id).info.run_id
    assert links.to_file(place.client, run_id, "report/report.html") is None
    place.client.log_text(run_id, "page", "report/report.html")
    assert links.to_file(place.client, run_id, "report/report.html").startswith("file:///")
    (tmp_path / "out").mkdir()
    page = links.of_report(place, run_id, tmp_path / "out")["the page"]
    assert page == f"file://{tmp_path}/out/report.html"
    text = ""
    for uri in ("https://me:secret@tracking/mlflow/", "postgresql://me:secret@tracking/mlflow"):
        monkeypatch.setattr(mlflow, "get_tracking_uri", lambda uri=uri: uri)
        text += links.written(links.of_grid(place, run_id))
        text += links.written(links.of_law(place, run_id, ("law", "3")))
    assert "secret" not in text
    assert "look at it:\n  all cells" in text
    assert "https://tracking/mlflow/#/experiments/" in text
    assert f"{links.UI}/#/models/law/versions/3?" in text


@pytest.fixture
def folder(tmp_path):
    opened = RunFolder(tmp_path / "runs", TINY_CONFIG)
    yield opened
    opened.close()


def test_the_table_holds_what_is_compared(place, folder):
    run_id = open_run(TINY_CONFIG, folder).run_id
    run = place.client.get_run(run_id)
    expected = {"size": "tiny", "b": "2", "seed": "42", "task": "linear"}
    assert expected.items() <= run.data.params.items()
    n_params = TINY_CONFIG.model_config.n_params()
    assert (run.data.metrics["b"], run.data.metrics["n_params"]) == (2, n_params)
    tags = run.data.tags
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == (
        "entrypoints/train.py", "LOCAL",
    )  # fmt: skip
    assert tags["mlflow.user"]
    (entry,) = run.inputs.dataset_inputs
    assert entry.dataset.name == "linear n_dims=2"
    assert "held out" in json.loads(entry.dataset.profile)


def test_parameters_that_mlflow_run_logged_stay_as_they_were_given(place, folder, monkeypatch):
    tags = {"mlflow.user": "they", "mlflow.source.name": "their folder"}
    run_id = place.client.create_run(place.experiment_id, tags=tags).info.run_id
    for name, value in {"size": "tiny", "b": "2.0", "seed": "42.0", "task": "linear"}.items():
        place.client.log_param(run_id, name, value)
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert open_run(TINY_CONFIG, folder).run_id == run_id
    run = place.client.get_run(run_id)
    assert (run.data.params["b"], run.data.metrics["b"], run.data.tags["b"]) == ("2.0", 2, "2")
    assert run.data.params["resolved.b"] == "2"
    assert tags.items() <= run.data.tags.items()


def test_a_dry_run_is_in_the_trash_once_mlflow_has_ended_it(place, monkeypatch):
    run_id = place.client.create_run(place.experiment_id).info.run_id
    ends = iter([lambda: None, lambda: place.client.set_terminated(run_id, "FINISHED")])
    monkeypatch.setattr(discard.time, "sleep", lambda _: next(ends)())
    discard.discard(place.client, run_id, "nothing was trained")
    run = place.client.get_run(run_id)
    assert (run.info.status, run.info.lifecycle_stage) == ("KILLED", "deleted")
    assert run.data.tags["looped.reason"] == "nothing was trained"
    assert place.client.search_runs([place.experiment_id]) == []
    discard.discard(place.client, run_id, "it is deleted already")
