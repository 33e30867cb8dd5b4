"""Metrics put into an embedded database as rows, all of them in one statement.

MLflow's own ``log_batch`` makes an object of every value, which takes eight times as long as
storing it. The tables come out the same, and what MLflow refuses it refuses here: its own rules
are asked. A server, and any other database, is told through MLflow.
"""

import math
from collections.abc import Sequence
from typing import Any

from mlflow.entities import Metric
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric
from mlflow.tracking import MlflowClient
from mlflow.tracking.fluent import get_active_model_id
from mlflow.utils.validation import _validate_metric
from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.orm import Session

from looped.tracking.stores.bulk import engine_of

AT_ONCE = 10_000
"""Rows of one transaction, during which no other process can write."""

Row = dict[str, Any]


def takes_rows(client: MlflowClient) -> bool:
    """Tell whether a client's store is an embedded database that rows may be put into.

    It is not where a model of MLflow's is active, which the metrics would belong to as well.
    """
    engine = engine_of(client)
    is_embedded = engine is not None and engine.dialect.name == "sqlite"
    return is_embedded and get_active_model_id() is None


def put(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    """Log metrics as MLflow does, so many at once in a transaction.

    Args:
        client: of an embedded database, see ``takes_rows``.
        run_id: the run.
        metrics: any number; those that the run has already change nothing.

    Raises:
        MlflowException: the run is not there, or a metric is not one.
    """
    store: Any = client._tracking_client.store
    rows = [_row(run_id, metric) for metric in metrics]
    for start in range(0, len(rows), AT_ONCE):
        chunk = rows[start : start + AT_ONCE]
        with store.ManagedSessionMaker(read_only=False) as session:
            store._check_run_is_active(store._get_run(run_uuid=run_id, session=session))
            # first, since it keeps other writers out while the newest values are compared
            session.execute(insert(SqlMetric.__table__).on_conflict_do_nothing(), chunk)
            _renew_latest(session, run_id, chunk)


def _row(run_id: str, metric: Metric) -> Row:
    value = metric.value if type(metric.value) is float else float(metric.value)
    _validate_metric(metric.key, value, metric.timestamp, metric.step)  # type: ignore[no-untyped-call]
    is_nan = math.isnan(value)
    most = 1.7976931348623157e308  # which stands for what is infinite, as SQL has no such number
    return {
        "run_uuid": run_id,
        "key": metric.key,
        "value": 0.0 if is_nan else min(max(value, -most), most),
        "timestamp": metric.timestamp,
        "step": metric.step,
        "is_nan": is_nan,
    }


def _renew_latest(session: Session, run_id: str, rows: Sequence[Row]) -> None:
    """Keep of each metric the value of the highest step, and of that the newest."""
    newest: dict[str, Row] = {}
    for row in rows:
        before = newest.get(row["key"])
        if before is None or _age(row) > _age(before):
            newest[row["key"]] = row
    table = SqlLatestMetric.__table__
    columns = (table.c.key, table.c.step, table.c.timestamp, table.c.value)
    kept_rows = session.execute(select(*columns).where(table.c.run_uuid == run_id))
    age_kept = {key: tuple(age) for key, *age in kept_rows}
    newer = [row for key, row in newest.items() if key not in age_kept or _age(row) > age_kept[key]]
    if newer:
        command = insert(table)
        changes = {
            name: command.excluded[name] for name in ("value", "timestamp", "step", "is_nan")
        }
        keys = [table.c.key, table.c.run_uuid]
        session.execute(command.on_conflict_do_update(index_elements=keys, set_=changes), newer)


def _age(row: Row) -> tuple[int, int, float]:
    return row["step"], row["timestamp"], row["value"]
