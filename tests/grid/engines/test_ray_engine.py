"""The grid on a real Ray cluster of two nodes, one lost half-way, logging to a real server."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from safetensors.torch import load_file
from services import find_postgres, mlflow_server, postgres

from looped.grid.engines.ray_engine import RayEngine
from looped.grid.options import GridOptions
from looped.records.journal import read

ROOT = Path(__file__).parents[3]

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed (make ray)", allow_module_level=True)

SMALL = {
    "sizes": "tiny", "bs": "1,2,5", "seeds": "42,451", "n_dims": 2, "n_examples": 7,
    "batch_size": 8, "steps": 1500, "log_every": 10, "checkpoint_seconds": 0.1, "b_max": 6,
}  # fmt: skip


@pytest.fixture
def store_uri(tmp_path):
    if find_postgres() is None or importlib.util.find_spec("psycopg2") is None:
        pytest.skip(
            "PostgreSQL or psycopg2 is not installed (apt-get install postgresql; make ray)"
        )
    with postgres() as database, mlflow_server(database, tmp_path) as uri:
        yield uri


@pytest.fixture
def cluster(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the nodes' workers inherit it
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield nodes
    nodes.shutdown()


def start(runs_dir, **changes):
    settings = SMALL | {"runs_dir": runs_dir} | changes
    words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    return subprocess.Popen(
        [sys.executable, "-m", "entrypoints.grid", *words], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def folders_in_training(root):
    """Folders of trainings that are being trained, by what their journals say."""
    return {
        path.parent.name
        for path in root.glob("*/journal.jsonl")
        if path.read_bytes().count(b"\n") > 3 and b'"end"' not in path.read_bytes()
    }


def lose(cluster, node):
    """Kill a node with all that runs on it, as the loss of a machine does."""
    (raylet,) = (process.process.pid for process in node.all_processes["raylet"])
    pids = [raylet]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, after = stat.read_text().rpartition(")")
            if int(after.split()[1]) == raylet:
                pids.append(int(stat.parent.name))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)


@pytest.mark.slow
def test_a_node_is_lost_and_nothing_else(cluster, store_uri, tmp_path, monkeypatch):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    root = tmp_path / "runs"
    process = start(root, engine="ray", ray_address=cluster.address)
    deadline = time.monotonic() + 180
    while not folders_in_training(root):  # the grid has joined the first node
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    second = cluster.add_node(num_cpus=1)
    while len(folders_in_training(root)) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    assert len(folders_in_training(root)) == 2
    lose(cluster, second)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert "6 trainings: 6 finished now" in output

    client = MlflowClient(store_uri)
    trainings = client.search_runs(["0"], "tags.`looped.kind` = 'training'")
    finished_runs = [run for run in trainings if run.info.status == "FINISHED"]
    assert Counter(run.data.tags["identity"] for run in finished_runs).most_common()[0][1] == 1
    assert len(finished_runs) == 6
    lost_runs = [run for run in trainings if run.info.status != "FINISHED"]
    assert len(lost_runs) >= 1
    assert {run.info.status for run in lost_runs} == {"KILLED"}
    ids = {run.info.run_id for run in finished_runs}
    assert all(run.data.tags["superseded_by"] in ids for run in lost_runs)
    for run in finished_runs:
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert [sample.step for sample in history] == [1, *range(10, 1501, 10)]
    (parent,) = client.search_runs(["0"], "tags.`looped.kind` = 'grid'")
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in trainings} == {parent.info.run_id}
    assert (
        "for 6 of the 6 trainings, and more than one for 0."
        in parent.data.tags["mlflow.note.content"]
    )

    starts = [
        record
        for path in root.glob("tiny-*/journal.jsonl")
        for record in read(path)[0]
        if record["kind"] == "start"
    ]
    assert {(start["kernels"], start["device"]) for start in starts} == {("fused", "cpu")}
    assert {run.data.params["resolved.kernels"] for run in finished_runs} == {"fused"}

    local = start(tmp_path / "local", tracking="offline", register="false", evaluate="false")
    output, _ = local.communicate(timeout=300)
    assert local.returncode == 0, output
    models = list((tmp_path / "local").glob("tiny-*/model/weights.safetensors"))
    assert len(models) == 6
    for path in models:
        here, there = load_file(path), load_file(root / path.relative_to(tmp_path / "local"))
        assert all((here[name] == there[name]).all() for name in here)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "localhost:99999"])
def test_an_unreachable_cluster_is_one_line_quickly(address):
    start_time = time.monotonic()
    with pytest.raises(
        ValueError, match="ray_address must be that of a running Ray cluster"
    ) as refusal:
        RayEngine(GridOptions(engine="ray", ray_address=address))
    assert f"got {address}: " in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert time.monotonic() - start_time < 20


def test_a_store_of_one_machine_is_refused(store, monkeypatch):
    from looped.grid import runner

    with pytest.raises(ValueError, match=r"engine=ray must log to .* got sqlite:///"):
        runner._open_store("ray")
    assert os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite:///")
