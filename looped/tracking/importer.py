"""Tells MLflow of runs from their folders alone."""

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from looped.config import TrainConfig
from looped.names import Tag
from looped.records.folder import RunFolder, read_config, run_path
from looped.records.journal import Record, last_record
from looped.rules import require
from looped.tracking.conclusion import Conclusion, conclude
from looped.tracking.runs import find_run
from looped.tracking.store import Store, reachable
from looped.tracking.tracker import reopen_run, told_of


class Imported(NamedTuple):
    """What was done about a run: a line about it, and its MLflow run."""

    line: str
    run_id: str = ""
    is_new: bool = False


def import_run(store: Store, path: Path, parents: Mapping[str, str], register: bool) -> Imported:
    """Tell MLflow of one run, unless it knows all of it.

    Args:
        store: to tell.
        path: the run's folder.
        parents: the MLflow runs of grids, by the identity of the grid.
        register: whether to register its model.

    Raises:
        FolderInUseError: it is being trained.
        TrackingError: MLflow cannot be reached.
        ValueError: its folder is not named after its configuration.
    """
    config = TrainConfig(**read_config(path)["config"])
    expected = run_path(path.parent, config).name
    rule = f"its folder must be named {expected} (resume=never puts earlier ones aside)"
    require(expected == path.name, rule, path.name)
    with closing(RunFolder(path.parent, config)) as folder:
        last = last_record(folder.journal_path, "start", "end")
        if last is None:
            return Imported(f"{config.name}: it never began")
        if last["kind"] == "start":  # it was killed: the lock is ours
            folder.journal.append("end", status="KILLED", reason="its process died")
            last = last_record(folder.journal_path, "end") or last
        with reachable():
            run_id = _find_told(store, folder, config, last)
            if run_id is not None:
                return Imported(f"{config.name}: told before", run_id)
            return _import(store, folder, config, parents.get(folder.origin.grid or ""), register)


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


def _import(
    store: Store, folder: RunFolder, config: TrainConfig, parent: str | None, register: bool
) -> Imported:
    end = last_record(folder.journal_path, "end")
    assert end is not None
    tracker = reopen_run(store, config, folder, parent)
    conclusion = Conclusion(reason=end["reason"])
    if end["status"] == "FINISHED":
        conclusion = conclude(config, folder, tracker, register)
    tracker.tell_end(end["status"], end["reason"], conclusion.note, end["time"])
    now = str(round(time.time() * 1000))
    store.client.set_experiment_tag(store.experiment_id, Tag.IMPORTED, now)
    line = "; ".join([f"{config.name}: {end['reason']}", *conclusion.problems])
    return Imported(line, tracker.run_id, is_new=True)
