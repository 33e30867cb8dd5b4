"""What the table of runs shows of a training from its first moment: what to compare, its source."""

import getpass
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from mlflow.entities import Metric as RunMetric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.names import Metric, Param, Tag
from looped.tracking.ui.dataset import dataset_of


def params_to_compare(config: TrainConfig) -> dict[str, Any]:
    """Return ``size``, ``b``, ``seed`` and ``task``, as ``mlflow run`` names them too."""
    settings = {name: getattr(config, name) for name in (Param.SIZE, Param.B, Param.SEED)}
    return settings | {Param.TASK: config.task_config.word}


def metrics_to_compare(config: TrainConfig) -> Iterator[RunMetric]:
    """Yield b and the number of parameters: the UI sorts parameters as text, metrics as numbers."""
    now = round(time.time() * 1000)
    yield RunMetric(Metric.B, config.b, now, 0)
    yield RunMetric(Metric.N_PARAMS, config.model_config.n_params(), now, 0)


def source_tags(command: str, commit: str = "", runs_here: bool = True) -> dict[str, str]:
    """Return what ``mlflow run`` says of the runs that it makes: their source and their user.

    Args:
        command: that makes the run, as its entry point is named.
        commit: of the code; empty where it is not known.
        runs_here: whether that is this process; nobody knows the user of another.
    """
    tags = {Tag.SOURCE: f"entrypoints/{command}.py", Tag.SOURCE_TYPE: "LOCAL"}
    if commit:
        tags[Tag.SOURCE_COMMIT] = commit
    if runs_here:
        with suppress(OSError, KeyError, ImportError):  # a container's user may have no name
            tags[Tag.USER] = getpass.getuser()
    return tags


def say_dataset(client: MlflowClient, run_id: str, config: TrainConfig) -> None:
    """Tell what a training is fed; where MLflow does not take it, it trains without."""
    with suppress(MlflowException):
        client.log_inputs(run_id, [dataset_of(config)])
