import os
import subprocess
import sys
from dataclasses import replace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from looped.config import TrainConfig
from looped.grid.records import known_runs
from looped.grid.records.known_runs import finished_runs, standings_in_store
from looped.names import Kind, Metric, Tag
from looped.records.origin import Code
from looped.tracking.stores.store import Store

CONFIGS = [replace(TrainConfig(), seed=seed).resolved("cpu", "fp32") for seed in range(4)]
FIRST, SECOND, THIRD, FOURTH = CONFIGS


class Trainings:
    """Logs trainings, and tells what is known of them."""

    def __init__(self, client, root):
        self.client, self.root = client, root
        self.store = Store(client, os.environ["MLFLOW_EXPERIMENT_ID"])

    def log(self, config, status, end_time=1_000_000, commit="abc"):
        tags = {Tag.KIND: Kind.TRAINING, Tag.IDENTITY: config.identity, Tag.COMMIT: commit}
        run_id = self.client.create_run(self.store.experiment_id, end_time, tags).info.run_id
        self.client.log_metric(run_id, Metric.NMSE, 0.5)
        self.client.set_terminated(run_id, status, end_time)
        return run_id

    def standing(self, config, code=None):
        return standings_in_store(self.store, CONFIGS, self.root, code)[config.identity]

    def ids(self, config):
        finished = finished_runs(self.store, self.root)
        return {run.run_id for run in finished.get(config.identity, [])}


@pytest.fixture
def trainings(store, tmp_path):
    return Trainings(store, tmp_path)


def test_the_newest_word_on_a_training_stands(trainings):
    first = trainings.log(FIRST, "FINISHED")
    trainings.log(SECOND, "FAILED", 1)
    trainings.log(THIRD, "FAILED", 1)
    trainings.log(THIRD, "KILLED", 2)
    standing = trainings.standing(FIRST)
    assert (standing.state, standing.run_id, standing.nmse) == ("done", first, 0.5)
    states = [trainings.standing(config).state for config in CONFIGS[1:]]
    assert states == ["failed before", "to do", "to do"]
    trainings.log(SECOND, "FINISHED")
    assert trainings.standing(SECOND).state == "done"


def test_another_commits_run_counts_unless_asked(trainings):
    trainings.log(FIRST, "FINISHED", commit="abc")
    assert trainings.standing(FIRST).state == "done"
    assert trainings.standing(FIRST, Code("abc")).state == "done"
    assert trainings.standing(FIRST, Code("def")).state == "to do"
    trainings.log(SECOND, "FINISHED", commit="unknown")
    assert trainings.standing(SECOND, Code("unknown", "1")).state == "to do"
    edited = trainings.log(THIRD, "FINISHED", commit="abc")
    trainings.client.set_tag(edited, Tag.SOURCES, "1")
    assert trainings.standing(THIRD, Code("abc", "1")).state == "done"
    assert trainings.standing(THIRD, Code("abc", "2")).state == "to do"


def test_what_is_kept_from_earlier_follows_the_store(trainings, store):
    first = trainings.log(FIRST, "FINISHED", 10_000_000)
    second = trainings.log(SECOND, "FINISHED", 10_000_000)
    assert (trainings.ids(FIRST), trainings.ids(SECOND)) == ({first}, {second})
    third = trainings.log(FIRST, "FINISHED", 10_000_001)  # ended since
    assert trainings.ids(FIRST) == {first, third}
    store.set_tag(first, Tag.SUPERSEDED_BY, third)
    assert trainings.ids(FIRST) == {third}
    store.delete_run(second)
    assert trainings.ids(SECOND) == set()
    store.restore_run(second)
    fourth = trainings.log(FOURTH, "FINISHED", 1)  # imported: ended long ago
    assert (trainings.ids(SECOND), trainings.ids(FOURTH)) == ({second}, {fourth})


def collect_garbage(run_id):
    """Remove a deleted run for good, as ``mlflow gc`` does."""
    words = ["gc", "--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"], "--run-ids", run_id]
    subprocess.run([sys.executable, "-m", "mlflow", *words], check=True, capture_output=True)


@pytest.mark.parametrize("size", [1, 500])
def test_no_block_of_what_is_kept_hides_the_store(trainings, store, monkeypatch, size):
    monkeypatch.setattr(known_runs, "BLOCK", size)
    an_hour_ahead = trainings.log(FIRST, "FINISHED", 10_000_000)
    lost = trainings.log(SECOND, "FINISHED", 5_000_000)
    killed = trainings.log(THIRD, "KILLED", 5_000_000)
    assert trainings.ids(SECOND) == {lost}
    store.delete_run(lost)
    collect_garbage(lost)
    assert trainings.ids(SECOND) == set()
    assert trainings.standing(SECOND).state == "to do"
    late = trainings.log(FOURTH, "FINISHED", 10_000_000 - 3_600_000)
    assert trainings.ids(FOURTH) == {late}
    replaced = trainings.log(FOURTH, "FINISHED", 10_000_000 - 3_600_000)
    store.delete_run(late)  # as many as before, but not the same
    assert trainings.ids(FOURTH) == {replaced}
    assert trainings.ids(FIRST) == {an_hour_ahead}
    store.set_terminated(killed, "FINISHED", 5_000_000)
    assert trainings.ids(THIRD) == {killed}
    store.delete_run(an_hour_ahead)
    assert trainings.ids(FIRST) == set()
    store.restore_run(an_hour_ahead)
    assert trainings.ids(FIRST) == {an_hour_ahead}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"[" * 100_000, b'{"id": {"started": 1}}'])
def test_what_is_kept_is_made_anew_where_it_is_damaged(trainings, content):
    first = trainings.log(FIRST, "FINISHED")
    trainings.ids(FIRST)
    (path,) = trainings.root.glob("finished-runs-*.json")
    path.write_bytes(content)
    assert trainings.ids(FIRST) == {first}
    assert first in path.read_text()


def test_what_is_as_it_was_is_counted_not_listed(trainings, store, monkeypatch):
    monkeypatch.setattr(known_runs, "BLOCK", 5)
    for end_time in range(1, 21):
        trainings.log(FIRST, "FINISHED", 1_000 * end_time)
    n_runs = len(trainings.ids(FIRST))
    counts = []
    search = type(store).search_runs

    def counting(*words, **options):
        runs = search(*words, **options)
        counts.append(len(runs))
        return runs

    monkeypatch.setattr(type(store), "search_runs", counting)
    assert len(trainings.ids(FIRST)) == n_runs == 20
    assert sum(counts) == 2 * 4  # a run for each of two questions about each of four blocks
    counts.clear()
    trainings.log(SECOND, "FINISHED", 12_345)
    trainings.ids(SECOND)
    assert sum(counts) < 20  # one block was listed


def test_a_server_that_counts_in_another_way_is_asked_for_all(trainings, monkeypatch):
    first = trainings.log(FIRST, "FINISHED")
    trainings.ids(FIRST)

    def refuse(*_):
        raise MlflowException("no such comparator", error_code=INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(known_runs, "_behind", refuse)
    second = trainings.log(FIRST, "FINISHED")
    assert trainings.ids(FIRST) == {first, second}
