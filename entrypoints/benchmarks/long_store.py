"""Finished trainings by the thousand, copied straight into MLflow's tables on PostgreSQL.

Those of ``results/h100``, each as often as it takes with seeds and errors of its own, logged every
``LOG_EVERY`` steps, and of the precision that a grid plans on a CPU.
"""

import csv
import hashlib
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from looped.config import TrainConfig
from looped.names import Kind, Param, Tag
from looped.records.damage import read_object
from looped.records.journal import history, read
from looped.tracking.metrics import metrics_of, tags_of
from looped.training.convergence import with_convergence

TEMPLATES = Path(__file__).parents[2] / "results" / "h100"
LOG_EVERY = 250
AT_ONCE = 200
COLUMNS = {
    "runs": "run_uuid, name, source_type, user_id, status, start_time, end_time, "
    "lifecycle_stage, artifact_uri, experiment_id",
    "params": "run_uuid, key, value",
    "tags": "run_uuid, key, value",
    "metrics": "run_uuid, key, step, timestamp, value, is_nan",
    "latest_metrics": "run_uuid, key, step, timestamp, value, is_nan",
}
Row = tuple[Any, ...]


class Template(NamedTuple):
    """A kept training: its configuration, its samples as (name, step, time, value), its tags."""

    config: TrainConfig
    samples: list[tuple[str, int, int, float]]
    tags: dict[str, str]


def templates(folder: Path = TEMPLATES) -> list[Template]:
    """Read the kept trainings, their curves as thin as those logged every ``LOG_EVERY`` steps."""
    return [_template(path.parent) for path in sorted(folder.glob("*/journal.jsonl"))]


def _template(folder: Path) -> Template:
    records = history(read(folder / "journal.jsonl")[0])
    config = TrainConfig(**read_object(folder / "config.json")["config"])
    samples: dict[tuple[str, int], Any] = {}
    tags: dict[str, str] = {}
    for record in records:
        if record["kind"] == "metrics" and record["step"] % LOG_EVERY and record["step"] != 1:
            continue
        judged = with_convergence(record, records) if record["kind"] == "outcome" else record
        for metric in metrics_of(judged):
            samples[metric.key, metric.step] = metric
        tags |= {tag.key: tag.value for tag in tags_of(judged)}
    rows = [(each.key, each.step, each.timestamp, each.value) for each in samples.values()]
    return Template(replace(config, log_every=LOG_EVERY, precision="fp32"), rows, tags)


def trainings(
    count: int, kept_templates: Sequence[Template]
) -> Iterator[tuple[str, TrainConfig, Template]]:
    """Yield so many trainings: run id, configuration, and samples with errors of their own."""
    seeds = sorted({template.config.seed for template in kept_templates})
    for index in range(count):
        block, template = index // len(kept_templates), kept_templates[index % len(kept_templates)]
        seed = block * len(seeds) + seeds.index(template.config.seed)
        config = replace(template.config, seed=seed)
        shift = 0.15 * np.random.default_rng([seed, len(config.size)]).normal()
        shift += 0.1 * np.random.default_rng([seed, len(config.size), config.b]).normal()
        factor = float(np.exp(shift))
        samples = [
            (name, step, when, value * factor if "nmse" in name and value < 1 else value)
            for name, step, when, value in template.samples
        ]
        run_id = hashlib.md5(f"{count} {index}".encode(), usedforsecurity=False).hexdigest()
        yield run_id, config, Template(config, samples, template.tags)


def rows_of(run_id: str, training: Template, experiment: Any, start: int) -> dict[str, list[Row]]:
    """Write a training as rows of MLflow's tables; see ``COLUMNS``."""
    config, samples, told_tags = training
    tags = told_tags | {
        MLFLOW_RUN_NAME: config.name,
        Tag.NAME: config.name,
        Tag.SIZE: config.size,
        Tag.B: config.b,
        Tag.SEED: config.seed,
        Tag.TASK: config.task,
        Tag.RECIPE: config.recipe_identity,
        Tag.IDENTITY: config.identity,
        Tag.KIND: Kind.TRAINING,
        Tag.COMMIT: "0" * 40,
    }
    params = {Param.RESOLVED + name: value for name, value in asdict(config).items()}
    newest: dict[str, Row] = {}
    for name, step, when, value in samples:
        newest[name] = max(newest.get(name, ()), (step, when, value))
    artifacts = f"{experiment.artifact_location}/{run_id}/artifacts"
    run = (run_id, config.name, "LOCAL", "benchmark", "FINISHED", start, start + 60_000, "active",
           artifacts, experiment.experiment_id)  # fmt: skip
    return {
        "runs": [run],
        "params": [(run_id, name, str(value)) for name, value in params.items()],
        "tags": [(run_id, name, str(value)) for name, value in tags.items()],
        "metrics": [(run_id, *sample, False) for sample in samples],
        "latest_metrics": [(run_id, name, *newest[name], False) for name in newest],
    }


def fill(client: MlflowClient, count: int) -> str:
    """Copy so many finished trainings into a store, unless they are there; name the experiment."""
    name = f"long-list-{count}"
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return name
    experiment = client.get_experiment(client.create_experiment(name))
    now = round(time.time() * 1000)
    with closing(connect(client.tracking_uri)) as connection, connection.cursor() as cursor:
        rows_by_table: dict[str, list[Row]] = {table: [] for table in COLUMNS}
        for index, (run_id, _, training) in enumerate(trainings(count, templates()), 1):
            start = now - 60_000 * (count - index)
            for table, rows in rows_of(run_id, training, experiment, start).items():
                rows_by_table[table] += rows
            if index % AT_ONCE == 0 or index == count:
                for table, columns in COLUMNS.items():
                    text = io.StringIO()
                    csv.writer(text).writerows(rows_by_table[table])
                    text.seek(0)
                    cursor.copy_expert(f"COPY {table} ({columns}) FROM STDIN WITH CSV", text)
                    rows_by_table[table] = []
        connection.commit()
        cursor.execute("ANALYZE")
        connection.commit()
    return name


def connect(uri: str) -> Any:
    """Open the database of an address that MLflow takes."""
    import psycopg2  # type: ignore[import-untyped]

    return psycopg2.connect(uri.replace("+psycopg2", ""))
