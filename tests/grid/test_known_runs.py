import os
from dataclasses import replace

import pytest

from looped.config import TrainConfig
from looped.grid.known_runs import finished_runs, standings_in_store
from looped.names import Kind, Metric, Tag
from looped.tracking.store import Store

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

    def standing(self, config, commit=None):
        return standings_in_store(self.store, CONFIGS, self.root, commit)[config.identity]

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
    assert trainings.standing(FIRST, "abc").state == "done"
    assert trainings.standing(FIRST, "def").state == "to do"


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
    store.set_experiment_tag(trainings.store.experiment_id, Tag.IMPORTED, "now")
    assert (trainings.ids(SECOND), trainings.ids(FOURTH)) == ({second}, {fourth})


def test_the_store_is_only_asked_for_what_ended_since(trainings, store, monkeypatch):
    trainings.log(FIRST, "FINISHED", 1_000)
    trainings.log(SECOND, "FINISHED", 900_000_000)
    trainings.ids(FIRST)
    counts = []
    search = type(store).search_runs

    def counting(*words, **options):
        runs = search(*words, **options)
        counts.append(len(runs))
        return runs

    monkeypatch.setattr(type(store), "search_runs", counting)
    assert trainings.ids(FIRST)
    assert trainings.ids(SECOND)
    assert sum(counts) == 2  # SECOND's run, in each of the two
