"""Where the trainings of a grid stand before it begins: in the store, or on disk."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from looped.config import TrainConfig
from looped.grid.records.standing import TO_DO, Standing, standing_on_disk
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
