"""What keeping records costs: the journal's points, MLflow's, and a training told online."""

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from mlflow.tracking import MlflowClient

from entrypoints.benchmarks import commands
from entrypoints.benchmarks.parts.training import STEPS
from entrypoints.benchmarks.workbench import Row, Rows, Workbench, named
from looped.records import journal
from looped.tracking.metrics import log_in_batches, metrics_of

POINTS = 301  # of a training with the defaults
SHORT = 50  # steps
VALUES = {
    "train/loss": 0.123456789,
    "train/query_error": 0.0123456789,
    "train/grad_norm": 0.987654321,
    "train/learning_rate": 0.001,
    "speed/steps_per_s": 12.3456789,
    "speed/tokens_per_s": 50567.123456,
}


def measure(bench: Workbench) -> Rows:
    """Time what a training of the smallest cell pays beside its steps.

    ``share`` is, for a point, of the steps from one point to the next, else of 7,500 steps.
    """
    between = bench.base.log_every * bench.smallest_step
    with commands.temporary_place() as place:
        path = place.folder / "journal.jsonl"
        appended = _append(path)
        yield _row(bench, "journal", "a point into the journal", *appended, between)
        made = commands.make_store(place)
        told = _tell(place, path)
        yield _row(bench, "mlflow", "a point from the journal to MLflow", *told, between)
        whole = STEPS * bench.smallest_step
        courses = [
            [
                commands.train(place, bench.smallest, tracking, steps=SHORT, register=register)
                for tracking, register in _WAYS
            ]
            for _ in range((bench.options.rounds + 1) // 2)
        ]
    told_more, registered_more = (_beyond(courses, way) for way in (1, 2))
    yield _row(bench, "online", "a training told online, beyond offline", *told_more, whole)
    short = statistics.median(row[1].seconds for row in courses)
    what = f"the same, of the whole of a training of {SHORT} steps"
    yield _row(bench, "short", what, *told_more, short)
    yield _row(bench, "registered", "its model registered", *registered_more, whole)
    what = "the tables of a new store, once for all trainings"
    yield _row(bench, "store", what, made.seconds, made.processor, whole)


_WAYS = (("offline", "false"), ("online", "false"), ("online", "true"))


def _beyond(courses: list[list[commands.Course]], way: int) -> tuple[float, float]:
    """Seconds, and processor's, that one way takes beyond the one before it: medians of pairs."""
    pairs = [(row[way], row[way - 1]) for row in courses]
    return (
        statistics.median(own.seconds - less.seconds for own, less in pairs),
        statistics.median(own.processor - less.processor for own, less in pairs),
    )


def _row(
    bench: Workbench, name: str, what: str, seconds: float, processor: float, whole: float
) -> Row:
    return {
        "name": f"logging-{name}",
        "what": what,
        "ms": 1e3 * seconds,
        "processor_ms": 1e3 * processor,
        "share": seconds / whole,
        "of": named(bench.smallest),
    }


def _append(path: Path) -> tuple[float, float]:
    own = journal.Journal(path)

    def append() -> None:
        for point in range(POINTS):
            own.append("metrics", step=25 * point, values=VALUES)

    with closing(own):
        return _a_point(append)


def _tell(place: commands.Place, path: Path) -> tuple[float, float]:
    client = MlflowClient(place.uri)
    run_id = client.create_run("0").info.run_id

    def tell() -> None:
        records, _ = journal.read(path)
        log_in_batches(client, run_id, [m for record in records for m in metrics_of(record)], [])

    return _a_point(tell)


def _a_point(work: Callable[[], None]) -> tuple[float, float]:
    begun, computed = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - begun) / POINTS, (time.process_time() - computed) / POINTS
