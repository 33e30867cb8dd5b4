"""A grid's folder: whatever is in it is data, and what is damaged is named."""

import json
import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from small_trainings import TINY

from entrypoints import import_runs
from looped.grid.options import RunOptions
from looped.grid.records.folder import DamagedGridError, GridFolder
from looped.grid.records.imported_grids import end_parents, open_parents
from looped.grid.records.parent_run import open_parent, settle_parent
from looped.grid.run_trainings import Nest, run_trainings
from looped.names import Tag
from looped.tracking.stores.store import open_store
from looped.training import resolve
from looped.training.watcher import Watcher

HERE = {Tag.HOST: socket.gethostname(), Tag.COMMIT: "abc", Tag.DIRTY: "false"}


def make_grid(root, identity="abc", ends=True):
    """Leave the folder of a grid whose process has gone."""
    with closing(GridFolder(root, identity)) as folder:
        folder.begin("grid of 1 training", {"bs": "2"}, HERE, threads=1)
        folder.show("**1 training**", "training,state\n")
        if ends:
            folder.end("FINISHED", "1 training: 1 finished now")
    return folder.path


def grids(store, status=None):
    query = "tags.`looped.kind` = 'grid'"
    runs = store.search_runs(
        [os.environ["MLFLOW_EXPERIMENT_ID"]], query, order_by=["attributes.start_time"]
    )
    return [run for run in runs if status in (None, run.info.status)]


BROKEN = [
    b"", b"{", b"[]", b"7", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"name": "a"}',
    b'{"name": 1, "lists": {}, "origin": {}, "begun": 1}',
    b'{"name": "a", "lists": {"bs": 1}, "origin": {}, "begun": 1}',
    b'{"name": "a", "lists": {}, "origin": {}, "begun": "1"}',
    b'{"name": "a", "lists": {}, "origin": {}, "begun": -1}',
    b'{"name": "a", "lists": {}, "origin": {}, "begun": 1e400}',
    b'{"name": "a", "lists": {}, "origin": {}, "begun": 1, "status": "DONE"}',
    b'{"name": "a", "lists": {}, "origin": {}, "begun": 1, "threads": 1000000}',
]  # fmt: skip


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_damaged_grid_is_named_and_passed_over_and_the_others_are_told(
    store, tmp_path, call, capsys, content
):
    make_grid(tmp_path, "good")
    (make_grid(tmp_path, "bad") / "grid.json").write_bytes(content)
    lines = []
    parents = open_parents(open_store(), tmp_path, lines.append)
    assert list(parents) == ["good"]
    (line,) = lines
    assert line.startswith(
        f"{tmp_path / 'grid-bad'} is left out: {tmp_path / 'grid-bad'}/grid.json"
    )
    assert "\n" not in line
    assert len(grids(store)) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [("note.md", None), ("trainings.csv", None), ("told.json", None), ("note.md", b"\xff{"),
     ("told.json", b""), ("told.json", b"[3]"), ("told.json", b'{"no-run": "x"}')],
)  # fmt: skip
def test_what_a_killed_grid_left_half_is_told_all_the_same(
    store, tmp_path, monkeypatch, capsys, name, content
):
    path = make_grid(tmp_path, "abc", ends=False) / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    options = RunOptions(runs_dir=str(tmp_path), tracking="offline", evaluate=False)
    run_trainings([resolve.resolve(TINY)], options, Watcher(), Nest("abc"))
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(tmp_path)])
    for _ in range(2):
        assert import_runs.main() == 0, capsys.readouterr().err
    (parent,) = grids(store)
    assert (parent.info.status, parent.data.tags[Tag.REASON]) == ("KILLED", "it was killed")
    (child,) = store.search_runs(
        [os.environ["MLFLOW_EXPERIMENT_ID"]], "tags.`looped.kind` = 'training'"
    )
    assert child.data.tags[Tag.PARENT] == parent.info.run_id


@pytest.mark.parametrize("name", ["", "lock", "grid.json", "note.md", "trainings.csv"])
def test_links_lead_nowhere(store, tmp_path, monkeypatch, capsys, name):
    secret = tmp_path / "secret"
    root = tmp_path / "runs"
    path = make_grid(root)
    if name:
        secret.write_text("nobody's business")
        (path / name).unlink()
        (path / name).symlink_to(secret)
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    lines = []
    parents = open_parents(open_store(), root, lines.append)
    end_parents(open_store(), root, parents, lines.append)
    assert len(lines) == 1
    assert str(path) in lines[0]
    assert not grids(store, "RUNNING")
    for run in grids(store):
        assert "nobody" not in str(run.data.tags)
        assert not store.list_artifacts(run.info.run_id)
    if name:
        assert secret.read_text() == "nobody's business"


