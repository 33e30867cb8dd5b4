"""What keeping records costs: the journal's points, MLflow's, and a training told online."""

import statistics
import time
from pathlib import Path

from mlflow.tracking import MlflowClient

from entrypoints.benchmarks import commands
from entrypoints.benchmarks.training import STEPS
from entrypoints.benchmarks.workbench import Row, Rows, Workbench, named
from looped import journal
from looped.mlflow_store import log_in_batches, metrics_of

POINTS = 301  # of a training with the defaults
SHORT = 100  # steps
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

    ``share`` is, of a point, its part of the steps from one point to the next; of a whole
    training, what it takes beyond one that is not told, as a part of 7,500 steps.
    """
    between = bench.base.log_every * bench.smallest_step
    with commands.temporary_place() as place:
        path = place.folder / "journal.jsonl"
        appended = _append(path)
        yield _row(bench, "journal", "a point into the journal", appended, between)
        made = commands.make_store(place)
        told = _tell(place, path)
        yield _row(bench, "mlflow", "a point from the journal to MLflow", told, between)
        whole = STEPS * bench.smallest_step
        rounds = max(1, bench.options.rounds // 2)
        trainings: list[list[float]] = []
        for _ in range(rounds):
            trainings.append(
                [
                    commands.train(
                        place, bench.smallest, tracking, steps=SHORT, register=register
                    ).seconds
                    for tracking, register in _WAYS
                ]
            )
        told_more, registered_more = (
            statistics.median(row[way] - row[way - 1] for row in trainings) for way in (1, 2)
        )
        yield _row(bench, "online", "a training told online, beyond offline", told_more, whole)
        yield _row(bench, "registered", "its model registered", registered_more, whole)
        offline = statistics.median(row[0] for row in trainings)
        own = offline + told_more
        what = f"the same for a training of {SHORT} steps"
        yield _row(bench, "short", what, told_more, own)
        yield _row(bench, "store", "the tables of a new store, once", made, whole)


_WAYS = (("offline", "false"), ("online", "false"), ("online", "true"))


def _row(bench: Workbench, name: str, what: str, seconds: float, whole: float) -> Row:
    return {
        "name": f"logging-{name}",
        "what": what,
        "ms": 1e3 * seconds,
        "share": seconds / whole,
        "of": named(bench.smallest),
    }


def _append(path: Path) -> float:
    own = journal.Journal(path)
    begun = time.perf_counter()
    for point in range(POINTS):
        own.append("metrics", step=25 * point, values=VALUES)
    seconds = time.perf_counter() - begun
    own.close()
    return seconds / POINTS


def _tell(place: commands.Place, path: Path) -> float:
    client = MlflowClient(place.uri)
    run_id = client.create_run("0").info.run_id
    begun = time.perf_counter()
    records, _ = journal.read(path)
    log_in_batches(client, run_id, [m for record in records for m in metrics_of(record)], [])
    return (time.perf_counter() - begun) / POINTS
