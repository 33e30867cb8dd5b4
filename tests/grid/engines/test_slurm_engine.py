"""Jobs of a real Slurm on this machine: cancelled, killed, timed out, on a node that is lost."""

import csv
import importlib.util
import os
import re
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from child_processes import ChildProcesses, finish
from safetensors.torch import load_file
from services import mlflow_server
from slurm_cluster import slurm_cluster, why_not
from toy_work import counting

from looped.config import TrainConfig
from looped.grid.engines.engine import work_through
from looped.grid.options import GridOptions, RunOptions
from looped.grid.records.ledger import ENDED, FAILED, FINISHED, KILLED, LOST, QUEUED, RUNNING
from looped.grid.run_trainings import Nest

ROOT = Path(__file__).parents[3]

if importlib.util.find_spec("submitit") is None:
    pytest.skip("submitit is not installed (make slurm)", allow_module_level=True)
if why_not():
    pytest.skip(f"no Slurm here: {why_not()}", allow_module_level=True)

CONFIGS = [
    replace(TrainConfig(), seed=seed, kernels="off").resolved("cpu", "fp32") for seed in range(4)
]
IDENTITIES = [config.identity for config in CONFIGS]

SMALL = {
    "engine": "slurm", "sizes": "tiny", "bs": "1,2", "seeds": "42,451", "n_dims": 2,
    "n_examples": 7, "batch_size": 8, "steps": 300, "log_every": 10, "checkpoint_seconds": 0.1,
    "b_max": 4, "n_prompts": 64, "register": "false", "kernels": "off",
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def on_the_cluster(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{':'.join(filter(None, sys.path))}")


class Desk:
    """Keeps all news, and does something once when a training is heard of in a state."""

    def __init__(self, folder, deeds=()):
        self.folder = folder
        self.news = []
        self._deeds = dict(deeds)

    def hear(self, news):
        self.news.append(news)
        deed = self._deeds.get((IDENTITIES.index(news.identity), news.state))
        if deed and (news.state != RUNNING or news.step):
            del self._deeds[IDENTITIES.index(news.identity), news.state]
            deed()

    def tick(self):
        pass

    def should_stop(self):
        return False

    def states(self):
        newest = {each.identity: each for each in self.news}
        return [newest[identity] for identity in IDENTITIES if identity in newest]


def run(desk, groups, steps, slurm, **toy):
    from looped.grid.engines.slurm_engine import SlurmEngine

    engine = SlurmEngine(GridOptions(engine="slurm", slurm=slurm))
    work = partial(counting, root=desk.folder.parent, steps=steps, **toy)
    engine.run(groups, work, None, desk, 1, {})


def job_of(desk, place):
    reasons = [each.reason for each in desk.news if each.identity == IDENTITIES[place]]
    return next(match[1] for match in (re.search(r"job (\d+_?\d*)", text) for text in reasons))


def test_a_job_that_is_cancelled_or_killed_takes_none_along(cluster, tmp_path, capfd):
    desk = Desk(
        tmp_path / "runs" / "grid-0",
        {(2, QUEUED): lambda: cluster.tell("scancel", job_of(desk, 2))},
    )
    groups = [[config] for config in CONFIGS[:3]]
    run(desk, groups, 3, "array_parallelism=2,cpus_per_task=1", dies_at=1)
    states = desk.states()
    assert [each.state for each in states] == [FINISHED, KILLED, KILLED]
    assert re.match(r"its job \d+_1 ended: FAILED \(see .*_1_0_log.err\)$", states[1].reason)
    assert re.match(r"its job \d+_2 was cancelled before it began$", states[2].reason)
    assert len([each for each in desk.news if each.state in ENDED]) == 3
    assert "submitted 3 trainings as 3 jobs of Slurm" in capfd.readouterr().out


@pytest.mark.crash
def test_a_job_that_is_told_of_its_limit_goes_on_from_its_checkpoint(cluster, tmp_path):
    desk = Desk(
        tmp_path / "runs" / "grid-0",
        {(0, RUNNING): lambda: cluster.tell("scancel", "--signal=USR2", job_of(desk, 0))},
    )
    run(desk, [CONFIGS[:2]], 80, None)
    first, second = desk.states()
    assert (first.state, second.state) == (FINISHED, FINISHED)
    assert 0 < int(first.reason.split()[-1]) < 80
    again = [each for each in desk.news if each.state == QUEUED and "again" in each.reason]
    assert again
    assert "goes on from its checkpoint" in again[0].reason


@pytest.mark.slow
def test_the_limit_of_a_minute_ends_no_training(cluster, tmp_path):
    desk = Desk(tmp_path / "runs" / "grid-0")
    run(desk, [CONFIGS[:1]], 60, "time=1,signal_delay_s=5", seconds=1.0)
    (end,) = desk.states()
    assert end.state == FINISHED
    assert 0 < int(end.reason.split()[-1]) < 60


@pytest.mark.crash
def test_a_node_that_is_lost_costs_no_training(cluster, tmp_path):
    def lose():
        cluster.lose_node()
        cluster.start_node()
        cluster.tell("scontrol", "update", "NodeName=localhost", "State=RESUME")

    desk = Desk(tmp_path / "runs" / "grid-0", {(0, RUNNING): lose})
    run(desk, [[config] for config in CONFIGS[:2]], 80, None)
    assert [each.state for each in desk.states()] == [FINISHED, FINISHED]
    lost = [each for each in desk.news if each.state == LOST]
    assert any("lost with its node, and is queued again" in each.reason for each in lost)
    assert int(desk.states()[0].reason.split()[-1]) > 0


@pytest.mark.crash
def test_a_job_that_asks_for_a_gpu_says_where_there_is_none(tmp_path, monkeypatch):
    from looped.grid.engines.slurm_engine import SlurmEngine

    engine = SlurmEngine(GridOptions(engine="slurm", slurm="gpus_per_task=1"))
    (config,) = engine.resolve([replace(TrainConfig(), seed=0)])
    monkeypatch.setitem(globals(), "IDENTITIES", [config.identity])
    assert (config.device, config.precision) == ("cuda", "bf16")
    desk = Desk(tmp_path / "runs" / "grid-0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    options = RunOptions(runs_dir=str(tmp_path), tracking="offline")
    work = partial(work_through, options=options, nest=Nest())
    engine.run([[config]], work, None, desk, 1, {})
    assert desk.news[-1].state == FAILED
    assert "got cuda without a GPU" in desk.news[-1].reason


@pytest.mark.slow
def test_a_grid_for_gpus_is_planned_where_there_is_none(call, tmp_path):
    import entrypoints.grid

    words = ["--engine", "slurm", "--slurm", "gpus_per_task=1", "--dry_run", "true"]
    words += ["--tracking", "offline", "--runs_dir", str(tmp_path), "--evaluate", "false"]
    code, lines = call(entrypoints.grid, *words)
    assert code == 0, lines
    assert "36 trainings: 36 to do" in lines
    assert "to submit: 3 jobs of Slurm" in lines
    assert not list(tmp_path.iterdir())


@pytest.fixture
def grids(store, tmp_path):
    return ChildProcesses(store, tmp_path / "runs", "grid", SMALL)


def table(grids):
    (path,) = grids.root.glob("grid-*/trainings.csv")
    with path.open() as file:
        return {row["training"]: row for row in csv.DictReader(file)}


def states(grids):
    return sorted(row["state"] for row in table(grids).values())


@pytest.mark.slow
def test_a_grid_that_is_not_waited_for_is_told_by_the_same_command(cluster, grids):
    process = grids.start(slurm="array_parallelism=1")
    cluster.wait_until(lambda: cluster.tell("squeue", "--noheader").strip(), 180)
    os.kill(process.pid, signal.SIGINT)
    output, code = finish(process)
    assert code == 128 + signal.SIGINT, output
    assert "go on: the same command waits for them again, and scancel" in output
    array = re.findall(r"jobs of Slurm \((\d+)\)", output)[0]
    deadline = time.monotonic() + 300
    while FINISHED not in states(grids) and "done" not in states(grids):
        output, code = grids.run(wait="false", slurm="array_parallelism=1")
        assert code == 0, output
        assert "submitted" not in output
        assert time.monotonic() < deadline, output
    cluster.tell("scancel", array)
    cluster.wait_until(lambda: not cluster.tell("squeue", "--noheader").strip())
    output, code = grids.run(wait="false", slurm="array_parallelism=1")
    assert code == 0, output
    if "submitted" in output:  # those that were cancelled go on
        assert re.search(r"killed: .*(CANCELLED|was cancelled)", output), output
    output, code = grids.run(slurm="array_parallelism=1")
    assert code == 0, output
    assert output.count("submitted") == 0
    assert set(states(grids)) <= {"done", "finished"}
    trainings = grids.runs("training")
    assert [run.info.status for run in trainings] == ["FINISHED"] * 4
    assert not grids.runs(status="RUNNING")
    parents = grids.runs("grid")
    assert parents[-1].info.status == "FINISHED"
    for run in trainings:
        assert grids.steps(run) == [1, *range(10, 301, 10)]


@pytest.mark.slow
def test_jobs_tell_a_server_that_they_reach(cluster, grids, tmp_path, monkeypatch):
    with mlflow_server(os.environ["MLFLOW_TRACKING_URI"], tmp_path) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        output, code = grids.run(wait="false", bs="1")
        assert code == 0, output
        cluster.wait_until(lambda: not cluster.tell("squeue", "--noheader").strip(), 300)
        trainings = grids.runs("training")  # nobody but the jobs can have told of them
        assert [run.info.status for run in trainings] == ["FINISHED"] * 2
        output, code = grids.run(wait="false", bs="1")
    assert code == 0, output
    assert "2 trainings: 2 done before" in output
    (parent,) = grids.runs("grid")
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in trainings} == {parent.info.run_id}


@pytest.mark.slow
def test_the_weights_are_those_of_the_local_engine_to_the_bit(grids, tmp_path):
    output, code = grids.run(tracking="offline", evaluate="false", bs="2")
    assert code == 0, output
    assert "2 trainings: 2 finished now" in output
    local = ChildProcesses(None, tmp_path / "local", "grid", SMALL)
    output, code = local.run(engine="local", tracking="offline", evaluate="false", bs="2")
    assert code == 0, output
    models = list(local.root.glob("tiny-*/model/weights.safetensors"))
    assert len(models) == 2
    for path in models:
        here, there = load_file(path), load_file(grids.root / path.relative_to(local.root))
        assert all((here[name] == there[name]).all() for name in here)


@pytest.mark.parametrize(
    ("slurm", "message"),
    [
        ("partition=gpu", "slurm must ask for what the cluster has, got: .*nvalid partition"),
        ("gpus_per_task=2", "slurm must ask for what the cluster has, got: .*not available"),
    ],
)
def test_what_the_cluster_lacks_is_one_line(slurm, message):
    from looped.grid.engines.slurm_engine import SlurmEngine

    with pytest.raises(ValueError, match=message) as refusal:
        SlurmEngine(GridOptions(engine="slurm", slurm=slurm))
    assert "\n" not in str(refusal.value)


def test_a_checkout_that_is_gone_tomorrow_is_refused(tmp_path, monkeypatch):
    from looped.grid.engines.slurm_engine import SlurmEngine

    monkeypatch.setenv("MLFLOW_RUN_ID", "1")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="in a checkout that every node sees, got the temporary"):
        SlurmEngine(GridOptions(engine="slurm"))


def test_without_slurm_or_submitit_nothing_is_made(tmp_path, monkeypatch):
    from looped.grid.engines.choice import make_engine

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="got no sbatch on the PATH"):
        make_engine(GridOptions(engine="slurm"))
    monkeypatch.setitem(sys.modules, "looped.grid.engines.slurm_engine", None)
    with pytest.raises(ValueError, match=r"engine=slurm needs submitit \(make slurm\)"):
        make_engine(GridOptions(engine="slurm"))
