"""Runs whose process is gone: which may be ended by whom, and as what.

Who cannot tell whether a run's process lives leaves the run alone.
"""

import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from looped.counting import counted
from looped.names import Tag
from looped.records.damage import DamagedFileError, read_object
from looped.records.folder import lock_owner
from looped.records.machine import is_this_machine
from looped.tracking.runs import end_run, find_run, list_runs
from looped.tracking.told import recorded_end, told_of

HOUR_MS = 3_600_000
MOST_NAMED = 3
NOWHERE = Path("/nowhere")
DIED = "its process died"
ENTRY_POINTS = (
    *("train", "grid", "import_runs", "evaluate-extrapolation", "evaluate_extrapolation"),
    *("evaluate_tables", "fit_scaling", "predict_scaling", "report", "benchmark", "relocate"),
)
"""Of this project, as ``mlflow run`` tags its runs."""

_noticed: set[str] = set()
"""Runs of which this process has said that it cannot judge them."""

logger = logging.getLogger("looped")


def mark_dead_runs(client: MlflowClient, experiment_id: str) -> list[str]:
    """Mark KILLED every run of this machine that is RUNNING without a living process.

    Only who holds the lock of a run's folder may end it, and asks for its status again first: the
    run may have ended since it was listed. A run is left alone that finished by its journal,
    which remains to be told; so is one that this process cannot judge, with a notice: its folder
    is not here, is another user's or another run's, or its machine only has the same name.

    A run that ``mlflow run`` made and whose command never began, for want of conda say, has no
    machine, and one whose command has left has no lock; both are marked when they are an hour old.

    Returns:
        Their ids.
    """
    running = "attributes.status = 'RUNNING'"
    dead_ids, doubts = [], {}
    for run in list_runs(client, experiment_id, running):
        if Tag.HOST not in run.data.tags:
            continue
        run_id, folder = run.info.run_id, folder_of(run)
        if not is_of_this_machine(run):
            if run.data.tags[Tag.HOST] == socket.gethostname():
                doubts[run_id] = "another machine of this name"
            continue
        with hold_if_free(folder) as is_held:
            if not is_held:
                doubt = "" if _was_released(run) else _hidden(folder)
                doubts |= {run_id: doubt} if doubt else {}
            elif not _is_folder_of(folder, run_id):
                doubts[run_id] = f"{folder} is another run's"
            elif _end_dead_run(client, run_id, folder):
                dead_ids.append(run_id)
                _remove_lock_of_command(folder, run_id)
    _notice(doubts)
    an_hour_ago = round(time.time() * 1000) - HOUR_MS
    query = f"{running} and attributes.start_time < {an_hour_ago}"
    for run in list_runs(client, experiment_id, query):
        if _is_over(run):
            run_now = find_run(client, run.info.run_id)
            if run_now is not None and run_now.info.status == "RUNNING" and _is_over(run_now):
                end_run(client, run.info.run_id, "KILLED", DIED)
                dead_ids.append(run.info.run_id)
    return dead_ids


def end_lost_runs(client: MlflowClient, run_ids: Iterable[str], folder: Path | None = None) -> None:
    """End what was left RUNNING by a process that is known to be gone.

    Args:
        client: of the store.
        run_ids: of the runs.
        folder: of these runs, whose lock the caller holds. None: the lock of each run's folder is
            taken, where the folder is on this machine.
    """
    for run_id in run_ids:
        run = find_run(client, run_id)
        if run is None or run.info.status != "RUNNING":
            continue
        place = folder or folder_of(run)
        if folder is not None or not os.path.lexists(place / "lock"):
            _end_dead_run(client, run_id, place)
            continue
        with hold_if_free(place) as is_held:
            if is_held:
                _end_dead_run(client, run_id, place)


def is_of_another_program(run: Run) -> bool:
    """Tell whether a run was made by somebody's own program, not for a command of ours."""
    tags = run.data.tags
    is_ours = Tag.KIND in tags or tags.get(Tag.ENTRY_POINT) in ENTRY_POINTS
    return Tag.SOURCE_TYPE in tags and not is_ours


def folder_of(run: Run) -> Path:
    """Return the folder whose lock the run's process holds; one that is nowhere if it has none."""
    return Path(run.data.tags.get(Tag.FOLDER) or NOWHERE)


def is_of_this_machine(run: Run) -> bool:
    """Tell whether a run's process is one of this machine; runs from before have its name alone."""
    machine = run.data.tags.get(Tag.MACHINE)
    return is_this_machine(machine) if machine else _is_of_this_host(run)


