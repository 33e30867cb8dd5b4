"""What a command that reads a store shares with ``mlflow run``, which may have started it."""

import logging
import os

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.fluent import set_experiment


def fail_launcher(client: MlflowClient, reason: str) -> None:
    """Leave the reason on the run that ``mlflow run`` made; MLflow ends it itself."""
    launched = os.environ.get("MLFLOW_RUN_ID")
    if launched:
        try:
            client.set_tag(launched, "looped.reason", reason)
        except MlflowException:
            logging.getLogger("looped").info("run %s cannot be told", launched)


def note_on_launcher(client: MlflowClient, name: str, note: str) -> None:
    """Name the run that ``mlflow run`` made for this process, if it did, and say what came."""
    launched = os.environ.get("MLFLOW_RUN_ID")
    if launched:
        client.update_run(launched, name=name)
        client.set_tag(launched, "mlflow.note.content", note)


def current_experiment(client: MlflowClient) -> str:
    """Find the experiment to work in: that of ``mlflow run``, the named one, or the default."""
    launched = os.environ.get("MLFLOW_RUN_ID")
    if launched:
        return str(client.get_run(launched).info.experiment_id)
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if name:
        return str(set_experiment(name).experiment_id)
    return os.environ.get("MLFLOW_EXPERIMENT_ID", "0")
