"""The end of a grid: what it says it trained is counted where that must be."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from looped.config import TrainConfig
from looped.grid.options import RunOptions
from looped.grid.records.ledger import DONE, FAILED, FINISHED, KILLED, UNTOLD, Ledger, News
from looped.grid.records.standing import (
    DONE_BEFORE,
    FAILED_BEFORE,
    TO_DO,
    Standing,
    standing_on_disk,
)
from looped.records.folder import FolderInUseError, run_path
from looped.records.journal import TrackingError

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

logger = logging.getLogger("looped")


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What was counted at a grid's end.

    Attributes:
        finished: finished runs that the store holds, by identity of the training.
        problem: why the count is not known, in a line; empty where it is.
        n_missing: trainings that are finished and that the store does not hold.
    """

    finished: Mapping[str, Sequence[Standing]] = field(default_factory=dict)
    problem: str = ""
    n_missing: int = 0


def balance_with_journals(ledger: Ledger, root: Path) -> Balance:
    """Count the trainings that are done by what their journals say; correct the ledger."""
    missing = [
        identity
        for identity, entry in ledger.entries.items()
        if entry.state in DONE and not is_finished(root, entry.config)
    ]
    for identity in missing:
        reason = f"its journal in {root} does not say that it finished"
        ledger.hear(News(identity=identity, state=TO_DO, reason=reason))
    return Balance()


def balance_with_store(
    ledger: Ledger, store: "Store", root: Path, parent: str | None, options: RunOptions, grid: str
) -> Balance:
    """Count the trainings that are done by what the store holds, and tell it what it lacks.

    What it lacks even so is untold in the ledger, or to do where no journal here holds it.

    Args:
        ledger: of the grid; it is corrected.
        store: which must hold them.
        root: folder of all runs.
        parent: the grid's run.
        options: how the trainings were trained.
        grid: identity of the grid.
    """
    from mlflow.exceptions import MlflowException

    from looped.grid.records.known_runs import finished_runs

    parents = {} if parent is None else {grid: parent}
    try:
        finished = finished_runs(store, root)
        missing = _missing(ledger, finished, root)
        if missing:
            for identity in missing:
                if tell(ledger, identity, store, root, parents, options):
                    name = ledger.entries[identity].title
                    logger.warning("%s: the store lacked it, and was told again", name)
            finished = finished_runs(store, root)
            missing = _missing(ledger, finished, root)
    except (MlflowException, TrackingError) as error:
        return Balance(problem=" ".join(str(error).split()))
    for identity in missing:
        entry = ledger.entries[identity]
        if is_finished(root, entry.config):
            state, reason = UNTOLD, entry.reason
        else:
            state = TO_DO
            reason = "the store holds no finished run of it, and no journal here does"
        ledger.hear(News(identity=identity, state=state, reason=reason))
    return Balance(finished=finished, n_missing=len(missing))


def _missing(ledger: Ledger, finished: Mapping[str, Sequence[Standing]], root: Path) -> list[str]:
    """Name the trainings that are finished and that the store does not hold.

    That of a worker which died as it told of it is one of them: its journal says so.
    """
    return [
        identity
        for identity, entry in ledger.entries.items()
        if not finished.get(identity)
        and (
            entry.state in (*DONE, UNTOLD)
            or (entry.state == KILLED and is_finished(root, entry.config))
        )
    ]


def is_finished(root: Path, config: TrainConfig) -> bool:
    """Tell whether the journal of a training says that it finished."""
    return standing_on_disk(root, config).state == DONE_BEFORE


def tell(
    ledger: Ledger,
    identity: str,
    store: "Store",
    root: Path,
    parents: Mapping[str, str],
    options: RunOptions,
) -> bool:
    """Tell MLflow of a training that ended and that it lacks, from its journal.

    Args:
        ledger: of the grid; it hears what came of it.
        identity: of the training.
        store: to tell.
        root: folder of all runs.
        parents: the MLflow runs of grids, by the identity of the grid.
        options: how the training was trained.

    Returns:
        Whether it was told.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    from looped.tracking.importer import import_run

    entry = ledger.entries[identity]
    standing = standing_on_disk(root, entry.config)
    if standing.state not in (DONE_BEFORE, FAILED_BEFORE):
        return False
    path = run_path(root, entry.config)
    try:
        imported = import_run(store, path, parents, options.register)
    except (FolderInUseError, OSError, ValueError) as error:
        logger.warning("%s could not be told: %s", path, " ".join(str(error).split()))
        return False
    is_old = entry.state == DONE_BEFORE
    state = FAILED if standing.state == FAILED_BEFORE else DONE_BEFORE if is_old else FINISHED
    ledger.hear(
        News(
            identity=identity,
            state=state,
            run_id=imported.run_id,
            nmse=standing.nmse,
            unregistered=imported.unregistered,
        )
    )
    return True
