"""What was lost: journals and weights on disk beside what the store holds."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from looped.names import Kind, Metric, Tag
from looped.records.journal import history, read
from looped.tracking.runs import list_runs, list_trainings, of_kind

EXPERIMENT_ID = "0"


def losses(uri: str, runs_dir: Path) -> list[str]:
    """Compare what lies on disk with a store; say each difference in a line.

    A finished training is in the store once, with every sample of its journal; a baseline once
    for what decides its scores; nothing is RUNNING.

    Args:
        uri: of the store, which nobody writes to now.
        runs_dir: the folder of runs.
    """
    client = MlflowClient(uri)
    return [
        *_running(client),
        *_untold(client, runs_dir),
        *_doubled_baselines(client),
    ]


def weights_of(runs_dir: Path) -> dict[str, str]:
    """Return the checksum of each trained model's weights, by the name of its folder."""
    paths = runs_dir.glob("*/model/weights.safetensors")
    return {path.parents[1].name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _running(client: MlflowClient) -> Iterator[str]:
    for run in list_runs(client, EXPERIMENT_ID, "attributes.status = 'RUNNING'"):
        kind = run.data.tags.get(Tag.KIND, "a run without a kind")
        yield f"{run.info.run_name} ({kind}) is RUNNING"


def _untold(client: MlflowClient, runs_dir: Path) -> Iterator[str]:
    by_identity: dict[str, list[Run]] = {}
    for run in list_trainings(client, EXPERIMENT_ID):
        by_identity.setdefault(run.data.tags.get(Tag.IDENTITY, ""), []).append(run)
    for path in sorted(runs_dir.glob("*/journal.jsonl")):
        records = history(read(path)[0])
        if not records or records[-1].get("status") != "FINISHED":
            yield f"{path.parent.name} did not finish"
            continue
        runs = by_identity.get(path.parent.name.rpartition("-")[2], [])
        if len(runs) != 1:
            yield f"{path.parent.name} is finished and in the store {len(runs)} times"
            continue
        samples = [record["step"] for record in records if record["kind"] == "metrics"]
        metrics = client.get_metric_history(runs[0].info.run_id, Metric.LOSS)
        steps = [metric.step for metric in metrics]
        if steps != samples:
            yield f"{path.parent.name} has {len(samples)} samples, its run {len(steps)}"


def _doubled_baselines(client: MlflowClient) -> Iterator[str]:
    finished = f"{of_kind(Kind.BASELINE)} and attributes.status = 'FINISHED'"
    counts: dict[tuple[str, str], int] = {}
    for run in list_runs(client, EXPERIMENT_ID, finished):
        key = run.data.tags[Tag.BASELINES], run.data.tags[Tag.BASELINE]
        counts[key] = counts.get(key, 0) + 1
    for (_, name), count in counts.items():
        if count > 1:
            yield f"baseline {name} is in the store {count} times"
