"""Tells MLflow what a benchmark found."""

import math
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from entrypoints.benchmarks import drawing, results
from looped.records.journal import TrackingError
from looped.tracking.metrics import log_in_batches
from looped.tracking.store import open_store

KIND = "benchmark"


def log(outcome: results.Results) -> str:
    """Log figures and files to the run that ``mlflow run`` made or to a new one.

    Returns:
        The run's id.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    client, experiment_id = open_store()
    try:
        launcher_id = os.environ.get("MLFLOW_RUN_ID")
        run_id = launcher_id or str(client.create_run(experiment_id).info.run_id)
        client.update_run(run_id, name=KIND)
        note = results.markdown(outcome)
        tags = {"looped.kind": KIND, "mlflow.note.content": note}
        params: dict[str, Any] = {
            **{f"benchmark.{name}": value for name, value in outcome["options"].items()},
            **{f"about.{name}": value for name, value in outcome["about"].items()},
        }
        client.log_batch(
            run_id,
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        log_in_batches(client, run_id, _metrics(outcome), [])
        with tempfile.TemporaryDirectory() as temporary:
            write(outcome, Path(temporary))
            client.log_artifacts(run_id, temporary, KIND)
        if not launcher_id:
            client.set_terminated(run_id, "FINISHED")
    except MlflowException as error:
        raise TrackingError(f"MLflow must be reachable, got: {error}") from error
    return run_id


def fail_launcher(reason: str) -> None:
    """Leave the reason on the run that ``mlflow run`` made; MLflow ends it itself."""
    launcher_id = os.environ.get("MLFLOW_RUN_ID")
    if launcher_id:
        with suppress(MlflowException, TrackingError):
            open_store().client.set_tag(launcher_id, "looped.reason", reason)


def write(outcome: results.Results, folder: Path) -> None:
    """Write the figures as JSON, as tables, and drawn where there is something to draw."""
    results.write_json(outcome, folder / "benchmark.json")
    (folder / "benchmark.md").write_text(results.markdown(outcome), encoding="utf-8")
    if "scaling" in outcome["parts"]:
        drawing.draw(outcome, folder / "scaling.png")


def _metrics(outcome: results.Results) -> list[Metric]:
    """Name the figures as metrics; a curve's have its x as their step."""
    now = round(time.time() * 1000)
    metrics = [
        Metric(name, value, now, 0)
        for name, value in results.figures(outcome).items()
        if math.isfinite(value)
    ]
    for row in outcome["parts"].get("scaling", []):
        for name in ("ms", "mib"):
            for x, value in zip(row["xs"], row[name], strict=True):
                metrics.append(Metric(f"benchmark/{row['name']}/{name}", value, now, x))
    return metrics
