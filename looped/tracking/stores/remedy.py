"""What can be done about what a store does not hold, or holds wrongly: commands to give."""

import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from looped.names import Variable

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store


def import_command(store: "Store", root: str | Path) -> str:
    """Write the command that tells a store of the trainings whose folders are in ``root``.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    words = ["mlflow", "run", ".", "-e", "import_runs", "-P", f"path={root}"]
    name = str(store.client.get_experiment(store.experiment_id).name)
    if name != "Default":  # where mlflow run would tell it otherwise
        words += ["--experiment-name", name]
    return shlex.join(words)


def relocate_command(database: Path) -> str:
    """Write the command that lets an embedded store say where its artifacts are now.

    It is given where ``mlflow run`` was, beside the database or not.
    """
    is_here = database.absolute().parent == Path.cwd() or Variable.RUN_ID not in os.environ
    is_checkout = Path.cwd().is_relative_to(Path(tempfile.gettempdir()).resolve())
    project = "." if is_here else "<the same project>" if is_checkout else shlex.quote(os.getcwd())
    command = f"mlflow run {project} -e relocate"
    return command if "CONDA_PREFIX" in os.environ else f"{command} --env-manager local"
