"""What a grid finds before it begins: where its trainings stand, and what is left to do."""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from looped.config import TrainConfig
from looped.grid.lengths import in_order, plan_first_steps
from looped.grid.options import GridOptions, RunOptions
from looped.grid.records.balance import is_finished
from looped.grid.records.ledger import UNTOLD
from looped.grid.records.standing import (
    DONE_BEFORE,
    FAILED_BEFORE,
    TO_DO,
    Standing,
    standing_on_disk,
)
from looped.grid.run_trainings import is_fresh
from looped.records.folder import run_path
from looped.records.origin import Origin

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store


def standings_before(
    configs: Iterable[TrainConfig],
    store: "Store | None",
    root: Path,
    resume: str,
    origin: Origin,
) -> dict[str, Standing]:
    """Say how far each training is, by identity.

    Args:
        configs: resolved.
        store: that is asked which are finished; None asks the folder of runs alone.
        root: folder of all runs.
        resume: the setting, which may leave aside what other code trained.
        origin: of this process.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    same_code = resume == "same_code"
    if store is not None:
        from looped.grid.records.known_runs import standings_in_store
        from looped.tracking.stores.store import reachable

        with reachable():
            return standings_in_store(store, configs, root, origin.code if same_code else None)
    standings = {}
    for config in configs:
        before = Origin.read(run_path(root, config)) if same_code else None
        is_foreign = same_code and is_fresh("same_code", before, origin)
        standings[config.identity] = (
            Standing(state=TO_DO) if is_foreign else standing_on_disk(root, config)
        )
    return standings


class LeftToDo(NamedTuple):
    """What a grid has left to do.

    Attributes:
        to_train: resolved, in the order in which to begin them.
        untold: that ended while nobody listened; MLflow may lack them, and no worker is needed.
        after: by the identity of a training that of a shorter one, where whose end it begins.
    """

    to_train: list[TrainConfig]
    untold: list[TrainConfig]
    after: Mapping[str, str]


def left_to_do(
    configs: Iterable[TrainConfig],
    standings: MutableMapping[str, Standing],
    options: GridOptions,
    run_options: RunOptions,
    origin: Origin,
) -> LeftToDo:
    """Say what is left to do; write into the standings what follows from it.

    Args:
        configs: resolved.
        standings: by identity.
        options: how to work through the grid.
        run_options: how to train each.
        origin: of this process.
    """
    root = run_options.runs_folder.absolute()
    skipped = (DONE_BEFORE,) if options.retry_failed else (DONE_BEFORE, FAILED_BEFORE)
    has_jobs = options.engine == "slurm" and run_options.resume == "auto"
    to_train, untold = [], []
    for config in configs:
        if standings[config.identity].state in skipped:
            continue
        if has_jobs and is_finished(root, config):
            standing = standing_on_disk(root, config)
            standings[config.identity] = replace(standing, state=UNTOLD, step=config.steps)
            untold.append(config)
        else:
            to_train.append(config)
    after: Mapping[str, str] = {}
    if options.engine == "local" and run_options.resume != "never":
        code = origin.code if run_options.resume == "same_code" else None
        after = plan_first_steps(to_train, standings, root, code)
    return LeftToDo(in_order(to_train, after), untold, after)
