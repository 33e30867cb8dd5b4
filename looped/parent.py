"""The MLflow run of a grid, under which its cells are nested."""

import os

from mlflow.entities import Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.grid_folder import GridFolder
from looped.journal import TrackingError
from looped.mlflow_store import end_lost_runs, end_run, find_run, mark_dead_runs


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
