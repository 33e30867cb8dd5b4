"""Which cells an MLflow store knows to be finished or to have failed."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.grid.standing import Known, known_on_disk
from looped.records.files import write_atomically
from looped.rules import digest
from looped.tracking.runs import IMPORTED, find_run

PAGE = 1000
CLOCKS_DIFFER_BY = 300_000  # ms; a run is found that ended so long before the last one seen


def finished_runs(client: MlflowClient, experiment_id: str, index: Path) -> dict[str, list[Known]]:
    """Return by identity the finished trainings that no later run supersedes.

    MLflow takes seconds to list a thousand runs. Those seen are therefore kept in a file, and
    only runs that ended since are asked for, and deleted ones.

    Args:
        client: of the store.
        experiment_id: where to look.
        index: folder of that file, which may be deleted at any time.
    """
    experiment = client.get_experiment(experiment_id)
    store = f"{client.tracking_uri} {experiment_id} {experiment.creation_time}"
    path = index / f"known-runs-{digest({'store': store})}.json"
    imported = experiment.tags.get(IMPORTED, "")  # told of runs that ended long ago
    kept = json.loads(path.read_bytes()) if path.exists() else {}
    if kept.get("imported") != imported:
        kept = {"imported": imported, "until": 0, "runs": {}}
    runs: dict[str, list[object]] = kept["runs"]

    since = f" and attributes.end_time > {kept['until'] - CLOCKS_DIFFER_BY}"
    for run in _trainings(client, experiment_id, "FINISHED", since):
        runs[run.info.run_id] = [run.data.tags.get("identity", ""), *_known("done", run)]
        kept["until"] = max(kept["until"], run.info.end_time)
    for run in _trainings(client, experiment_id, "FINISHED", view=ViewType.DELETED_ONLY):
        runs.pop(run.info.run_id, None)
    finished: dict[str, list[Known]] = {}
    for identity, *fields in runs.values():
        finished.setdefault(str(identity), []).append(Known(*fields))  # type: ignore[arg-type]
    for identity, own in finished.items():
        if len(own) > 1:  # one may supersede the others since
            finished[identity] = [known for known in own if _stands(client, known.run_id)]
            for known in set(own) - set(finished[identity]):
                del runs[known.run_id]
    if index.exists():
        write_atomically(path, json.dumps(kept).encode())
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
    finished = finished_runs(client, experiment_id, root)
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
    for known in finished.get(cell.identity, []):
        if commit in (None, known.commit):
            return known
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


def _stands(client: MlflowClient, run_id: str) -> bool:
    run = find_run(client, run_id)
    return run is not None and "superseded_by" not in run.data.tags


def _trainings(
    client: MlflowClient,
    experiment_id: str,
    status: str,
    further: str = "",
    view: int = ViewType.ACTIVE_ONLY,
) -> list[Run]:
    query = f"attributes.status = '{status}' and tags.`looped.kind` = 'training'{further}"
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], query, view, PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
