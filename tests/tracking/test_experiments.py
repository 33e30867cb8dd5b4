"""Where commands that only read look, and what they leave where they find nothing."""

import os

import pytest

from looped.tracking import launcher
from looped.tracking.experiments import open_by_reference, open_to_read
from looped.tracking.stores.store import Store

TRAINING = {"looped.kind": "training"}


def add_training(client, experiment_id, status="FINISHED", tags=TRAINING):
    run_id = client.create_run(experiment_id, tags=tags).info.run_id
    client.set_terminated(run_id, status)
    return run_id


@pytest.fixture
def undecided(store, monkeypatch):
    """A store, and nothing that names an experiment of it."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    return store


@pytest.fixture
def mlflow_run(undecided, monkeypatch):
    """Do as ``mlflow run`` does before a command begins: in the default experiment or a named."""

    def begin(name=None):
        experiment = undecided.get_experiment_by_name(name) if name else None
        experiment_id = experiment.experiment_id if experiment else "0"
        if name and experiment is None:
            experiment_id = undecided.create_experiment(name)
        tags = {"mlflow.project.entryPoint": "report", "mlflow.source.type": "PROJECT"}
        run_id = undecided.create_run(experiment_id, tags=tags).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
        return run_id

    return begin


def study(client, name, **training):
    experiment_id = client.create_experiment(name)
    add_training(client, experiment_id, **training)
    return experiment_id


def refusal(name=None):
    with pytest.raises(ValueError, match=", got ") as error:
        open_to_read(name)
    return str(error.value)


def test_the_only_experiment_with_finished_trainings_is_taken_and_said(undecided, mlflow_run):
    expected = study(undecided, "quick-study")
    study(undecided, "killed", status="KILLED")
    for begin in (lambda: None, mlflow_run):
        begin()
        (_, experiment_id), remark = open_to_read()
        assert experiment_id == expected
        assert remark.startswith("experiment: quick-study, the only one with finished trainings in")
        assert os.environ["MLFLOW_TRACKING_URI"] in remark


def test_of_several_one_must_be_chosen(undecided):
    study(undecided, "one")
    expected = study(undecided, "two")
    text = refusal()
    assert "one of several experiments" in text and "two, one" in text and "sqlite:///" in text
    for name in ("two", expected):
        (_, experiment_id), remark = open_to_read(name)
        assert (experiment_id, remark) == (expected, "")


def test_mlflow_runs_default_is_taken_where_it_has_trainings_and_the_others_are_named(
    undecided, mlflow_run
):
    add_training(undecided, "0")
    study(undecided, "quick-study")
    mlflow_run()
    (_, experiment_id), remark = open_to_read()
    assert experiment_id == "0"
    assert remark.startswith("experiment: Default (trainings of sqlite:///")
    assert "are in quick-study too" in remark


def test_an_experiment_without_trainings_is_read_where_no_other_has_any(undecided, mlflow_run):
    (_, experiment_id), remark = open_to_read()
    assert experiment_id == "0"
    assert remark.endswith("mlflow.db holds no finished trainings")
    mlflow_run("new")
    name = undecided.get_experiment(open_to_read().store.experiment_id).name
    assert name == "new"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MLFLOW_EXPERIMENT_NAME", "quick-studdy"), ("MLFLOW_EXPERIMENT_ID", "99"), (None, "x")],
)
def test_a_misspelt_experiment_is_refused_and_never_made(undecided, monkeypatch, variable, value):
    study(undecided, "quick-study")
    if variable:
        monkeypatch.setenv(variable, value)
    text = refusal(None if variable else value)
    assert f"that has trainings, got {value}" in text and "quick-study" in text
    assert ("did you mean quick-study?" in text) == (value == "quick-studdy")
    assert {each.name for each in undecided.search_experiments()} == {
        "Default", "test", "quick-study",
    }  # fmt: skip


def test_what_mlflow_run_made_of_a_misspelt_name_is_taken_back(undecided, mlflow_run):
    study(undecided, "quick-study")
    run_id = mlflow_run("quick-studdy")
    assert "(did you mean quick-study?)" in refusal()
    assert {each.name for each in undecided.search_experiments()} == {
        "Default", "test", "quick-study",
    }  # fmt: skip
    undecided.set_terminated(run_id, "FAILED")  # as `mlflow run` does after its command
    run = undecided.get_run(run_id)
    assert run.info.status == "FAILED"
    assert "did you mean" in run.data.tags["looped.reason"]
    undecided.create_experiment("quick-studdy")  # its name is free


def test_an_experiment_that_was_there_before_is_left(undecided, mlflow_run, monkeypatch):
    study(undecided, "quick-study")
    older = undecided.create_experiment("older")
    older_run = undecided.create_run(older).info.run_id
    run_id = mlflow_run("older")
    refusal()
    assert undecided.get_experiment(older).lifecycle_stage == "active"
    assert undecided.get_run(run_id).info.status == "FAILED"
    assert undecided.get_run(older_run).info.status == "RUNNING"


def test_a_store_that_is_not_there_is_not_made(undecided, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mflow.db'}")
    for open_it in (open_to_read, open_by_reference):
        with pytest.raises(ValueError, match=r"must be there .* \(did you mean mlflow.db\?\)"):
            open_it()
    assert [path.name for path in tmp_path.glob("*.db*")] == ["mlflow.db"]


def test_the_run_of_mlflow_run_points_to_the_one_that_its_command_makes(undecided, mlflow_run):
    experiment_id = study(undecided, "quick-study")
    launched = mlflow_run()
    store, _ = open_to_read()
    with launcher.command_run(store, "fit") as run_id:
        assert run_id != launched
    run, pointer = undecided.get_run(run_id), undecided.get_run(launched)
    assert (run.info.experiment_id, run.info.status) == (experiment_id, "FINISHED")
    assert (pointer.info.run_name, pointer.info.status) == ("fit, in quick-study", "FINISHED")
    assert pointer.data.tags["looped.logged_to"] == run_id
    assert run_id in pointer.data.tags["mlflow.note.content"]
    with pytest.raises(ValueError, match="too few"), launcher.command_run(store, "fit"):
        raise ValueError("too few")


def test_within_another_programs_run_each_command_has_a_run_of_its_own(store, monkeypatch):
    experiment_id = os.environ["MLFLOW_EXPERIMENT_ID"]
    outer = store.create_run(experiment_id, tags={"mlflow.source.type": "LOCAL"}).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", outer)
    for _ in range(2):
        with launcher.command_run(Store(store, experiment_id), "fit") as run_id:
            assert store.get_run(run_id).data.tags["mlflow.parentRunId"] == outer
    launcher.fail_launched(store, "it failed")
    assert store.get_run(outer).info.status == "RUNNING"


def test_a_run_that_one_training_has_taken_is_no_other_trainings(store, monkeypatch):
    experiment_id = os.environ["MLFLOW_EXPERIMENT_ID"]
    run_id = store.create_run(experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    assert launcher.run_to_take(store, {"identity": "a"}) == run_id
    store.set_tag(run_id, "looped.kind", "training")
    store.set_tag(run_id, "identity", "a")
    assert launcher.run_to_take(store, {"identity": "a"}) == run_id
    assert launcher.run_to_take(store, {"identity": "b"}) is None
    assert launcher.run_to_take(store) is None
