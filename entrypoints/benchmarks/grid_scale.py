"""Send a grid of many finished trainings through planning, skipping and reporting; time each.

    python -m entrypoints.benchmarks.grid_scale 10000

makes a store of its own in a temporary folder, as large as that many trainings leave one but
for their curves, and prints seconds.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from mlflow import entities
from mlflow.entities import RunTag
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.grid.lists import Lists, cross, grid_identity, refuse_doubles
from looped.grid.records.folder import GridFolder
from looped.grid.records.known_runs import finished_runs, standings_in_store
from looped.grid.records.ledger import FINISHED, RUNNING, Ledger, News
from looped.names import Kind, Metric, Param, Tag
from looped.tracking.stores.store import Store


@contextmanager
def print_seconds(what: str) -> Iterator[None]:
    """Print how long something took."""
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:8.2f} s  {what}", flush=True)


def fill(client: MlflowClient, configs: list[TrainConfig]) -> None:
    """Log what finished trainings have but for their curves, as if one ended every minute."""
    metrics = [
        entities.Metric(Metric.NMSE, 0.01, 0, 0),
        *(entities.Metric(f"{Metric.FINAL}metric_{i}", 1.0, 0, 0) for i in range(35)),
    ]
    now = round(time.time() * 1000)
    for index, config in enumerate(configs):
        tags = {f"tag.{i}": "value" for i in range(18)} | {
            Tag.IDENTITY: config.identity,
            Tag.KIND: Kind.TRAINING,
            Tag.COMMIT: "0" * 40,
        }
        params = {Param.RESOLVED + name: str(value) for name, value in asdict(config).items()}
        run_id = client.create_run("0", run_name=config.name).info.run_id
        client.log_batch(
            run_id,
            metrics,
            [entities.Param(name, value) for name, value in params.items()],
            [RunTag(name, value) for name, value in tags.items()],
        )
        client.set_terminated(run_id, "FINISHED", now - 60_000 * (len(configs) - index))


def main() -> None:
    """Time a grid of so many trainings, all but 100 of them finished."""
    count = int(sys.argv[1])
    lists = replace(Lists(), seeds=tuple(range(-(-count // 12))))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with print_seconds("crossing, identities, looking for doubles"):
            configs = [config.resolved("cpu", "fp32") for config in cross(lists)][:count]
            refuse_doubles(configs)
            identity = grid_identity(configs)
        store = Store(MlflowClient(f"sqlite:///{root / 'mlflow.db'}"), "0")
        with print_seconds(f"(filling a store with {count - 100:,} runs)"):
            fill(store.client, configs[100:])
        with print_seconds("planning for the first time"):
            standings_in_store(store, configs, root)
        with print_seconds("planning again, which skips what is finished"):
            standings = standings_in_store(store, configs, root)
        ledger = Ledger(configs, standings)
        with print_seconds("hearing of 100 trainings, 30 times each"):
            for identity_of_one in (config.identity for config in configs[:100]):
                for step in range(30):
                    ledger.hear(News(identity=identity_of_one, state=RUNNING, step=step))
                ledger.hear(News(identity=identity_of_one, state=FINISHED, step=30, nmse=0.01))
        with print_seconds("writing the note and the table once"):
            folder = GridFolder(root, identity)
            folder.show(ledger.note(), ledger.table())
        with print_seconds("asking at the end for doubles"):
            runs = finished_runs(store, root)
        print(ledger.summary(), "|", f"{len(runs):,} finished runs,",
              f"{(root / 'mlflow.db').stat().st_size / 1e6:.0f} MB of store")  # fmt: skip
        folder.close()


if __name__ == "__main__":
    main()
