"""Tells MLflow of runs from their folders alone, which may come from anybody.

A folder is data: it is looked through, and every record checked, before the store hears of it.
Whatever is wrong with a folder is that folder's fault, and leaves no run RUNNING.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from mlflow.exceptions import MlflowException

from looped.config import TrainConfig
from looped.names import Kind, Tag
from looped.records.damage import DamagedFileError, one_line
from looped.records.folder import RunFolder
from looped.records.foreign import check_files, check_run_folder
from looped.records.journal import Record, TrackingError, history, last_record, read, starts
from looped.records.recovery import config_of
from looped.rules import require
from looped.tracking.conclusion import Conclusion, conclude, register_model
from looped.tracking.opening import reopen_run
from looped.tracking.runs import end_run, find_run, list_runs, of_kind
from looped.tracking.stores.store import Store, reachable
from looped.tracking.told import remember, told_of

REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST")
"""Of MLflow: it is there, and does not take what it was given."""


class Imported(NamedTuple):
    """What was done about a run: a line about it, and its MLflow run.

    ``unregistered`` says why its model is not registered although that was asked for.
    """

    line: str
    run_id: str = ""
    is_new: bool = False
    unregistered: str = ""


def import_run(store: Store, path: Path, parents: Mapping[str, str], register: bool) -> Imported:
    """Tell MLflow of one run, unless it knows all of it.

    The model of one that was told before is registered, where that could not be done then.

    Args:
        store: to tell.
        path: the run's folder.
        parents: the MLflow runs of grids, by the identity of the grid.
        register: whether to register its model.

    Raises:
        FolderInUseError: it is being trained.
        TrackingError: MLflow cannot be reached.
        UnwritableError: its folder cannot be written in.
        ValueError: the folder is not as one of ours, or MLflow refuses what it holds.
    """
    check_run_folder(path)
    if (path.parent / "baselines").exists():
        check_files(path.parent / "baselines")
    config = config_of(path)
    with closing(RunFolder(path.parent, config)) as folder:
        last = last_record(folder.journal_path, "start", "end")
        if last is None:
            return Imported(f"{config.name}: it never began")
        if last["kind"] == "start":  # it was killed: the lock is ours
            folder.journal.append("end", status="KILLED", reason="its process died")
            last = last_record(folder.journal_path, "end") or last
        if last["status"] == "FINISHED":
            _check_result(folder, config, register)
        with _folder_is_to_blame(), reachable():
            _recover_told(store, folder, config)
            _check_told(store, folder, config)
            run_id = _find_told(store, folder, config, last)
            if run_id is not None:
                is_to_register = register and last["status"] == "FINISHED"
                return _told_before(store, folder, config, run_id, is_to_register)
            return _import(store, folder, config, parents.get(folder.origin.grid or ""), register)


@contextmanager
def _folder_is_to_blame() -> Iterator[None]:
    """Tell what MLflow refuses from an MLflow that is away."""
    try:
        yield
    except TrackingError as error:
        if _is_away(error):
            raise
        cause = error.__cause__ or error
        reason = one_line(cause if isinstance(cause, Exception) else error)
        raise ValueError(f"MLflow must take what it holds, got: {reason}") from error


def _is_away(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, TrackingError) else error
    return isinstance(cause, MlflowException) and cause.error_code not in REFUSALS


def _check_result(folder: RunFolder, config: TrainConfig, register: bool) -> None:
    """Require that a finished training says what it came to, and that its model is its own."""
    records, _ = read(folder.journal_path)
    newest = {record["kind"]: record for record in history(records)}
    if "outcome" not in newest:
        raise DamagedFileError(folder.journal_path, "it says FINISHED and has no outcome")
    model = folder.path / "model"
    if not (register and model.exists()):
        return
    from looped.records.model_files import load_model

    module, facts = load_model(model)
    is_its_own = module.config == config.model_config and facts.get("identity") == config.identity
    require(is_its_own, f"{model} must be of this training", facts.get("identity"))


def _recover_told(store: Store, folder: RunFolder, config: TrainConfig) -> None:
    """Ask the store for the runs of this folder, where its own list of them is lost.

    What they hold is told again, which changes nothing of it.
    """
    if any(find_run(store.client, run_id) for run_id in told_of(folder.path)):
        return
    query = f"{of_kind(Kind.TRAINING)} and tags.{Tag.IDENTITY} = '{config.identity}'"
    place, begun_at = str(folder.path.resolve()), starts(folder.journal_path)
    for run in list_runs(store.client, store.experiment_id, query):
        if run.data.tags.get(Tag.FOLDER) == place:
            later = (offset for offset, start_time in begun_at if start_time >= run.info.start_time)
            opened = next(later, folder.journal_path.stat().st_size)
            progress = {"offset": 0, "step": 0, "opened": opened}
            remember(folder.path, run.info.run_id, progress)


def _check_told(store: Store, folder: RunFolder, config: TrainConfig) -> None:
    """Require that what was told stands for this training: a folder may name any run."""
    for run_id in told_of(folder.path):
        run = find_run(store.client, run_id)
        if run is not None:
            tags = run.data.tags
            is_ours = (tags.get(Tag.KIND), tags.get(Tag.IDENTITY)) == (
                Kind.TRAINING, config.identity,
            )  # fmt: skip
            path = folder.path / "told.json"
            require(is_ours, f"{path} must name runs of this training", run_id)


def _find_told(store: Store, folder: RunFolder, config: TrainConfig, end: Record) -> str | None:
    """Find the run that holds all of a journal: this folder's, or that of a copy of it."""
    size = folder.journal_path.stat().st_size
    for run_id, progress in told_of(folder.path).items():
        if progress["offset"] == size:
            run = find_run(store.client, run_id)
            if run is not None and run.info.status == end["status"]:
                return run_id
    query = (
        f"tags.{Tag.IDENTITY} = '{config.identity}' and attributes.status = '{end['status']}' "
        f"and attributes.end_time = {end['time']}"
    )
    copies = store.client.search_runs([store.experiment_id], query, max_results=1)
    return str(copies[0].info.run_id) if copies else None


