"""Many runs of a store that is a database, in a few queries for hundreds of them.

MLflow's own calls make objects of every row (7 ms a run), and ask for one curve at a time (5 ms and
more). What is returned here is the same; a server is asked through MLflow, as its calls allow.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from mlflow.entities import (
    LifecycleStage,
    Metric,
    Param,
    Run,
    RunData,
    RunInfo,
    RunTag,
)
from mlflow.store.tracking.dbmodels.models import (
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME
from sqlalchemy import Connection, Engine, select

AT_ONCE = 500
"""Runs of one query."""
CURVES_AT_ONCE = 100
"""Runs whose curves one query reads: PostgreSQL then sorts them in the memory it has for that."""

Curve = dict[int, float]
IsWanted = Callable[[Mapping[str, str]], bool]
"""Chooses a run by its tags."""
Item = TypeVar("Item")


def wants_all(_: Mapping[str, str]) -> bool:
    """Choose every run."""
    return True


def engine_of(client: MlflowClient) -> Engine | None:
    """Return the way to the database of a client's store; None where a server keeps it."""
    engine = getattr(client._tracking_client.store, "engine", None)
    return engine if isinstance(engine, Engine) else None


def in_chunks(items: Iterable[Item], most: int = AT_ONCE) -> Iterator[list[Item]]:
    """Yield items in lists of so many, the last as long as it comes.

    Example:
        >>> list(in_chunks("abc", 2))
        [['a', 'b'], ['c']]
    """
    iterator = iter(items)
    while chunk := list(islice(iterator, most)):
        yield chunk


def runs_of(
    engine: Engine,
    experiment_id: str,
    status: str,
    tag: tuple[str, str],
    view: int,
    is_wanted: IsWanted = wants_all,
    only_tags: Sequence[str] | None = None,
) -> Iterator[Run]:
    """Yield the runs of a status that have a tag, the first begun first, as MLflow would.

    Args:
        engine: of the database.
        experiment_id: where to look.
        status: of the runs.
        tag: name and value.
        view: active runs, deleted ones or both.
        is_wanted: chooses among them by their tags; the rest is read of those alone.
        only_tags: names of tags that are read, and no parameter or metric; None: all there is.
    """
    stages = LifecycleStage.view_type_to_stages(view)
    runs = (
        select(SqlRun.__table__)
        .join(SqlTag, SqlTag.run_uuid == SqlRun.run_uuid)
        .where(SqlRun.experiment_id == int(experiment_id), SqlRun.status == status)
        .where(SqlTag.key == tag[0], SqlTag.value == tag[1])
        .where(SqlRun.lifecycle_stage.in_(stages))
        .order_by(SqlRun.start_time, SqlRun.run_uuid)
    )
    with engine.connect() as connection:
        rows = connection.execute(runs).mappings().all()
        for chunk in in_chunks(rows):
            tags = _of_runs(connection, SqlTag, [row["run_uuid"] for row in chunk], only_tags)
            wanted_rows = [
                row
                for row in chunk
                if is_wanted({each.key: each.value for each in tags[row["run_uuid"]]})
            ]
            if not wanted_rows:
                continue
            wanted_ids = [row["run_uuid"] for row in wanted_rows]
            metrics, params = (
                _of_runs(connection, model, wanted_ids if only_tags is None else [])
                for model in (SqlLatestMetric, SqlParam)
            )
            for row in wanted_rows:
                run_id = row["run_uuid"]
                yield _run(row, metrics.get(run_id, []), params.get(run_id, []), tags[run_id])


def params_of(engine: Engine, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read the parameters of many runs, by run; one that has none is left out."""
    with engine.connect() as connection:
        return {
            run_id: {param.key: param.value for param in params}
            for chunk in in_chunks(run_ids)
            for run_id, params in _of_runs(connection, SqlParam, chunk).items()
            if params
        }


def curves_of(
    engine: Engine, run_ids: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, Curve]]:
    """Read metrics of many runs: the newest value at each step, by run, name and rising step.

    Args:
        engine: of the database.
        run_ids: of the runs.
        names: of the metrics; those that a run lacks are empty.
    """
    curves: dict[str, dict[str, Curve]] = {
        run_id: {name: {} for name in names} for run_id in run_ids
    }
    columns = (SqlMetric.run_uuid, SqlMetric.key, SqlMetric.step, SqlMetric.value, SqlMetric.is_nan)
    with engine.connect() as connection:
        for chunk in in_chunks(run_ids, CURVES_AT_ONCE):
            samples: Any = (
                select(*columns)
                .where(SqlMetric.run_uuid.in_(chunk), SqlMetric.key.in_(names))
                .order_by(SqlMetric.step, SqlMetric.timestamp, SqlMetric.value)
            )
            for run_id, name, step, value, is_nan in connection.execute(samples):
                curves[run_id][name][step] = math.nan if is_nan else value
    return curves


def _of_runs(
    connection: Connection, model: Any, run_ids: Sequence[str], names: Sequence[str] | None = None
) -> dict[str, list[Any]]:
    """Read what a table holds of runs, or of it what has these names, as MLflow's entities."""
    is_metric = model is SqlLatestMetric
    columns = [model.run_uuid, model.key, model.value]
    if is_metric:
        columns += [model.timestamp, model.step, model.is_nan]
    entities: dict[str, list[Any]] = {run_id: [] for run_id in run_ids}
    if not run_ids:
        return entities
    rows = select(*columns).where(model.run_uuid.in_(run_ids))
    for run_id, *fields in connection.execute(
        rows if names is None else rows.where(model.key.in_(names))
    ):
        if is_metric:
            key, value, timestamp, step, is_nan = fields
            entity: Any = Metric(key, math.nan if is_nan else value, timestamp, step)
        else:
            entity = (RunTag if model is SqlTag else Param)(*fields)
        entities[run_id].append(entity)
    return entities


def _run(row: Any, metrics: list[Metric], params: list[Param], tags: list[RunTag]) -> Run:
    names = ("user_id", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri")
    info = RunInfo(
        run_id=row["run_uuid"],
        run_name=row["name"] or {tag.key: tag.value for tag in tags}.get(MLFLOW_RUN_NAME),
        experiment_id=str(row["experiment_id"]),
        **{name: row[name] for name in names},
    )
    return Run(info, RunData(metrics, params, tags))
