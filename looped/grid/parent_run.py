"""The MLflow run of a grid, under which its trainings are nested."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from mlflow.entities import Param as RunParam
from mlflow.entities import RunTag
from mlflow.tracking import MlflowClient

from looped.grid.folder import PREFIX, GridFolder
from looped.names import Kind, Param, Tag
from looped.records.folder import FolderInUseError
from looped.tracking.launcher import begin_run
from looped.tracking.runs import end_lost_runs, end_run, find_run, mark_dead_runs, of_kind
from looped.tracking.store import Store, reachable


def open_parent(store: Store, folder: GridFolder, may_take_launched: bool = True) -> str:
    """Make the run of a grid, or take the one that ``mlflow run`` made; return its id.

    The runs of grids and trainings whose process died are marked KILLED first.

    Args:
        store: to tell.
        folder: of the grid, which has begun.
        may_take_launched: whether to take the run that ``mlflow run`` made for this process.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    client, experiment_id = store
    facts = folder.facts
    tags = {
        Tag.NAME: facts["name"],
        Tag.KIND: Kind.GRID,
        Tag.GRID: folder.identity,
        Tag.FOLDER: str(folder.path.resolve()),
        **facts["origin"],
    }
    with reachable():
        run_id = begin_run(client, experiment_id, facts["name"], facts["begun"], may_take_launched)
        folder.remember(run_id)
        client.log_batch(
            run_id,
            tags=[RunTag(name, value) for name, value in tags.items()],
            params=[RunParam(Param.GRID + name, words) for name, words in facts["lists"].items()],
        )
        mark_dead_runs(client, experiment_id)
        end_lost_runs(client, folder.told.keys() - {run_id}, folder.path)
    return run_id


def known_parent(store: Store, folder: GridFolder) -> str | None:
    """Find the run that this beginning of the grid was told as, from here or from a copy."""
    client, experiment_id = store
    beginning = folder.facts["begun"]
    run_ids = [
        run_id for run_id, its_beginning in folder.told.items() if its_beginning == beginning
    ]
    query = f"tags.{Tag.GRID} = '{folder.identity}' and attributes.start_time = {beginning}"
    copies = client.search_runs([experiment_id], f"{query} and {of_kind(Kind.GRID)}")
    run_ids += [run.info.run_id for run in copies]
    return next((run_id for run_id in run_ids if find_run(client, run_id)), None)


def show_parent(client: MlflowClient, run_id: str, note: str, table: str) -> None:
    """Tell where the grid's trainings stand.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    client.set_tag(run_id, Tag.NOTE, note)
    client.log_text(run_id, table, "trainings.csv")


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
            with closing(GridFolder(root, path.parent.name.removeprefix(PREFIX))) as folder:
                with reachable():
                    run_id = known_parent(store, folder)
                parents[folder.identity] = run_id or open_parent(
                    store, folder, may_take_launched=False
                )
        except FolderInUseError:
            continue  # the grid runs, and tells by itself
    return parents


def end_parents(store: Store, root: Path, parents: Mapping[str, str]) -> None:
    """Tell how these grids ended.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    for identity, run_id in parents.items():
        try:
            with closing(GridFolder(root, identity)) as folder, reachable():
                show_parent(store.client, run_id, folder.note, folder.table)
                end_parent(store.client, run_id, folder)
        except FolderInUseError:
            continue
