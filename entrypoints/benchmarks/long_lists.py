"""Fill a store on PostgreSQL with thousands of finished trainings, and time what reads them.

    MLFLOW_TRACKING_URI=postgresql+psycopg2://... python -m entrypoints.benchmarks.long_lists 10000

The trainings are those of ``results/h100``, each as often as it takes with seeds and errors of its
own, logged every 250 steps. They are copied into MLflow's tables in an experiment named after
their number, once. Then each command runs as a process of its own: its time, its processor time,
and the most memory that it held with its children.
"""

import csv
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

from looped.config import TrainConfig
from looped.names import Kind, Param, Tag, Variable
from looped.records.damage import read_object
from looped.records.journal import history, read
from looped.tracking.metrics import metrics_of, tags_of
from looped.training.convergence import with_convergence

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "results" / "h100"
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
COMMANDS = {
    "fit_scaling": (),
    "report": (),
    "grid": ("--dry_run", "true", "--seeds"),
}
Row = tuple[Any, ...]


class Template(NamedTuple):
    """A kept training: its configuration, its samples as (name, step, time, value), its tags."""

    config: TrainConfig
    samples: list[tuple[str, int, int, float]]
    tags: dict[str, str]


class Cost(NamedTuple):
    """What a command took: seconds, seconds of processor, GB at most."""

    wall: float
    processor: float
    memory: float


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
    return Template(replace(config, log_every=LOG_EVERY), rows, tags)


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
    import psycopg2  # type: ignore[import-untyped]

    name = f"long-list-{count}"
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return name
    experiment = client.get_experiment(client.create_experiment(name))
    now = round(time.time() * 1000)
    uri = client.tracking_uri.replace("+psycopg2", "")
    with closing(psycopg2.connect(uri)) as connection, connection.cursor() as cursor:
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


def run(words: Sequence[str], variables: dict[str, str]) -> Cost:
    """Run a command to its end; return what it took.

    Raises:
        CalledProcessError: it failed.
    """
    peak, is_over = 0.0, threading.Event()
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            words, cwd=ROOT, env=os.environ | variables, stdout=output, stderr=output
        )

        def watch() -> None:
            nonlocal peak
            while not is_over.wait(0.1):
                peak = max(peak, _memory_of(process.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        is_over.set()
        watcher.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, words, output.read())
    wall = time.perf_counter() - start
    return Cost(wall, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss / 1e6))


def _memory_of(pid: int) -> float:
    """Add up what a process and its children hold, in GB."""
    try:
        status = Path(f"/proc/{pid}/statm").read_text().split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    here = int(status[1]) * os.sysconf("SC_PAGE_SIZE") / 1e9
    return here + sum(_memory_of(int(child)) for child in children)


def main() -> None:
    """Fill the store with so many trainings and time the commands, or those that are named."""
    count, *names = sys.argv[1:]
    client = MlflowClient()
    start = time.perf_counter()
    experiment = fill(client, int(count))
    print(
        f"{int(count):,} trainings in {experiment}, filled in {time.perf_counter() - start:.0f} s"
    )
    seeds = ",".join(map(str, range(-(-int(count) // 12))))
    print(f"{'':28}{'wall s':>8}{'processor s':>13}{'GB':>6}")
    with tempfile.TemporaryDirectory() as runs_dir:
        for name in names or COMMANDS:
            further = ("--seeds", seeds, "--log_every", "250", "--prompt", "interleaved",
                       "--dry_run", "true", "--runs_dir", runs_dir)  # fmt: skip
            words = [
                sys.executable,
                "-m",
                f"entrypoints.{name}",
                *(further if name == "grid" else ()),
            ]
            variables = {Variable.TRACKING_URI: str(mlflow.get_tracking_uri()),
                         Variable.EXPERIMENT_NAME: experiment}  # fmt: skip
            cost = run(words, variables)
            print(f"{name:28}{cost.wall:8.1f}{cost.processor:13.1f}{cost.memory:6.2f}", flush=True)


if __name__ == "__main__":
    main()
