"""Which cells an MLflow store knows to be finished or to have failed."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.grid import Known, known_on_disk

PAGE = 1000


def finished_runs(client: MlflowClient, experiment_id: str) -> dict[str, list[Known]]:
    """Return by identity the finished trainings that no later run supersedes."""
    finished: dict[str, list[Known]] = {}
    for run in _trainings(client, experiment_id, "FINISHED"):
        if "superseded_by" not in run.data.tags:
            known = _known("done", run)
            finished.setdefault(run.data.tags.get("identity", ""), []).append(known)
    return finished


def known_cells(
    client: MlflowClient,
    experiment_id: str,
    cells: Iterable[TrainConfig],
    root: Path,
    commit: str | None = None,
) -> dict[str, Known]:
    """Say how far each cell is, by identity.

    Args:
        client: of the store.
        experiment_id: where to look.
        cells: resolved.
        root: folder of all runs, which may hold checkpoints.
        commit: count as done only what this commit trained; None counts all.
    """
    finished = finished_runs(client, experiment_id)
    newest: dict[str, Run] = {}
    for status in ("FAILED", "KILLED"):
        for run in _trainings(client, experiment_id, status):
            identity = run.data.tags.get("identity", "")
            other = newest.get(identity)
            if other is None or other.info.start_time < run.info.start_time:
                newest[identity] = run
    return {cell.identity: _state(cell, root, finished, newest, commit) for cell in cells}


def _state(
    cell: TrainConfig,
    root: Path,
    finished: Mapping[str, list[Known]],
    newest: Mapping[str, Run],
    commit: str | None,
) -> Known:
    own = [run for run in finished.get(cell.identity, []) if commit in (None, run.commit)]
    if own:
        return own[0]
    if cell.identity in newest and newest[cell.identity].info.status == "FAILED":
        return _known("failed before", newest[cell.identity])
    on_disk = known_on_disk(root, cell)
    # finished there, but not known to this store: it needs to be told
    return Known("to go on", step=cell.steps) if on_disk.state == "done" else on_disk


def _known(state: str, run: Run) -> Known:
    tags = run.data.tags
    return Known(
        state,
        run.info.run_id,
        run.data.metrics.get("held_out/nmse"),
        tags.get("looped.reason", ""),
        tags.get("git.commit", ""),
    )


def _trainings(client: MlflowClient, experiment_id: str, status: str) -> list[Run]:
    query = f"attributes.status = '{status}' and tags.`looped.kind` = 'training'"
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], query, max_results=PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