def _is_of_this_host(run: Run) -> bool:
    return run.data.tags.get(Tag.HOST) == socket.gethostname()


@contextmanager
def hold_if_free(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock if it is there and nobody else holds it; yield whether it is held.

    Nothing is made: a folder that is not here says nothing about a process.
    """
    try:
        descriptor = _open_lock(folder)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _open_lock(folder: Path) -> int:
    path = folder / "lock"
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except PermissionError:  # of another user: it can be asked all the same, but on some disks
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)


def _hidden(folder: Path) -> str:
    """Say why the lock of a folder cannot be asked; empty where it can."""
    if folder == NOWHERE:
        return "it holds no lock"
    try:
        os.close(_open_lock(folder))
    except OSError as error:
        return f"{folder} cannot be looked into ({error.strerror})"
    return ""


def _is_folder_of(folder: Path, run_id: str) -> bool:
    """Tell whether a folder, whose lock is held, is that of a run and not one of the same name.

    Its lock is signed by the run, or its ``told.json`` names it.
    """
    if lock_owner(folder) == run_id:
        return True
    try:
        return run_id in read_object(folder / "told.json")
    except DamagedFileError:
        return False


def is_failed_by_launcher(run: Run, folder: Path) -> bool:
    """Tell whether ``mlflow run`` ended a training as FAILED whose journal says otherwise.

    It knows an exit code alone: a training that was interrupted, or killed, has not failed.

    Args:
        run: which is FAILED.
        folder: of the training.
    """
    try:
        if run.info.run_id not in told_of(folder):
            return False
        end = recorded_end(folder, run.info.run_id)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    # one that failed before it could write its end has said why
    return Tag.REASON not in run.data.tags if end is None else end["status"] != "FAILED"


def _notice(doubts: Mapping[str, str]) -> None:
    """Say in a line, once in a command, which runs were left as they are for want of sight."""
    news = {run_id: doubt for run_id, doubt in doubts.items() if run_id not in _noticed}
    _noticed.update(news)
    if not news or parent_process() is not None:  # a grid's worker: the grid has said it
        return
    examples = [f"{run_id}: {doubt}" for run_id, doubt in list(news.items())[:MOST_NAMED]]
    further = f"; and {len(news) - MOST_NAMED:,} more" if len(news) > MOST_NAMED else ""
    logger.warning(
        "left RUNNING, since this process cannot tell whether they live, %s (%s%s): their own "
        "user's or machine's next command ends the dead ones",
        counted(len(news), "run"), "; ".join(examples), further,
    )  # fmt: skip


def _end_dead_run(client: MlflowClient, run_id: str, folder: Path) -> bool:
    """End a run as its process did; tell whether it was killed. The folder's lock is held."""
    run = find_run(client, run_id)
    if run is None or run.info.status != "RUNNING":
        return False  # it ended since somebody looked
    try:
        end = recorded_end(folder, run_id)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("run %s stays RUNNING: %s cannot be read (%s)", run_id, folder, error)
        return False
    if end is None:
        end_run(client, run_id, "KILLED", DIED)
        return True
    if end["status"] in ("FAILED", "KILLED"):
        end_run(client, run_id, end["status"], end["reason"], end["time"])
        return False
    command = f"mlflow run . -e import_runs -P path={folder.parent}"
    logger.warning("run %s has finished, and MLflow was not told: %s tells it", run_id, command)
    return False


def _is_over(run: Run) -> bool:
    return _never_began(run) or _was_released(run)


def _was_released(run: Run) -> bool:
    """Tell whether a command of this machine left and took its lock with it.

    It does so as it ends, and leaves it to ``mlflow run`` to end their run, which may be dead too.
    """
    folder = folder_of(run)
    is_of_command = folder.name == run.info.run_id and is_of_this_machine(run)
    return is_of_command and folder.parent.is_dir() and not os.path.lexists(folder)


def _never_began(run: Run) -> bool:
    """Tell whether ``mlflow run`` made a run for a command of ours that never came to it."""
    tags = run.data.tags
    return tags.get(Tag.ENTRY_POINT) in ENTRY_POINTS and Tag.HOST not in tags


def _remove_lock_of_command(folder: Path, run_id: str) -> None:
    """Remove what a command that was killed left, see ``presence``; folders of runs stay."""
    if folder.name == run_id:
        with suppress(OSError):
            (folder / "lock").unlink()
            folder.rmdir()
