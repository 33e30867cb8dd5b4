"""Which living process a run belongs to, for commands that have no folder of their own.

A training or a grid holds the lock of its folder. A fit, a report, a benchmark or an evaluation
holds one in a folder made for the purpose, which it removes when it leaves. Either way the run
names the machine and the folder, so that the next command can tell that its process died: see
``dead_runs.mark_dead_runs``.
"""

import atexit
import fcntl
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow.entities import RunTag
from mlflow.tracking import MlflowClient

from looped.names import Tag, Variable
from looped.records.folder import FolderInUseError, FolderLock
from looped.records.machine import this_machine
from looped.tracking.dead_runs import is_of_another_program
from looped.tracking.stores.embedded import database_of

PATIENCE_SECONDS = 60.0

_locks: dict[str, tuple[Path, FolderLock]] = {}
"""Of the runs that are this process's: the folder made for the purpose, and its lock."""


def launched_run() -> str | None:
    """Return the id of the run that ``mlflow run`` made for this process, if it did."""
    return os.environ.get(Variable.RUN_ID) or None


def claim_launched_run(client: MlflowClient) -> None:
    """Claim the run that ``mlflow run`` made for this process, unless it is somebody else's."""
    run_id = launched_run()
    if run_id is None:
        return
    run = client.get_run(run_id)
    if Tag.HOST not in run.data.tags and not is_of_another_program(run):
        claim(client, run_id)


def claim(client: MlflowClient, run_id: str) -> None:
    """Say that a run is this process's, until ``release`` or the end of the process.

    Where no lock can be made the run stays without: it is then ended by hand if the process dies.
    """
    if run_id in _locks:
        return
    for place in (_place(client), Path(tempfile.gettempdir()) / f"looped-{os.getuid()}"):
        try:
            lock = FolderLock(place / run_id)
            lock.sign(run_id)
        except FolderInUseError:
            return  # the process that it was made for
        except OSError:
            continue
        _locks[run_id] = (place / run_id, lock)
        _introduce(client, run_id, {Tag.FOLDER: str((place / run_id).resolve())})
        return
    _introduce(client, run_id, {})  # or an hour later it would be taken for one that never began


def _introduce(client: MlflowClient, run_id: str, tags: dict[str, str]) -> None:
    tags |= {Tag.HOST: socket.gethostname(), Tag.MACHINE: this_machine()}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def release(run_id: str) -> None:
    """Give up a run that has ended, and remove what ``claim`` made."""
    folder, lock = _locks.pop(run_id, (None, None))
    if folder is not None and lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


@atexit.register
def _release_all() -> None:
    for run_id in list(_locks):
        release(run_id)


@contextmanager
def one_at_a_time(client: MlflowClient, task: str) -> Iterator[None]:
    """Let one process of this machine do a task in a store, which reads and then acts on it.

    Where no lock can be made, or another process does not leave for ``PATIENCE_SECONDS``, nothing
    is held: what is done must look again after it has acted, as it must for other machines.
    """
    path = _place(client) / f"{task}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except OSError:
        yield
        return
    try:
        _lock_patiently(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock_patiently(descriptor: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        except OSError:  # the file system locks no files
            return
        else:
            return


def _place(client: MlflowClient) -> Path:
    """Return where the locks of commands lie: beside an embedded database, or in the home."""
    database = database_of(client.tracking_uri)
    if database is not None:
        return Path(f"{database}.running").absolute()
    with suppress(RuntimeError):  # a user without a home
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(home) / "looped" / "running"
    return Path(tempfile.gettempdir()) / f"looped-{os.getuid()}"
