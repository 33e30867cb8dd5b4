"""Metrics put in as rows leave the tables that MLflow's own calls leave."""

import math
import sqlite3
import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.tracking.runs import log_in_batches
from looped.tracking.stores import metric_rows


@pytest.fixture(scope="module")
def place(empty_database, tmp_path_factory):
    """An embedded database with an experiment, and the way to its tables."""
    path = tmp_path_factory.mktemp("rows") / "mlflow.db"
    path.write_bytes(empty_database.read_bytes())
    return MlflowClient(f"sqlite:///{path}"), path


def new_run(client):
    return client.create_run("0").info.run_id


def tables(path, run_id):
    with closing(sqlite3.connect(path)) as connection:
        columns = "key, step, timestamp, value, is_nan"
        return [
            connection.execute(
                f"SELECT {columns} FROM {table} WHERE run_uuid = ? ORDER BY {columns}", (run_id,)
            ).fetchall()
            for table in ("metrics", "latest_metrics")
        ]


VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1, True, math.nan, math.inf, -math.inf, 1.7976931348623157e308]),
    st.floats(-2, 2),
)
METRICS = st.lists(
    st.builds(
        Metric, st.sampled_from(["a", "loops/nmse", "A b.c-d"]), VALUES,
        st.integers(0, 2), st.integers(-1, 2),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=15)
@given(batches=st.lists(METRICS, min_size=1, max_size=3))
def test_the_tables_are_those_that_mlflow_leaves(place, batches):
    """NaN, infinities, the same said twice, older values after newer ones."""
    client, path = place
    expected_run, run_id = new_run(client), new_run(client)
    for batch in batches:
        client.log_batch(expected_run, metrics=batch)
        log_in_batches(client, run_id, batch, [])
    assert tables(path, run_id) == tables(path, expected_run)


def test_a_long_list_is_put_in_by_parts(place, monkeypatch):
    client, path = place
    monkeypatch.setattr(metric_rows, "AT_ONCE", 7)
    run_id = new_run(client)
    log_in_batches(client, run_id, [Metric("a", 0.5 * i, 1, i) for i in range(40)], [])
    metrics, latest = tables(path, run_id)
    assert len(metrics) == 40
    assert latest == [("a", 39, 1, 19.5, 0)]


@pytest.mark.parametrize(
    "metric", [Metric("a/../b", 1.0, 1, 1), Metric("a#", 1.0, 1, 1), Metric("a", 1.0, -1, 1)]
)
def test_what_mlflow_refuses_is_refused_and_nothing_is_kept(place, metric):
    client, path = place
    run_id = new_run(client)
    with pytest.raises(MlflowException) as expected:
        client.log_batch(run_id, metrics=[metric])
    with pytest.raises(MlflowException) as refusal:
        log_in_batches(client, run_id, [Metric("good", 1.0, 1, 1), metric], [])
    assert refusal.value.error_code == expected.value.error_code
    assert tables(path, run_id) == [[], []]


def test_a_run_that_is_gone_is_refused_as_by_mlflow(place):
    client, _ = place
    deleted = new_run(client)
    client.delete_run(deleted)
    for run_id in (deleted, "0" * 32):
        with pytest.raises(MlflowException) as expected:
            client.log_batch(run_id, metrics=[Metric("a", 1.0, 1, 1)])
        with pytest.raises(MlflowException) as refusal:
            log_in_batches(client, run_id, [Metric("a", 1.0, 1, 1)], [])
        assert refusal.value.error_code == expected.value.error_code


def test_several_that_write_at_once_lose_nothing(place):
    """SQLite has one writer: the others wait."""
    client, path = place
    run_ids = [new_run(client) for _ in range(4)]

    def write(run_id):
        for first in range(0, 60, 20):
            metrics = [Metric("a", 1.0, 1, step) for step in range(first, first + 20)]
            log_in_batches(MlflowClient(client.tracking_uri), run_id, metrics, [])

    threads = [threading.Thread(target=write, args=[run_id]) for run_id in run_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run_id in run_ids:
        metrics, latest = tables(path, run_id)
        assert [row[1] for row in metrics] == list(range(60))
        assert latest == [("a", 59, 1, 1.0, 0)]
