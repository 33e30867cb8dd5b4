"""With how many threads a training runs: as many to its end as it began with.

The sums of a training on a CPU are rounded as its threads part them, so one that goes on with
another number of threads comes to other weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from looped.grid.records.folder import MOST_THREADS
from looped.grid.records.standing import DAMAGE, last_step
from looped.records.journal import last_record


def kept_threads(folder: Path) -> int | None:
    """Return the threads that a training's checkpoints were made with.

    None where it begins anew, or in journals that were kept without them.
    """
    try:
        if last_step(folder) == 0:
            return None
        start = last_record(folder / "journal.jsonl", "start") or {}
    except DAMAGE:
        return None
    threads = start.get("threads")
    if isinstance(threads, int) and not isinstance(threads, bool) and 1 <= threads <= MOST_THREADS:
        return threads
    return None


@contextmanager
def running_with(threads: int | None) -> Iterator[None]:
    """Run PyTorch with so many threads meanwhile; None leaves them as they are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
