"""What a logged training holds, read back: what was trained, and its curves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from looped.choices import BEFORE_SETTINGS
from looped.config import TrainConfig
from looped.names import Param
from looped.tracking.stores import bulk


def config_of(params: Mapping[str, str]) -> TrainConfig:
    """Read what was trained from the parameters ``resolved.*``; older runs may lack some.

    Raises:
        ValueError: they are not those of a training.

    Example:
        >>> config_of({"resolved.size": "small", "resolved.b": "10"}).name
        'small-b10-s42'
    """
    default = asdict(TrainConfig())
    values = dict(BEFORE_SETTINGS)
    for setting in fields(TrainConfig):
        text = params.get(Param.RESOLVED + setting.name)
        if text is not None:
            values[setting.name] = _value(text, default[setting.name], str(setting.type))
    return TrainConfig(**values)


def params_of(client: MlflowClient, runs: Sequence[Run]) -> dict[str, Mapping[str, str]]:
    """Return the parameters of runs by id, those without any left out.

    A database is asked for hundreds of runs at once, and need not have been for what is listed; a
    server has given them with the list.
    """
    engine = bulk.engine_of(client)
    if engine is not None:
        return dict(bulk.params_of(engine, [run.info.run_id for run in runs]))
    return {run.info.run_id: run.data.params for run in runs if run.data.params}


def curve_of(client: MlflowClient, run_id: str, name: str) -> dict[int, float]:
    """Return a metric's newest value at each step, by rising step."""
    history = sorted(client.get_metric_history(run_id, name), key=lambda metric: metric.timestamp)
    newest = {metric.step: metric.value for metric in history}
    return dict(sorted(newest.items()))


def curves_of(
    client: MlflowClient, run_ids: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, dict[int, float]]]:
    """Return metrics of many runs as ``curve_of`` does, by run and name.

    A database is asked for hundreds of runs at once, a server for one curve at a time.
    """
    engine = bulk.engine_of(client)
    if engine is not None:
        return bulk.curves_of(engine, run_ids, names)
    return {run_id: {name: curve_of(client, run_id, name) for name in names} for run_id in run_ids}


def _value(text: str, default: Any, type_name: str) -> Any:
    """Read a setting as it was written by ``str``."""
    if text in ("None", "True", "False"):
        return {"None": None, "True": True, "False": False}[text]
    if default is not None:
        return type(default)(text)
    casts = {"int": int, "float": float}
    return next((cast for name, cast in casts.items() if name in type_name), str)(text)
