"""What is read of many runs at once is what MLflow's own calls give, one run at a time."""

import math

import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.tracking import MlflowClient

from looped.names import Kind, Tag
from looped.tracking.logged import curve_of, curves_of, params_of
from looped.tracking.runs import list_runs, list_trainings, of_kind
from looped.tracking.stores import bulk


@pytest.fixture(scope="module")
def store(empty_database, tmp_path_factory):
    """Seven runs of several states, with what is hard to read: NaN, infinity, steps said twice."""
    path = tmp_path_factory.mktemp("bulk") / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    client = MlflowClient(f"sqlite:///{path}")
    for index in range(7):
        kind = Kind.TRAINING if index != 3 else Kind.GRID
        tags = {Tag.KIND: kind, "letters": "é\n'\"" * index}
        run_id = client.create_run("0", start_time=50 - index % 3, tags=tags).info.run_id
        values = [0.5 * index, math.nan, math.inf, -1.0]
        metrics = [Metric("loops/nmse", value, 10 - i, i % 3) for i, value in enumerate(values)]
        metrics += [Metric("loops/nmse", 3.0, 10, 7), Metric("loops/nmse", 2.0, 10, 7)]
        client.log_batch(run_id, metrics, [Param("b", str(index))], [RunTag("more", "yes")])
        if index != 4:
            client.set_terminated(run_id, "FINISHED" if index != 5 else "FAILED")
        if index == 6:
            client.delete_run(run_id)
    return client


def content(run):
    data = {name: repr(sorted(vars(run.data)[f"_{name}"].items())) for name in ("params", "tags")}
    metrics = sorted(map(repr, map(dict, run.data._metric_objs)))
    return dict(run.info), data, metrics


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "RUNNING", "KILLED"])
@pytest.mark.parametrize("view", [ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL])
def test_runs_are_those_that_mlflow_lists(store, monkeypatch, status, view):
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    query = f"attributes.status = '{status}' and {of_kind(Kind.TRAINING)}"
    expected = list(map(content, list_runs(store, "0", query, view)))
    assert list(map(content, list_trainings(store, "0", status, view=view))) == expected


def test_runs_of_a_few_tags_are_the_same_runs_and_their_parameters_can_follow(store, monkeypatch):
    monkeypatch.setattr(bulk, "AT_ONCE", 2)
    whole = list(list_trainings(store, "0"))
    few = list(list_trainings(store, "0", only_tags=["more"]))
    assert list(map(dict, (run.info for run in few))) == list(
        map(dict, (run.info for run in whole))
    )
    assert [run.data.tags for run in few] == [{"more": "yes"}] * len(whole) != []
    assert not any(run.data.params or run.data.metrics for run in few)
    expected = {run.info.run_id: run.data.params for run in whole}
    assert params_of(store, few) == params_of(store, whole) == expected
    assert bulk.params_of(bulk.engine_of(store), ["no such run"]) == {}


def test_curves_are_those_that_mlflow_gives(store):
    run_ids = [run.info.run_id for run in store.search_runs(["0"])]
    names = ["loops/nmse", "never/logged"]
    curves = curves_of(store, run_ids, names)
    assert list(curves) == run_ids
    for run_id in run_ids:
        for name in names:
            assert repr(curves[run_id][name]) == repr(curve_of(store, run_id, name))