def test_a_foreign_grid_sets_no_tags_but_ours(store, tmp_path):
    path = make_grid(tmp_path)
    facts = json.loads((path / "grid.json").read_text())
    facts["origin"] |= {"mlflow.user": "root", "superseded_by": "x", Tag.KIND: "fit"}
    facts["name"] = "long " * 10_000
    facts["lists"] |= {f"list{number}": "1" for number in range(1_000)} | {"bad/../name": "1"}
    (path / "grid.json").write_text(json.dumps(facts))
    (run_id,) = open_parents(open_store(), tmp_path).values()
    run = store.get_run(run_id)
    assert run.data.tags[Tag.KIND] == "grid"
    assert "superseded_by" not in run.data.tags
    assert run.data.tags.get("mlflow.user") != "root"
    assert len(run.info.run_name) <= 200
    assert len(run.data.params) <= 100


def test_a_foreign_grid_touches_no_run_but_its_own(store, tmp_path):
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    victim = store.create_run(experiment, tags={Tag.KIND: "training"}).info.run_id
    path = make_grid(tmp_path)
    facts = json.loads((path / "grid.json").read_text())
    (path / "told.json").write_text(json.dumps({victim: facts["begun"]}))
    parents = open_parents(open_store(), tmp_path)
    end_parents(open_store(), tmp_path, parents)
    assert parents["abc"] != victim
    assert store.get_run(victim).info.status == "RUNNING"
    assert Tag.NOTE not in store.get_run(victim).data.tags


DIES = """
import json, os, signal, sys
from pathlib import Path
from looped.grid.records import parent_run
from looped.grid.records.folder import GridFolder
from looped.tracking.stores.store import open_store
from mlflow.tracking import MlflowClient

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def begin(root, moment, here):
    store = open_store()
    folder = GridFolder(Path(root), "abc")
    folder.begin("grid of 1 training", {"bs": "2"}, here, 1)
    folder.show("**note**", "training,state\\n")
    if moment == "made":
        GridFolder.remember = die
    if moment == "remembered":
        MlflowClient.log_batch = die
    parent_run.open_parent(store, folder)
    if moment == "ended":
        folder.end("FINISHED", "1 training: 1 finished now")
    die()

while line := sys.stdin.readline():
    request, variables = json.loads(line)
    if not (child := os.fork()):
        os.environ |= variables
        begin(*request)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def die_in_a_grid():
    """Begin a grid in a process that is killed at a moment.

    Each has a process of its own, forked from one that has loaded what takes seconds to load.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", DIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def die_in_a_grid(root, moment):
        names = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")
        variables = {name: os.environ[name] for name in names}
        process.stdin.write(json.dumps([(str(root), moment, HERE), variables]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "-9\n"

    yield die_in_a_grid
    process.communicate()


@pytest.mark.parametrize(
    ("moment", "status"),
    [("made", "KILLED"), ("remembered", "KILLED"), ("opened", "KILLED"), ("ended", "FINISHED")],
)
def test_a_grid_that_died_is_ended_by_the_next_command_as_it_ended(
    store, tmp_path, die_in_a_grid, moment, status
):
    die_in_a_grid(tmp_path, moment)
    (dead,) = grids(store, "RUNNING")
    with closing(GridFolder(tmp_path, "abc")) as folder:
        settle_parent(open_store(), folder)
        folder.begin("grid of 1 training", {"bs": "2"}, HERE)
        run_id = open_parent(open_store(), folder)
        assert [run.info.run_id for run in grids(store, "RUNNING")] == [run_id]
        assert store.get_run(dead.info.run_id).info.status == status
        if status == "FINISHED":  # as its folder says, although somebody marked it
            folder.end("FINISHED", "1 training: 1 done before")
            store.set_terminated(run_id, "KILLED")
            settle_parent(open_store(), folder)
            assert store.get_run(run_id).info.status == "FINISHED"


def test_a_grid_whose_parent_cannot_be_told_leaves_no_run(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GridFolder, "remember", full)
    with closing(GridFolder(tmp_path, "abc")) as folder:
        folder.begin("grid of 1 training", {"bs": "2"}, HERE)
        with pytest.raises(OSError, match="No space left"):
            open_parent(open_store(), folder)
    assert [run.info.status for run in grids(store)] == ["FAILED"]


def test_a_damaged_file_names_itself(tmp_path):
    path = make_grid(tmp_path) / "grid.json"
    path.write_text("{")
    with closing(GridFolder(tmp_path, "abc")) as folder:
        with pytest.raises(DamagedGridError, match=r"grid-abc/grid\.json must hold what a grid"):
            _ = folder.facts
        assert folder.facts_if_whole is None
        folder.begin("grid of 1 training", {"bs": "2"}, HERE, threads=3)
        assert folder.facts.threads == 3
