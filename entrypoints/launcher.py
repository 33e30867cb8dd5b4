"""What a command that reads a store shares with ``mlflow run``, which may have started it."""

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def current_experiment(client: "MlflowClient") -> str:
    """Find the experiment to work in."""
    from looped import store_access

    return store_access.current_experiment(client)


def fail_launcher(client: "MlflowClient", reason: str) -> None:
    """Leave the reason on the run that ``mlflow run`` made; MLflow ends it itself."""
    from mlflow.exceptions import MlflowException

    launched = os.environ.get("MLFLOW_RUN_ID")
    if launched:
        try:
            client.set_tag(launched, "looped.reason", reason)
        except MlflowException:
            logging.getLogger("looped").info("run %s cannot be told", launched)