def _told_before(
    store: Store, folder: RunFolder, config: TrainConfig, run_id: str, is_to_register: bool
) -> Imported:
    line = f"{config.name}: told before"
    if not (is_to_register and (folder.path / "model").exists()):
        return Imported(line, run_id)
    from looped.tracking.registry import RegistryError, is_registered

    try:
        if is_registered(store.client, run_id):
            return Imported(line, run_id)
    except RegistryError as error:
        return Imported(line, run_id, unregistered=str(error))
    registered, unregistered = register_model(config, folder, store.client, run_id)
    if registered:
        line += f"; registered now as {registered}"
    return Imported(line, run_id, unregistered=unregistered)


def _import(
    store: Store, folder: RunFolder, config: TrainConfig, parent: str | None, register: bool
) -> Imported:
    end = last_record(folder.journal_path, "end")
    assert end is not None
    tracker = reopen_run(store, config, folder, parent)
    with _ending_in_any_case(store, tracker.run_id):
        conclusion = Conclusion(reason=end["reason"])
        if end["status"] == "FINISHED":
            conclusion = conclude(config, folder, tracker, register)
        tracker.tell_end(end["status"], end["reason"], conclusion.note, end["time"])
    now = str(round(time.time() * 1000))
    store.client.set_experiment_tag(store.experiment_id, Tag.IMPORTED, now)
    line = "; ".join([f"{config.name}: {one_line(end['reason'])}", *conclusion.problems])
    return Imported(line, tracker.run_id, True, conclusion.unregistered)


@contextmanager
def _ending_in_any_case(store: Store, run_id: str) -> Iterator[None]:
    """Leave no run RUNNING whose folder turned out to be bad, or whose import was stopped.

    The next import finds the run, and tells it to its end.
    """
    try:
        yield
    except BaseException as error:
        if not _is_away(error):  # which would only be waited for
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            reason = f"it could not be imported: {one_line(str(error) or repr(error))}"
            with suppress(MlflowException):
                end_run(store.client, run_id, status, reason)
        raise
