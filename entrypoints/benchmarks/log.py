"""Tells MLflow what a benchmark found."""

import math
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow import entities
from mlflow.entities import RunTag

from entrypoints.benchmarks import drawing, results
from looped.names import Kind, Metric, Param, Tag
from looped.records.journal import TrackingError
from looped.tracking.launcher import command_run, fail_launched, launched_run
from looped.tracking.runs import log_in_batches
from looped.tracking.stores.store import open_store, reachable


def log(outcome: results.Results) -> str:
    """Log figures and files to the run that ``mlflow run`` made or to a new one.

    Returns:
        The run's id.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    store = open_store()
    with reachable(), command_run(store, Kind.BENCHMARK) as run_id:
        tags = {Tag.KIND: Kind.BENCHMARK, Tag.NOTE: results.markdown(outcome)}
        params: dict[str, Any] = {
            **{Param.BENCHMARK + name: value for name, value in outcome["options"].items()},
            **{Param.ABOUT + name: value for name, value in outcome["about"].items()},
        }
        store.client.log_batch(
            run_id,
            params=[entities.Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        log_in_batches(store.client, run_id, _metrics(outcome), [])
        with tempfile.TemporaryDirectory() as temporary:
            write(outcome, Path(temporary))
            store.client.log_artifacts(run_id, temporary, Kind.BENCHMARK)
    return run_id


def say_failure(reason: str) -> None:
    """Leave the reason on the run that ``mlflow run`` made, if it did."""
    if launched_run():
        with suppress(TrackingError):
            fail_launched(open_store().client, reason)


def write(outcome: results.Results, folder: Path) -> None:
    """Write the figures as JSON, as tables, and drawn where there is something to draw."""
    results.write_json(outcome, folder / "benchmark.json")
    (folder / "benchmark.md").write_text(results.markdown(outcome), encoding="utf-8")
    if "scaling" in outcome["parts"]:
        drawing.draw(outcome, folder / "scaling.png")


def _metrics(outcome: results.Results) -> list[entities.Metric]:
    """Name the figures as metrics; a curve's have its x as their step."""
    now = round(time.time() * 1000)
    metrics = [
        entities.Metric(name, value, now, 0)
        for name, value in results.figures(outcome).items()
        if math.isfinite(value)
    ]
    for row in outcome["parts"].get("scaling", []):
        for name in ("ms", "mib"):
            for x, value in zip(row["xs"], row[name], strict=True):
                full_name = f"{Metric.BENCHMARK}{row['name']}/{name}"
                metrics.append(entities.Metric(full_name, value, now, x))
    return metrics
