"""Which engine trains a grid, and whether its workers reach the store."""

from typing import TYPE_CHECKING

from looped.grid.engines.engine import Engine
from looped.grid.engines.local_engine import LocalEngine
from looped.grid.options import GridOptions
from looped.rules import require

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store


def make_engine(options: GridOptions) -> Engine:
    """Make the engine that was asked for; those of several machines are extras.

    Raises:
        ValueError: what it needs is not installed, or is not there.
    """
    if options.engine == "local":
        return LocalEngine(options)
    if options.engine == "slurm":
        try:
            from looped.grid.engines.slurm_engine import SlurmEngine
        except ImportError as error:
            raise ValueError(f"engine=slurm needs submitit (make slurm), got {error}") from None
        return SlurmEngine(options)
    try:
        from looped.grid.engines.ray_engine import RayEngine
    except ImportError as error:
        raise ValueError(f"engine=ray needs Ray (make ray), got {error}") from None
    return RayEngine(options)


def is_of_one_machine(store: "Store") -> bool:
    """Tell whether a store is a file, which other machines must not write."""
    uri = store.client.tracking_uri
    return uri.partition(":")[0].partition("+")[0] in ("sqlite", "file") or ":" not in uri


def require_reachable(engine: str, store: "Store") -> None:
    """Require a store that the workers of an engine can tell.

    Slurm's jobs need none: for a store in a file, the command that submits them tells it.
    """
    rule = "engine=ray must log to a server that every node reaches (MLFLOW_TRACKING_URI)"
    require(engine != "ray" or not is_of_one_machine(store), rule, store.client.tracking_uri)
