"""Every way to a registered model: loaded, served, elsewhere; and what is refused."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from registrar import BEST, CONFIG, NAME, Registrar

import looped
from looped import LoopedTransformer
from looped.records.model_files import DESCRIPTION, WEIGHTS, DamagedModelError
from looped.tracking import registry
from looped.tracking.registry import UnknownModelError


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
