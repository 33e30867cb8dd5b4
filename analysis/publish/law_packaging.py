"""A fitted law as the folder that MLflow loads and serves, without pickle."""

import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from shutil import ignore_patterns

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from analysis.scaling.fit import ScalingFit
from analysis.scaling.law_file import LAW, save_law
from looped.records.files import copy_package

ARTIFACT = "law"
CONVERSION = "conversion"

OUTPUTS = (
    "E_LM", "lower", "upper", "least", "most", "beyond", "run_lower", "run_upper", "prompt_error",
    "caveat",
)  # fmt: skip
"""Columns of a prediction, all numbers but ``beyond``, a truth value, and ``caveat``, words."""

NEEDS = ("mlflow", "numpy", "pandas", "scipy")


def save_for_serving(
    path: Path, fit: ScalingFit, run_id: str, account: str, conversion: str = ""
) -> None:
    """Make the folder that MLflow loads and serves: ``predict`` takes a table of size or E_M, b.

    Args:
        path: of the folder.
        fit: the law.
        run_id: the run of the fit; empty where there is none.
        account: what it was fitted to, in words.
        conversion: how its losses became bits, as JSON, where they are no NMSE of ours.
    """
    package = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_law(folder, fit)
        code = folder / package.name  # the other rooms are not needed to predict
        shutil.copytree(
            package / "scaling", code / "scaling", ignore=ignore_patterns("__pycache__")
        )
        shutil.copy(package / "__init__.py", code)
        mlflow.pyfunc.save_model(
            path,
            python_model=Path(__file__).with_name("served_law.py"),
            artifacts={LAW: str(folder / LAW)},
            # of the other package only what declares settings and rules is read
            code_paths=[str(code), str(copy_package(folder))],
            metadata={"account": account} | ({CONVERSION: conversion} if conversion else {}),
            mlflow_model=Model(artifact_path=path.name, run_id=run_id or None),
            signature=_signature(),
            input_example=(
                pd.DataFrame({"size": [fit.run_table.sizes[0]], "b": [10]}),
                {"level": 0.9},
            ),
            pip_requirements=[f"{name}=={version(name)}" for name in NEEDS],
        )


def _signature() -> ModelSignature:
    real = DataType.double
    kinds = {"beyond": DataType.boolean, "caveat": DataType.string}
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.string, "size", required=False),
                ColSpec(real, "E_M", required=False),
                ColSpec(real, "E_M_se", required=False),
                ColSpec(DataType.long, "b"),
            ]
        ),
        outputs=Schema([ColSpec(kinds.get(name, real), name) for name in OUTPUTS]),
        params=ParamSchema([ParamSpec("level", DataType.double, 0.95)]),
    )
