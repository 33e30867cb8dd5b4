"""The MLflow runs of grids that are told from their folders alone, which may come from anybody."""

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from mlflow.exceptions import MlflowException

from looped.grid.records.folder import PREFIX, DamagedGridError, GridFolder
from looped.grid.records.parent_run import (
    LONGEST_TAG,
    facts_of,
    known_parent,
    open_parent,
    show_parent,
)
from looped.records.folder import FolderInUseError
from looped.records.journal import TrackingError
from looped.tracking.dead_runs import end_lost_runs
from looped.tracking.runs import end_run
from looped.tracking.stores.store import Store, reachable

logger = logging.getLogger("looped")

Complain = Callable[[str], object]


def open_parents(store: Store, root: Path, complain: Complain = logger.warning) -> dict[str, str]:
    """Find or make the MLflow runs of the grids whose folders are here, by grid identity.

    Args:
        store: to tell.
        root: folder of all runs.
        complain: is told in a line of each folder that is damaged; it is passed over.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    parents = {}
    for path in sorted(root.glob(f"{PREFIX}*/grid.json")):
        try:
            with closing(GridFolder(root, path.parent.name.removeprefix(PREFIX))) as folder:
                with reachable():
                    run_id = known_parent(store, folder)
                parents[folder.identity] = run_id or open_parent(
                    store, folder, may_take_launched=False
                )
        except FolderInUseError:
            continue  # the grid runs, and tells by itself
        except (DamagedGridError, OSError, TrackingError) as error:
            _complain_or_raise(path.parent, error, complain)
    return parents


def end_parents(
    store: Store, root: Path, parents: Mapping[str, str], complain: Complain = logger.warning
) -> None:
    """Tell how these grids ended.

    Args:
        store: to tell.
        root: folder of all runs.
        parents: of ``open_parents``.
        complain: is told in a line of each that could not be told.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    for identity, run_id in parents.items():
        try:
            with closing(GridFolder(root, identity)) as folder, reachable():
                facts = facts_of(folder)
                try:
                    show_parent(store.client, run_id, folder.note, folder.table, facts.seconds)
                finally:  # whatever its note lacks, it ended
                    reason = facts.reason[:LONGEST_TAG]
                    end_run(store.client, run_id, facts.status, reason, facts.ended_at)
        except FolderInUseError:
            continue
        except (DamagedGridError, OSError, TrackingError) as error:
            with reachable():  # whatever its folder lacks, the run does not go on for ever
                end_lost_runs(store.client, [run_id])
            _complain_or_raise(root / f"{PREFIX}{identity}", error, complain)


def _complain_or_raise(path: Path, error: Exception, complain: Complain) -> None:
    """Say that a grid is passed over, unless it is MLflow that is away."""
    cause = error.__cause__
    is_refusal = isinstance(cause, MlflowException) and cause.error_code in (
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
    )
    if isinstance(error, TrackingError) and not is_refusal:
        raise error
    reason = " ".join(str(cause if is_refusal else error).split())
    complain(f"{path} is left out: {reason}")
