"""The examples in the docstrings of ``looped``'s face run, and none is missing."""

import doctest
import os
from dataclasses import is_dataclass

import pytest

import looped
from looped import LoopedTransformer, TrainConfig, sizes
from looped.plugins import loading
from looped.records.model_files import save_model
from looped.tracking import registry

FACE = {name: getattr(looped, name) for name in looped.__all__ if name != "SIZES"}
"""``SIZES`` is a table, shown in the example of ``Size``."""


@pytest.fixture(autouse=True)
def _names_of_examples_alone(monkeypatch):
    """What an example registers is gone after it."""
    monkeypatch.setattr(sizes, "_registered", {})
    monkeypatch.setattr(loading, "_registered", {})


@pytest.fixture
def registered_model(store, tmp_path):
    """An untrained model under the name that the example of ``load`` has."""
    config = TrainConfig(size="tiny")
    save_model(tmp_path / "model", LoopedTransformer.from_config(config.model_config), {"b": 5})
    run_id = store.create_run(os.environ["MLFLOW_EXPERIMENT_ID"]).info.run_id
    registry.register(store, run_id, tmp_path / "model", config, 0.5)


def examples_of(value):
    """Find the examples of a function, or of a class and its public methods."""
    module = __import__(value.__module__, fromlist=["_"])
    finder = doctest.DocTestFinder(exclude_empty=False, recurse=not is_dataclass(value))
    return finder.find(value, value.__name__, module=False, globs=dict(vars(module)))


@pytest.mark.parametrize("name", FACE)
def test_every_name_of_the_face_has_an_example_that_runs(name, registered_model):
    runner = doctest.DocTestRunner()
    whole = examples_of(FACE[name])
    assert any(each.examples for each in whole if each.name == name), f"{name} has no example"
    texts = []
    for each in whole:
        runner.run(each, out=texts.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(texts)


def test_the_public_methods_of_the_model_have_examples():
    methods = [method for method in examples_of(LoopedTransformer) if method.examples]
    names = {method.name.rpartition(".")[2] for method in methods}
    assert {"forward", "from_config"} <= names
