"""Send a grid of many finished cells through planning, skipping and reporting; time each.

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

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.grid.folder import GridFolder
from looped.grid.known_runs import finished_runs, known_cells
from looped.grid.ledger import FINISHED, RUNNING, Ledger, News
from looped.grid.lists import Lists, cross, grid_identity, refuse_doubles


@contextmanager
def print_seconds(what: str) -> Iterator[None]:
    """Print how long something took."""
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:8.2f} s  {what}", flush=True)


def fill(client: MlflowClient, cells: list[TrainConfig]) -> None:
    """Log what finished trainings have but for their curves, as if one ended every minute."""
    names = [f"final/metric_{i}" for i in range(35)]
    now = round(time.time() * 1000)
    for index, cell in enumerate(cells):
        end_time = now - 60_000 * (len(cells) - index)
        tags = {f"tag.{i}": "value" for i in range(18)}
        tags |= {"identity": cell.identity, "looped.kind": "training", "git.commit": "0" * 40}
        run_id = client.create_run("0", run_name=cell.name).info.run_id
        client.log_batch(
            run_id,
            [Metric("held_out/nmse", 0.01, 0, 0), *(Metric(name, 1.0, 0, 0) for name in names)],
            [Param(f"resolved.{name}", str(value)) for name, value in asdict(cell).items()],
            [RunTag(name, value) for name, value in tags.items()],
        )
        client.set_terminated(run_id, "FINISHED", end_time)


def main() -> None:
    """Time a grid of so many cells, all but 100 of them finished."""
    count = int(sys.argv[1])
    lists = replace(Lists(), seeds=tuple(range(-(-count // 12))))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with print_seconds("crossing, identities, looking for doubles"):
            cells = [cell.resolved("cpu", "fp32") for cell in cross(lists)][:count]
            refuse_doubles(cells)
            identity = grid_identity(cells)
        client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
        with print_seconds(f"(filling a store with {count - 100:,} runs)"):
            fill(client, cells[100:])
        with print_seconds("planning for the first time"):
            known_cells(client, "0", cells, root)
        with print_seconds("planning again, which skips what is finished"):
            earlier_cells = known_cells(client, "0", cells, root)
        ledger = Ledger(cells, earlier_cells)
        with print_seconds("hearing of 100 cells, 30 times each"):
            for cell in cells[:100]:
                for step in range(30):
                    ledger.hear(News(cell.identity, RUNNING, "run", step))
                ledger.hear(News(cell.identity, FINISHED, "run", 30, 0.01))
        with print_seconds("writing the note and the table once"):
            folder = GridFolder(root, identity)
            folder.show(ledger.note(), ledger.table())
        with print_seconds("asking at the end for doubles"):
            runs = finished_runs(client, "0", root)
        print(ledger.summary(), "|", f"{len(runs):,} finished runs,",
              f"{(root / 'mlflow.db').stat().st_size / 1e6:.0f} MB of store")  # fmt: skip
        folder.close()


if __name__ == "__main__":
    main()
