"""What keeping records costs: the journal's, MLflow's, and a training told online."""

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from mlflow.tracking import MlflowClient

from entrypoints.benchmarks import commands
from entrypoints.benchmarks.parts.training import STEPS
from entrypoints.benchmarks.workbench import Row, Rows, Workbench, cell_name
from looped.names import Metric
from looped.records import journal
from looped.tracking.metrics import metrics_of
from looped.tracking.runs import log_in_batches

N_RECORDS = 301  # of a training with the defaults
SHORT = 50  # steps
VALUES = {
    Metric.LOSS: 0.123456789,
    Metric.QUERY_ERROR: 0.0123456789,
    Metric.GRAD_NORM: 0.987654321,
    Metric.LEARNING_RATE: 0.001,
    Metric.STEPS_PER_S: 12.3456789,
    Metric.TOKENS_PER_S: 50567.123456,
}


def measure(bench: Workbench) -> Rows:
    """Time what a training of the smallest cell pays beside its steps.

    ``share`` is, for a record, of the steps from one record to the next, else of 7,500 steps.
    """
    config = bench.smallest_config
    between = bench.base.log_every * bench.smallest_step_seconds
    with commands.temporary_place() as place:
        path = place.folder / "journal.jsonl"
        append_cost = _append(path)
        yield _row(bench, "journal", "a sample into the journal", append_cost, between)
        store_course = commands.make_store(place)
        log_cost = _tell(place, path)
        yield _row(bench, "mlflow", "a sample from the journal to MLflow", log_cost, between)
        whole = STEPS * bench.smallest_step_seconds
        courses = [
            [
                commands.train(place, config, tracking, steps=SHORT, register=register)
                for tracking, register in _WAYS
            ]
            for _ in range((bench.options.rounds + 1) // 2)
        ]
    online_cost, registry_cost = (_beyond(courses, way) for way in (1, 2))
    yield _row(bench, "online", "a training told online, beyond offline", online_cost, whole)
    short = statistics.median(row[1].seconds for row in courses)
    what = f"the same, of the whole of a training of {SHORT} steps"
    yield _row(bench, "short", what, online_cost, short)
    yield _row(bench, "registered", "its model registered", registry_cost, whole)
    what = "the tables of a new store, once for all trainings"
    yield _row(bench, "store", what, Cost(store_course.seconds, store_course.processor), whole)


_WAYS = (("offline", "false"), ("online", "false"), ("online", "true"))


class Cost(NamedTuple):
    """Seconds that something takes, and those in which the processor computes."""

    seconds: float
    processor: float


def _beyond(courses: list[list[commands.Course]], way: int) -> Cost:
    """What one way costs beyond the one before it: medians of pairs."""
    pairs = [(row[way], row[way - 1]) for row in courses]
    return Cost(
        statistics.median(course.seconds - less.seconds for course, less in pairs),
        statistics.median(course.processor - less.processor for course, less in pairs),
    )


def _row(bench: Workbench, name: str, what: str, cost: Cost, whole: float) -> Row:
    return {
        "name": f"logging-{name}",
        "what": what,
        "ms": 1e3 * cost.seconds,
        "processor_ms": 1e3 * cost.processor,
        "share": cost.seconds / whole,
        "of": cell_name(bench.smallest_config),
    }


def _append(path: Path) -> Cost:
    new_journal = journal.Journal(path)

    def append() -> None:
        for index in range(N_RECORDS):
            new_journal.append("metrics", step=25 * index, values=VALUES)

    with closing(new_journal):
        return _cost_per_record(append)


def _tell(place: commands.Place, path: Path) -> Cost:
    client = MlflowClient(place.uri)
    run_id = client.create_run("0").info.run_id

    def tell() -> None:
        records, _ = journal.read(path)
        log_in_batches(client, run_id, [m for record in records for m in metrics_of(record)], [])

    return _cost_per_record(tell)


def _cost_per_record(work: Callable[[], None]) -> Cost:
    start, processor_before = time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - start, time.process_time() - processor_before
    return Cost(seconds / N_RECORDS, processor / N_RECORDS)
