"""The claims' rules are in a grid's run before its first training, and stay as they were."""

import json
import os
from dataclasses import replace

import pytest
from small_trainings import TINY

from looped.grid.engines import local_engine
from looped.grid.options import GridOptions, RunOptions
from looped.grid.records.imported_grids import open_parents
from looped.grid.runner import GridRunner
from looped.grid.stopping import StopRequest
from looped.names import Tag
from looped.tracking.stores.store import open_store


@pytest.fixture
def tags_at_first_training(tmp_path, monkeypatch):
    """Begin a grid in whose place nothing is trained; return its run's rules at that moment."""

    def begin(rules, **changes):
        rules_there = []

        def train(self, groups, work, store, desk, n_threads, after):
            run = store.client.get_run(desk.logbook.parent)
            rules_there.append(run.data.tags.get(Tag.CLAIM_RULES))

        monkeypatch.setattr(local_engine.LocalEngine, "run", train)
        monkeypatch.setattr(StopRequest, "listen", lambda self: None)
        options = RunOptions(**({"runs_dir": str(tmp_path), "evaluate": False} | changes))
        configs = [TINY, replace(TINY, seed=7)]
        runner = GridRunner(configs, {"bs": "2"}, GridOptions(workers=1), options, rules)
        assert runner.run(StopRequest()) == 1  # nothing was trained
        return rules_there

    return begin


def test_they_are_there_before_the_first_training_and_stay(store, tags_at_first_training):
    assert tags_at_first_training("a b") == ["a b"]
    assert tags_at_first_training("c d") == ["a b"]  # as the grid was begun
    assert tags_at_first_training("c d", resume="never") == ["c d"]
    assert tags_at_first_training("e f") == ["c d"]


def test_a_grid_begun_without_them_has_none_from_before(store, tags_at_first_training, tmp_path):
    assert tags_at_first_training("") == [None]
    assert tags_at_first_training("a b") == [None]
    (path,) = tmp_path.glob("grid-*/grid.json")
    path.write_bytes(b"{")  # damaged: who knows when it began
    assert tags_at_first_training("a b") == [None]


def test_a_grid_told_later_keeps_them(store, tags_at_first_training, tmp_path):
    tags_at_first_training("a b")
    (folder,) = tmp_path.glob("grid-*")
    facts = json.loads((folder / "grid.json").read_text())
    assert facts["origin"][Tag.CLAIM_RULES] == "a b"
    (folder / "told.json").unlink()
    for run in store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]]):
        store.delete_run(run.info.run_id)
    (run_id,) = open_parents(open_store(), tmp_path).values()
    assert store.get_run(run_id).data.tags[Tag.CLAIM_RULES] == "a b"
