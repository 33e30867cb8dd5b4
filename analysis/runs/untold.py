"""Finished trainings whose journals are here and that the store does not hold."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig
from looped.names import Tag
from looped.records.damage import read_object
from looped.records.journal import last_record
from looped.tracking.runs import find_run
from looped.tracking.stores.remedy import import_command
from looped.tracking.stores.store import Store


def shortfall(store: Store, runs: Sequence[LoggedRun], runs_dir: str) -> str:
    """Say in a line which finished trainings a folder of runs holds and the store does not.

    Those count whose task and recipe, or whose grid, is that of a run of the experiment; all,
    where it has no runs yet. Journals are read at their end only. What is damaged, or told in
    another experiment, does not count.

    Args:
        store: where the runs were read.
        runs: all that are finished in it.
        runs_dir: folder of journals; it may be none.
    """
    try:
        n_untold = sum(1 for _ in _untold(store.client, runs, Path(runs_dir)))
        if n_untold == 0:
            return ""
        trainings = "finished training" if n_untold == 1 else "finished trainings"
        command = import_command(store, runs_dir)
    except (OSError, MlflowException):  # it was asked beside what the command is for
        return ""
    return (
        f"incomplete: {runs_dir} holds {n_untold:,} {trainings} that MLflow does not hold and "
        f"this leaves out: {command} tells it"
    )


def _untold(client: MlflowClient, runs: Sequence[LoggedRun], root: Path) -> Iterator[Path]:
    identities = {run.config.identity for run in runs}
    identities |= {run.tags[Tag.IDENTITY] for run in runs if Tag.IDENTITY in run.tags}
    kinds = {_kind(run.config) for run in runs}
    grids = {run.tags[Tag.GRID] for run in runs if Tag.GRID in run.tags}
    for journal in sorted(root.glob("*/journal.jsonl")):
        folder = journal.parent
        if folder.name.rpartition("-")[2] in identities:
            continue
        try:
            last = last_record(journal, "start", "end")
            if last is None or last["kind"] != "end" or last["status"] != "FINISHED":
                continue
            config = TrainConfig(**read_object(folder / "config.json")["config"])
            is_whole = folder.name == f"{config.name}-{config.identity}"  # not put aside
            is_of_kind = not runs or _kind(config) in kinds or _grid(folder) in grids
            if is_whole and is_of_kind and not _is_told(client, folder):
                yield folder
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue


def _kind(config: TrainConfig) -> tuple[str, str]:
    return repr(config.task_config.content), config.recipe_identity


def _grid(folder: Path) -> str | None:
    path = folder / "origin.json"
    grid = read_object(path).get("grid") if path.exists() else None
    return grid if isinstance(grid, str) else None


def _is_told(client: MlflowClient, folder: Path) -> bool:
    """Tell whether a finished run stands for a training somewhere in the store."""
    path = folder / "told.json"
    runs = [find_run(client, run_id) for run_id in (read_object(path) if path.exists() else ())]
    return any(run is not None and run.info.status == "FINISHED" for run in runs)
