import os
from dataclasses import replace

import pytest

from looped.config import TrainConfig
from looped.grid.known_runs import finished_runs, known_cells
from looped.tracking.runs import IMPORTED

CELLS = [replace(TrainConfig(), seed=seed).resolved("cpu", "fp32") for seed in range(4)]
ONE, TWO, THREE, FOUR = CELLS


@pytest.fixture
def known(store, tmp_path):
    """Log a training and tell what is known of its cell."""
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]

    def log(cell, status, ended=1_000_000, commit="abc", **tags):
        tags |= {"looped.kind": "training", "identity": cell.identity, "git.commit": commit}
        run_id = store.create_run(experiment, ended, tags).info.run_id
        store.log_metric(run_id, "held_out/nmse", 0.5)
        store.set_terminated(run_id, status, ended)
        return run_id

    def state(cell, commit=None):
        return known_cells(store, experiment, CELLS, tmp_path, commit)[cell.identity]

    def ids(cell):
        found = finished_runs(store, experiment, tmp_path)
        return {run.run_id for run in found.get(cell.identity, [])}

    log.state, log.ids, log.experiment = state, ids, experiment
    return log


def test_the_newest_word_on_a_cell_stands(known):
    first = known(ONE, "FINISHED")
    known(TWO, "FAILED", 1)
    known(THREE, "FAILED", 1)
    known(THREE, "KILLED", 2)
    assert known.state(ONE)[:3] == ("done", first, 0.5)
    assert [known.state(cell).state for cell in CELLS[1:]] == ["failed before", "to do", "to do"]
    known(TWO, "FINISHED")
    assert known.state(TWO).state == "done"


def test_another_commits_run_counts_unless_asked(known):
    known(ONE, "FINISHED", commit="abc")
    assert known.state(ONE).state == "done"
    assert known.state(ONE, "abc").state == "done"
    assert known.state(ONE, "def").state == "to do"


def test_what_is_kept_from_earlier_follows_the_store(known, store):
    first = known(ONE, "FINISHED", 10_000_000)
    second = known(TWO, "FINISHED", 10_000_000)
    assert (known.ids(ONE), known.ids(TWO)) == ({first}, {second})
    third = known(ONE, "FINISHED", 10_000_001)  # ended since
    assert known.ids(ONE) == {first, third}
    store.set_tag(first, "superseded_by", third)
    assert known.ids(ONE) == {third}
    store.delete_run(second)
    assert known.ids(TWO) == set()
    store.restore_run(second)
    fourth = known(FOUR, "FINISHED", 1)  # imported: ended long ago
    store.set_experiment_tag(known.experiment, IMPORTED, "now")
    assert (known.ids(TWO), known.ids(FOUR)) == ({second}, {fourth})


def test_the_store_is_only_asked_for_what_ended_since(known, store, monkeypatch):
    known(ONE, "FINISHED", 1_000)
    known(TWO, "FINISHED", 900_000_000)
    known.ids(ONE)
    asked = []
    search = type(store).search_runs
    monkeypatch.setattr(
        type(store), "search_runs", lambda *a, **k: asked.append(len(r := search(*a, **k))) or r
    )
    assert known.ids(ONE)
    assert known.ids(TWO)
    assert sum(asked) == 2  # TWO's run, in each of the two
