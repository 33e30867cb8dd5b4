"""Let a store in a file say where its artifacts are, after its folder was moved or copied."""

import logging
import sys
from dataclasses import dataclass

from entrypoints.command_line import arguments, outcome, terminal
from looped.rules import setting


@dataclass(frozen=True)
class RelocateOptions:
    """Which store."""

    store: str | None = setting(None, "its URI, sqlite:///mlflow.db; auto: that MLflow is set to")


@outcome.command("relocate")
def main(result: outcome.Outcome) -> int:
    """Relocate; return the exit code."""
    (options,) = arguments.parse("relocate", __doc__, RelocateOptions)
    logging.basicConfig(format="%(message)s")
    # MLflow takes seconds to load: only once the arguments are known to be good
    import sqlite3

    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    from looped.tracking.launcher import note_on_launched
    from looped.tracking.stores import artifacts
    from looped.tracking.stores.embedded import StoreError, database_of, prepare

    uri = options.store or str(mlflow.get_tracking_uri())
    database = database_of(uri)
    if database is None or not database.is_file():
        rule = "a store must be a database in a file that is there, as sqlite:///mlflow.db"
        return arguments.complain("relocate", f"{rule}, got {uri}")
    try:
        prepare(database)
        lines = artifacts.relocate(database)
        summary = "\n".join(lines) or "every artifact root is where the store says"
        note_on_launched(MlflowClient(uri), "relocate", summary)
    except (sqlite3.Error, OSError, StoreError, MlflowException) as error:
        return arguments.complain("relocate", f"{database} must be one of MLflow's, got: {error}")
    result.tell(store=uri, changes=lines)
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
