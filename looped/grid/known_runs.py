"""Which trainings an MLflow store knows to be finished or to have failed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlflow.entities import Run, ViewType
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.grid.standing import (
    DONE_BEFORE,
    FAILED_BEFORE,
    TO_GO_ON,
    Standing,
    standing_on_disk,
)
from looped.names import Metric, Tag
from looped.records.files import write_atomically
from looped.rules import digest
from looped.tracking.runs import find_run, list_trainings
from looped.tracking.store import Store

CLOCKS_DIFFER_BY = 300_000  # ms; a run is found that ended so long before the last one seen


def finished_runs(store: Store, index: Path) -> dict[str, list[Standing]]:
    """Return by identity the finished trainings that no later run supersedes.

    MLflow takes seconds to list a thousand runs. Those seen are therefore kept in a file, and
    only runs that ended since are asked for, and deleted ones.

    Args:
        store: where to look.
        index: folder of that file, which may be deleted at any time.
    """
    client, experiment_id = store
    experiment = client.get_experiment(experiment_id)
    place = f"{client.tracking_uri} {experiment_id} {experiment.creation_time}"
    path = index / f"finished-runs-{digest({'store': place})}.json"
    imported = experiment.tags.get(Tag.IMPORTED, "")  # told of runs that ended long ago
    memory: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    if memory.get("imported") != imported:
        memory = {"imported": imported, "until": 0, "runs": {}}
    runs: dict[str, dict[str, Any]] = memory["runs"]

    since = f"attributes.end_time > {memory['until'] - CLOCKS_DIFFER_BY}"
    for run in list_trainings(client, experiment_id, further=since):
        identity = run.data.tags.get(Tag.IDENTITY, "")
        runs[run.info.run_id] = {"identity": identity, **asdict(_standing(DONE_BEFORE, run))}
        memory["until"] = max(memory["until"], run.info.end_time)
    for run in list_trainings(client, experiment_id, view=ViewType.DELETED_ONLY):
        runs.pop(run.info.run_id, None)
    finished: dict[str, list[Standing]] = {}
    for entry in runs.values():
        fields = {name: value for name, value in entry.items() if name != "identity"}
        finished.setdefault(entry["identity"], []).append(Standing(**fields))
    for identity, standings in finished.items():
        if len(standings) > 1:  # one may supersede the others since
            finished[identity] = [each for each in standings if _stands(client, each.run_id)]
            for standing in standings:
                if standing not in finished[identity]:
                    del runs[standing.run_id]
    if index.exists():
        write_atomically(path, json.dumps(memory).encode())
    return finished


def standings_in_store(
    store: Store, configs: Iterable[TrainConfig], root: Path, commit: str | None = None
) -> dict[str, Standing]:
    """Say how far each training is, by identity.

    Args:
        store: where to look.
        configs: resolved.
        root: folder of all runs, which may hold checkpoints.
        commit: count as done only what this commit trained; None counts all.
    """
    finished = finished_runs(store, root)
    newest: dict[str, Run] = {}
    for status in ("FAILED", "KILLED"):
        for run in list_trainings(store.client, store.experiment_id, status):
            identity = run.data.tags.get(Tag.IDENTITY, "")
            before = newest.get(identity)
            if before is None or before.info.start_time < run.info.start_time:
                newest[identity] = run
    return {config.identity: _choose(config, root, finished, newest, commit) for config in configs}


def _choose(
    config: TrainConfig,
    root: Path,
    finished: Mapping[str, list[Standing]],
    newest: Mapping[str, Run],
    commit: str | None,
) -> Standing:
    for standing in finished.get(config.identity, []):
        if commit in (None, standing.commit):
            return standing
    unfinished = newest.get(config.identity)
    if unfinished is not None and unfinished.info.status == "FAILED":
        return _standing(FAILED_BEFORE, unfinished)
    on_disk = standing_on_disk(root, config)
    # finished there, but not known to this store: it needs to be told
    is_untold = on_disk.state == DONE_BEFORE
    return Standing(state=TO_GO_ON, step=config.steps) if is_untold else on_disk


def _standing(state: str, run: Run) -> Standing:
    tags = run.data.tags
    return Standing(
        state=state,
        run_id=run.info.run_id,
        nmse=run.data.metrics.get(Metric.NMSE),
        reason=tags.get(Tag.REASON, ""),
        commit=tags.get(Tag.COMMIT, ""),
    )


def _stands(client: MlflowClient, run_id: str) -> bool:
    run = find_run(client, run_id)
    return run is not None and Tag.SUPERSEDED_BY not in run.data.tags
