"""A trained model as a folder that MLflow can load and serve, without pickle.

It holds the model's files, the code to run them (a copy of this package, with
``served_model.py`` as the way in), a signature, an example and the exact requirements.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from torch import Tensor

from looped import tasks
from looped.config import TrainConfig
from looped.draws import Draws
from looped.records.files import copy_package
from looped.records.model_files import TAIL_WEIGHTS, files_of
from looped.sizes import ModelConfig

INSIDE = "artifacts"
"""Where in the folder MLflow puts the model's files."""

NEEDS = ("mlflow", "torch", "numpy", "safetensors", "jaxtyping")


def save_for_serving(path: Path, folder: Path, config: TrainConfig, run_id: str) -> None:
    """Make the folder.

    Args:
        path: the folder to make.
        folder: where ``records.model_files.save_model`` put the model.
        config: what was trained; ``n_loops`` is its ``b`` unless a call says otherwise.
        run_id: the run that trained it.
    """
    shape, names = config.model_config, files_of(folder)
    xs, ys = _example(config)
    with tempfile.TemporaryDirectory() as temporary, quietly():
        mlflow.pyfunc.save_model(
            path,
            python_model=Path(__file__).with_name("served_model.py"),
            artifacts={name: str(folder / name) for name in names},
            code_paths=[str(copy_package(Path(temporary)))],
            mlflow_model=Model(artifact_path=path.name, run_id=run_id),
            signature=_signature(shape, config.b, TAIL_WEIGHTS in names),
            input_example=({"xs": xs.numpy(), "ys": ys.numpy()}, {"n_loops": config.b}),
            # without torch's local part, as in 2.11.0+cpu, which no index has
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in NEEDS],
        )


def _example(config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Draw a prompt of the task, or, where that is not here, numbers of a prompt's shape."""
    n_points, task = config.model_config.n_points, config.task_config
    if task.lack:
        draws = Draws(0, 0, False, "cpu")
        return draws.normal(1, n_points, task.n_dims), draws.normal(1, n_points)
    return tasks.from_config(task).batch(0, 0, 1, n_points)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep MLflow's progress bars, and its account of each step, off the terminal."""
    name, logger = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", logging.getLogger("mlflow.pyfunc")
    before, level = os.environ.get(name), logger.level
    os.environ[name] = "false"
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _signature(shape: ModelConfig, b: int, has_tail: bool) -> ModelSignature:
    real = np.dtype(np.float32)
    is_joint = shape.prompt == "joint"  # the other takes prompts of fewer points too
    choice = [ParamSpec("weights", DataType.string, "last")]
    n_points, n_queries = (shape.n_points, 1) if is_joint else (-1, -1)
    return ModelSignature(
        inputs=Schema(
            [
                TensorSpec(real, (-1, n_points, shape.n_dims), "xs"),
                TensorSpec(real, (-1, n_points), "ys"),
            ]
        ),
        outputs=Schema([TensorSpec(real, (-1, -1, n_queries))]),
        params=ParamSchema([ParamSpec("n_loops", DataType.long, b), *choice[: int(has_tail)]]),
    )
