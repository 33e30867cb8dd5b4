"""Registering: what a version holds, and that best is the lowest error whoever registers."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from mlflow.exceptions import MlflowException
from registrar import CONFIG, NAME, Registrar

from looped import TrainConfig
from looped.records.model_files import DESCRIPTION, WEIGHTS
from looped.tracking import registry
from looped.tracking.registry import ALIAS, RegistryError, registered_name


@pytest.fixture
def register(store, tmp_path):
    return Registrar(store, tmp_path / "trained")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("looped-linear-tiny", {"b": 7, "seed": 1, "steps": 10}),
        ("looped-linear-medium-d20", {"size": "medium", "n_dims": 20}),
        ("looped-linear-tiny-d2-n15-interleaved", {
            "n_dims": 2, "n_examples": 15, "prompt": "interleaved", "noise_std": 2.0,
        }),
        ("looped-noisy_linear-tiny", {"task": "noisy_linear"}),
        ("looped-noisy_linear-tiny-noise0.5", {"task": "noisy_linear", "noise_std": 0.5}),
        ("looped-sparse_linear-tiny-sparsity2", {"task": "sparse_linear", "sparsity": 2}),
        ("looped-decision_tree-tiny-n31-depth3", {
            "task": "decision_tree", "tree_depth": 3, "n_examples": 31,
        }),
        ("looped-relu_network-tiny-hidden8", {"task": "relu_network", "n_hidden": 8}),
    ],
)  # fmt: skip
def test_the_name_tells_problems_apart_that_do_not_compare(name, changes):
    assert registered_name(TrainConfig(**changes)) == name


def test_a_version_says_where_it_comes_from_and_holds_no_pickle(register, store):
    version = register(0.25)
    assert version.name == NAME
    run = store.get_run(version.run_id)
    assert store.get_model_version(NAME, version.version).tags == {
        "b": "2", "seed": "42", "error": "0.25", "run": run.info.run_id, "size": "tiny",
        "task": "linear", "recipe": CONFIG.recipe_identity, "identity": CONFIG.identity,
    }  # fmt: skip
    folder = Path(run.info.artifact_uri.removeprefix("file://")) / "model"
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert {Path("artifacts") / name for name in (DESCRIPTION, WEIGHTS)} <= files
    assert {path.suffix for path in files} <= {
        *("", ".py", ".typed", ".cpp", ".h", ".json", ".safetensors", ".yaml", ".txt")
    }
    pins = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert set(pins) == {"mlflow", "torch", "numpy", "safetensors", "jaxtyping"}
    assert pins["torch"] == torch.__version__.partition("+")[0]


def test_best_moves_only_to_a_lower_error(register):
    pointed = []
    for nmse in (0.5, 0.7, 0.3, 0.3, 0.4):
        register(nmse)
        pointed.append(register.best)
    assert pointed == [1, 1, 3, 3, 3]


def test_a_run_is_registered_once(register, store):
    first = register(0.5)
    store.delete_registered_model_alias(NAME, ALIAS)
    assert register(0.5, first.run_id).version == first.version
    assert len(store.search_model_versions(f"name='{NAME}'")) == 1
    assert register.best == 1


def test_what_was_cut_off_before_its_version_was_made_is_registered_again(register, monkeypatch):
    run_id = register.new_run()
    with monkeypatch.context() as patch:

        def fail(*arguments, **options):
            raise MlflowException("connection\nrefused")

        patch.setattr(register.store, "create_model_version", fail)
        expected = f"run {run_id} must be registered as {NAME}, got: connection refused"
        with pytest.raises(RegistryError, match=expected):
            register(0.5, run_id)
    assert register(0.5, run_id).run_id == run_id


def test_best_is_right_when_another_machine_registers_meanwhile(register, monkeypatch):
    """A better version comes between this machine's look and its move of the alias."""
    monkeypatch.setattr(registry, "one_at_a_time", lambda *_: nullcontext())
    move = register.store.set_registered_model_alias

    def late(name, alias, version):
        monkeypatch.setattr(register.store, "set_registered_model_alias", move)
        register(0.1)
        assert register.best == 2
        move(name, alias, version)

    monkeypatch.setattr(register.store, "set_registered_model_alias", late)
    assert int(register(0.2).version) == 1
    assert register.best == 2


def test_best_is_right_where_the_process_died_before_it_moved_the_alias(register, monkeypatch):
    register(0.5)
    with monkeypatch.context() as patch:

        def die(*_):
            raise KeyboardInterrupt

        patch.setattr(register.store, "set_registered_model_alias", die)
        with pytest.raises(KeyboardInterrupt):
            register(0.1)
    assert register.best == 1
    register(0.3)  # a third model, neither the best nor the one that was cut off
    assert register.best == 2


@pytest.mark.slow
def test_processes_that_register_at_once_all_succeed(register, store, tmp_path):
    script = """
import sys
from pathlib import Path
from looped import TrainConfig
from looped.tracking import registry
from mlflow.tracking import MlflowClient
config = TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5)
print("ready", flush=True)
sys.stdin.readline()
registry.register(MlflowClient(), sys.argv[1], Path(sys.argv[2]), config, float(sys.argv[3]))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, register.new_run(), str(register.folder), error],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for error in ("0.3", "0.2")
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert len(store.search_model_versions(f"name='{NAME}'")) == 2
    best = store.get_model_version_by_alias(NAME, ALIAS)
    assert best.tags["error"] == "0.2"
