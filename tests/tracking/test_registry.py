import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import nullcontext
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException

import looped
from looped import LoopedTransformer, TrainConfig
from looped.records.model_files import DESCRIPTION, WEIGHTS, DamagedModelError, save_model
from looped.tracking import registry
from looped.tracking.registry import ALIAS, RegistryError, UnknownModelError, registered_name

CONFIG = TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5)
NAME = "looped-linear-tiny-d2-n5"
BEST = f"models:/{NAME}@{ALIAS}"


class Registrar:
    """Registers untrained models, as if each had the error that is said."""

    def __init__(self, store, folder):
        self.store = store
        self.folder = folder
        self.model = LoopedTransformer.from_config(CONFIG.model_config)
        save_model(folder, self.model, {"b": CONFIG.b})

    def new_run(self):
        experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
        return self.store.create_run(experiment, run_name="a run").info.run_id

    def __call__(self, nmse, run_id=None):
        run_id = run_id or self.new_run()
        return registry.register(self.store, run_id, self.folder, CONFIG, nmse)

    @property
    def best(self):
        return int(self.store.get_registered_model(NAME).aliases[ALIAS])


@pytest.fixture
def register(store, tmp_path):
    return Registrar(store, tmp_path / "trained")


@pytest.fixture
def prompts():
    """Prompts as arrays, and as the tensors that the module takes."""
    xs, ys = torch.randn(3, 6, 2), torch.randn(3, 6)
    return {"xs": xs.numpy(), "ys": ys.numpy()}, (xs, ys)


def run_elsewhere(folder, *words):
    """Start Python where neither the working directory nor the path leads to this package."""
    return subprocess.Popen(
        [sys.executable, "-I", *words],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


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
        expected = f"run {run_id} must be registered as {NAME} .* connection refused"
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


def test_every_way_to_the_model_gives_the_same(register, prompts):
    version = register(0.5)
    run_id = version.run_id
    arrays, tensors = prompts
    expected = register.model(*tensors, n_loops=9)
    for reference in (run_id, f"runs:/{run_id}/model", f"models:/{NAME}/1", BEST):
        model, facts = registry.load_with_facts(reference)
        assert facts == {"b": 2}
        assert torch.equal(model(*tensors, n_loops=9), expected)
    assert torch.equal(looped.load(run_id)(*tensors, n_loops=9), expected)
    with pytest.warns(DeprecationWarning, match=r"looped\.load does what from_run did"):
        assert torch.equal(LoopedTransformer.from_run(run_id)(*tensors, n_loops=9), expected)
    served = mlflow.pyfunc.load_model(BEST)
    assert np.array_equal(served.predict(arrays, params={"n_loops": 9}), expected.detach())
    assert np.array_equal(served.predict(arrays), expected[:2].detach())  # b loops
    with pytest.raises(ValueError, match="n_loops must be at least 1, got 0"):
        served.predict(arrays, params={"n_loops": 0})
    with pytest.raises(MlflowException, match="float64"):
        served.predict(arrays | {"ys": arrays["ys"].astype(np.float64)})


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_a_tampered_artifact_is_refused_by_every_way(register, store, name):
    version = register(0.5)
    artifacts = store.get_run(version.run_id).info.artifact_uri.removeprefix("file://")
    path = Path(artifacts) / "model" / "artifacts" / name
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    for load in (registry.load, mlflow.pyfunc.load_model):
        with pytest.raises(DamagedModelError, match=name) as caught:
            load(BEST)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "start"),
    [
        ("0" * 32, "a run must be one that "),
        ("nothing", "a run must be one that "),
        (f"runs:/{'0' * 32}/model", "a run must be one that "),
        ("models:/nothing@best", "a model must be one that "),
        ("models:/nothing/1", "a model must be one that "),
        (f"models:/{NAME}/7", "a model must be one that "),
        (f"models:/{NAME}@worst", "a model must be one that "),
        (f"models:/{NAME}", "a model must be given as "),
        ("models:/", "a model must be given as "),
        ("two words", "a model must be given as "),
        ("", "a model must be given as "),
    ],
)
def test_an_unknown_model_is_said_in_one_line(register, reference, start):
    register(0.5)
    with pytest.raises(UnknownModelError) as caught:
        registry.load_with_facts(reference)
    message = str(caught.value)
    assert message.startswith(start)
    assert message.endswith(f"got {reference}")
    assert "\n" not in message


def test_a_run_that_is_no_training_is_said_in_one_line(register):
    run_id = register.new_run()
    with pytest.raises(UnknownModelError) as caught:
        looped.load(run_id)
    assert str(caught.value) == (
        f"a run must be a training whose model is registered, got {run_id} (a run, RUNNING)"
    )


def test_a_process_without_this_repository_predicts_to_the_bit(register, prompts, tmp_path):
    register(0.5)
    arrays, tensors = prompts
    np.savez(tmp_path / "prompts.npz", **arrays)
    script = """
import importlib.util, sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder)]
assert importlib.util.find_spec("looped") is None
import mlflow, numpy as np
model = mlflow.pyfunc.load_model(sys.argv[1])
predictions = model.predict(dict(np.load("prompts.npz")), params={"n_loops": 35})
np.save("predictions.npy", predictions)
import looped
assert looped.__file__.endswith("/model/code/looped/__init__.py"), looped.__file__
loaded = {name for name in sys.modules if name.startswith("looped.")}
names = "names rules limits windows plugins b_draw sizes tasks choices model records".split()
names += [f"records.{name}" for name in ("damage", "files", "model_files")]
names += [f"plugins.{name}" for name in ("loading", "reference", "source")]
names += [f"tasks.{name}" for name in ("kinds", "own", "settings", "task_config")]
expected = {f"looped.{name}" for name in names}
assert loaded == expected, loaded
"""
    process = run_elsewhere(tmp_path, "-c", script, BEST)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "arning" not in output
    expected = register.model(*tensors, n_loops=35).detach().numpy()
    assert np.array_equal(np.load(tmp_path / "predictions.npy"), expected)


def test_a_served_model_answers_over_http(register, prompts, tmp_path):
    register(0.5)
    arrays, tensors = prompts
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["-m", "mlflow", "models", "serve", "-m", BEST, "--env-manager", "local"]
    server = run_elsewhere(tmp_path, *words, "--host", "127.0.0.1", "--port", str(port))
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(server, f"{url}/ping")
        request_inputs = {"inputs": {name: part.tolist() for name, part in arrays.items()}}
        for n_loops, params in [(3, {"params": {"n_loops": 3}}), (CONFIG.b, {})]:
            content = json.dumps(request_inputs | params).encode()
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(f"{url}/invocations", content, headers)
            with urllib.request.urlopen(request, timeout=30) as answer:
                predictions = np.array(json.load(answer)["predictions"], np.float32)
            expected = register.model(*tensors, n_loops=n_loops).detach().numpy()
            assert np.array_equal(predictions, expected)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.communicate()


def wait_until_it_answers(server, url):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    os.killpg(server.pid, signal.SIGKILL)
    pytest.fail(f"it does not answer: {server.communicate()[0]}")
