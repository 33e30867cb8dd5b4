"""The MLflow run of a grid, under which its cells are nested."""

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.grid.folder import PREFIX, GridFolder
from looped.records.folder import FolderInUseError
from looped.records.journal import TrackingError
from looped.tracking.runs import end_lost_runs, end_run, find_run, mark_dead_runs
from looped.tracking.store import Store


def open_parent(
    client: MlflowClient, experiment_id: str, folder: GridFolder, adopts: bool = True
) -> str:
    """Make the run of a grid, or take the one that ``mlflow run`` made; return its id.

    The runs of grids and trainings whose process died are marked KILLED first.

    Args:
        client: of the store.
        experiment_id: where a new run goes.
        folder: of the grid, which has begun.
        adopts: whether to take the run that ``mlflow run`` made for this process.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    facts = folder.facts
    tags = {
        "mlflow.runName": facts["name"],
        "looped.kind": "grid",
        "grid": folder.identity,
        "looped.folder": str(folder.path.resolve()),
        **facts["origin"],
    }
    try:
        run_id = os.environ.get("MLFLOW_RUN_ID") if adopts else None
        if run_id is None:
            run = client.create_run(experiment_id, facts["begun"], run_name=facts["name"])
            run_id = str(run.info.run_id)
        folder.remember(run_id)
        client.log_batch(
            run_id,
            tags=[RunTag(name, value) for name, value in tags.items()],
            params=[Param(f"grid.{name}", words) for name, words in facts["lists"].items()],
        )
        mark_dead_runs(client, experiment_id)
        end_lost_runs(client, folder.told.keys() - {run_id})
    except MlflowException as error:
        raise TrackingError(f"MLflow must be reachable, got: {error}") from error
    return run_id


def known_parent(client: MlflowClient, experiment_id: str, folder: GridFolder) -> str | None:
    """Find the run that this beginning of the grid was told as, from here or from a copy."""
    begun = folder.facts["begun"]
    told = [run_id for run_id, its_begin in folder.told.items() if its_begin == begun]
    query = f"tags.grid = '{folder.identity}' and attributes.start_time = {begun}"
    copies = client.search_runs([experiment_id], f"{query} and tags.`looped.kind` = 'grid'")
    told += [run.info.run_id for run in copies]
    return next((run_id for run_id in told if find_run(client, run_id)), None)


def show_parent(client: MlflowClient, run_id: str, note: str, table: str) -> None:
    """Tell where the grid's cells stand.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    client.set_tag(run_id, "mlflow.note.content", note)
    client.log_text(run_id, table, "cells.csv")


def end_parent(client: MlflowClient, run_id: str, folder: GridFolder) -> None:
    """Tell how the grid ended.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    facts = folder.facts
    end_run(client, run_id, facts["status"], facts["reason"], facts["ended"])


def open_parents(store: Store, root: Path) -> dict[str, str]:
    """Find or make the MLflow runs of the grids whose folders are here, by grid identity.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    parents = {}
    for path in sorted(root.glob(f"{PREFIX}*/grid.json")):
        try:
            with closing(_grid_folder(path)) as folder:
                known = known_parent(store.client, store.experiment_id, folder)
                parents[folder.identity] = known or open_parent(
                    store.client, store.experiment_id, folder, adopts=False
                )
        except FolderInUseError:
            continue  # the grid runs, and tells by itself
        except MlflowException as error:
            raise TrackingError(f"MLflow must be reachable, got: {error}") from error
    return parents


def end_parents(store: Store, root: Path, parents: Mapping[str, str]) -> None:
    """Tell how these grids ended.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    for identity, run_id in parents.items():
        try:
            with closing(GridFolder(root, identity)) as folder:
                show_parent(store.client, run_id, folder.note, folder.table)
                end_parent(store.client, run_id, folder)
        except FolderInUseError:
            continue
        except MlflowException as error:
            raise TrackingError(f"MLflow must be reachable, got: {error}") from error


def _grid_folder(facts: Path) -> GridFolder:
    return GridFolder(facts.parent.parent, facts.parent.name.removeprefix(PREFIX))
