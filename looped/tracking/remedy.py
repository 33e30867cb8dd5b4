"""What can be done about trainings that a store does not hold."""

import shlex
from pathlib import Path

from looped.tracking.store import Store


def import_command(store: Store, root: str | Path) -> str:
    """Write the command that tells a store of the trainings whose folders are in ``root``.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    words = ["mlflow", "run", ".", "-e", "import_runs", "-P", f"path={root}"]
    name = str(store.client.get_experiment(store.experiment_id).name)
    if name != "Default":  # where mlflow run would tell it otherwise
        words += ["--experiment-name", name]
    return shlex.join(words)
