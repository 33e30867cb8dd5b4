"""Runs whose process this one cannot know: other users', other machines', other folders'."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.tracking import MlflowClient

from looped import TrainConfig
from looped.grid.options import RunOptions
from looped.grid.run_trainings import run_trainings
from looped.records import machine
from looped.records.folder import FolderLock, RunFolder, UnwritableError
from looped.tracking import dead_runs, presence
from looped.tracking.dead_runs import mark_dead_runs
from looped.tracking.opening import open_run
from looped.tracking.stores import artifacts
from looped.tracking.stores.store import TrackingError
from looped.training import resolve
from looped.training.watcher import Watcher

ROOT = Path(__file__).parents[2]
NOBODY = 65534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
CONFIG = resolve.resolve(
    TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, device="cpu")
)


@pytest.fixture
def experiment(store):
    dead_runs._noticed.clear()
    return os.environ["MLFLOW_EXPERIMENT_ID"]


def leave_dead(store, root):
    """Leave a folder and its RUNNING run as a process does that is killed."""
    folder = RunFolder(root, CONFIG)
    tracker = open_run(CONFIG, folder)
    folder.journal.append("start", step=0)
    tracker._leaving.set()
    tracker._thread.join()
    folder.close()
    return folder.path, tracker.run_id


@pytest.fixture
def dead(store, tmp_path):
    return leave_dead(store, tmp_path / "runs")


def status(store, run_id):
    return store.get_run(run_id).info.status


def is_left_with_a_line(store, experiment, run_id, reason, caplog):
    assert mark_dead_runs(store, experiment) == []
    assert status(store, run_id) == "RUNNING"
    (line,) = [text for text in caplog.text.splitlines() if "left RUNNING" in text]
    assert run_id in line
    assert reason in line
    mark_dead_runs(store, experiment)
    assert caplog.text.count("left RUNNING") == 1  # said once in a command
    return True


def test_a_run_names_its_machine(store, dead):
    _, run_id = dead
    assert store.get_run(run_id).data.tags["looped.machine"] == machine.this_machine()


def test_a_run_of_another_machine_with_this_name_is_left_alone(store, experiment, dead, caplog):
    _, run_id = dead
    store.set_tag(run_id, "looped.machine", "0123.4567")
    assert is_left_with_a_line(store, experiment, run_id, "another machine of this name", caplog)


def test_a_run_of_a_machine_with_another_name_is_none_of_ours(store, experiment, dead, caplog):
    _, run_id = dead
    store.set_tag(run_id, "looped.machine", "0123.4567")
    store.set_tag(run_id, "looped.host", "elsewhere")
    assert mark_dead_runs(store, experiment) == []
    assert "left RUNNING" not in caplog.text


def test_a_command_that_can_hold_no_lock_is_not_taken_for_one_that_never_began(
    store, experiment, monkeypatch, caplog
):
    tags = {"mlflow.project.entryPoint": "report"}
    run_id = store.create_run(experiment, start_time=1, tags=tags).info.run_id
    with monkeypatch.context() as patch:
        patch.setattr(presence, "FolderLock", lambda _: exec("raise OSError(30, 'read-only')"))
        presence.claim(store, run_id)
    assert is_left_with_a_line(store, experiment, run_id, "it holds no lock", caplog)


def test_a_folder_of_the_same_path_that_is_another_runs_ends_nothing(
    store, experiment, dead, caplog
):
    """As in two containers of one host name and one path: each has its own folder there."""
    path, run_id = dead
    shutil.rmtree(path)
    with closing(FolderLock(path)) as lock:
        lock.sign("another run")
    assert is_left_with_a_line(store, experiment, run_id, "is another run's", caplog)


def test_a_run_from_before_is_judged_by_a_folder_that_knows_it_alone(store, experiment, dead):
    path, run_id = dead
    store.delete_tag(run_id, "looped.machine")
    (path / "lock").write_text("another run")
    told_path = (path / "told.json").rename(path / "aside")
    assert mark_dead_runs(store, experiment) == []
    told_path.rename(path / "told.json")
    assert mark_dead_runs(store, experiment) == [run_id]


def test_the_next_process_ends_a_run_that_signed_and_was_killed_before_it_told(
    store, experiment, dead
):
    path, run_id = dead
    (path / "told.json").unlink()
    with closing(RunFolder(path.parent, CONFIG)) as again:
        open_run(CONFIG, again).finish("FAILED", "enough")
    assert status(store, run_id) == "KILLED"


@pytest.mark.parametrize(
    ("name", "is_same"),
    [
        ("aa.bb", True),
        ("cc.bb", True),  # a container of this machine
        ("aa.dd", True),  # this machine before it was booted
        ("cc.dd", False),
        (".bb", True),
        (".dd", False),
        ("aa.", True),
        ("", False),
    ],
)
def test_a_machine_is_known_by_its_boot_or_its_id(name, is_same, monkeypatch):
    monkeypatch.setattr(machine, "this_machine", lambda: "aa.bb")
    assert machine.is_this_machine(name) == is_same
    monkeypatch.setattr(machine, "this_machine", str)  # one that says neither
    assert not machine.is_this_machine(name)


@as_root
def test_another_kernel_under_this_name_is_another_machine(tmp_path):
    (tmp_path / "id").write_text("0" * 32)
    paths = [str(path) for path in (machine.BOOT_ID, *machine.MACHINE_IDS) if path.exists()]
    mounts = " && ".join(f"mount --bind {tmp_path / 'id'} {path}" for path in paths)
    script = (
        "import socket; from looped.records.machine import *; "
        f"print(socket.gethostname(), is_this_machine({machine.this_machine()!r}))"
    )
    process = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$0" -c "$1"', sys.executable, script],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if process.returncode != 0:
        pytest.skip(f"no other machine can be played here: {process.stderr}")
    assert process.stdout.split() == [socket.gethostname(), "False"]


def as_nobody(act):
    """Do something as another user, in a child; return what it raised or returned, as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            answer = repr(act())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}\n{traceback.format_exc()}"
        os.write(writer, answer.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        answer = answers.read().decode()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def public(empty_database, monkeypatch):
    """A folder that every user may look into, and a client of a store in it."""
    with tempfile.TemporaryDirectory(prefix="looped-public-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copy(empty_database, folder / "mlflow.db")
        (folder / "mlflow.db").chmod(0o666)
        uri = f"sqlite:///{folder}/mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        client = MlflowClient(uri)
        location = (folder / "artifacts").as_uri()
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.create_experiment("test", location))
        dead_runs._noticed.clear()
        yield folder, client


@as_root
def test_another_users_run_whose_folder_is_closed_is_left_alone(public):
    folder, client = public
    path, run_id = leave_dead(client, folder / "runs")
    (folder / "runs").chmod(0o700)
    (folder / "mlflow.db").chmod(0o666)

    def look():
        with dead_runs.hold_if_free(path) as is_held:
            return is_held, dead_runs._hidden(path).endswith("(Permission denied)")

    assert as_nobody(look) == "(False, True)"
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    assert as_nobody(lambda: mark_dead_runs(client, experiment)) == "[]"
    assert as_nobody(lambda: dead_runs.end_lost_runs(client, [run_id])) == "None"
    assert status(client, run_id) == "RUNNING"


@as_root
def test_another_users_lock_that_may_be_read_can_be_asked(public):
    folder, client = public
    path, _ = leave_dead(client, folder / "runs")

    def look():
        with dead_runs.hold_if_free(path) as is_held:
            return is_held

    assert as_nobody(look) == "True"
    with closing(FolderLock(path)):
        assert as_nobody(look) == "False"


@as_root
def test_a_training_in_another_users_folder_is_refused_in_a_line(public):
    folder, _ = public
    with closing(RunFolder(folder / "runs", CONFIG)) as run_folder:
        run_folder.origin.write(run_folder.path)
    run_folder.path.chmod(0o700)
    options = RunOptions(runs_dir=str(folder / "runs"), tracking="offline")

    def train():
        (ending,) = run_trainings([CONFIG], options, Watcher())
        return ending.status, ending.reason

    answer = as_nobody(train)
    assert answer.startswith("('REFUSED', 'runs must be kept where this process can write"), answer


@as_root
def test_artifacts_of_another_user_are_refused_before_training(public, as_users_run_it):
    folder, _ = public
    client = SimpleNamespace(
        get_experiment=lambda _: SimpleNamespace(name="test", artifact_location=f"{folder}/a/0")
    )
    artifacts.require_writable(client, "0")
    answer = as_nobody(lambda: artifacts.require_writable(client, "0"))
    assert answer.startswith("TrackingError: artifacts must be kept where this process can write")
    assert f"{folder} cannot be written" in answer
    assert not (folder / "a").exists()


def test_artifacts_in_a_file_are_refused_and_no_run_is_made(store, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    name = store.create_experiment("nowhere", str(tmp_path / "file" / "artifacts"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", name)
    with (
        closing(RunFolder(tmp_path / "runs", CONFIG)) as folder,
        pytest.raises(TrackingError, match="artifacts must be kept where this process can write"),
    ):
        open_run(CONFIG, folder)
    assert store.search_runs([name]) == []


@pytest.mark.parametrize("error", [OSError(95, "Operation not supported")])
def test_a_file_system_that_locks_nothing_is_refused_in_a_line(tmp_path, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(UnwritableError, match=r"locks files \(flock\), got .*lock: Operation not"):
        FolderLock(tmp_path / "runs")
