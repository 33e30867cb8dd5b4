"""Tells MLflow of what a table of losses tells."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from mlflow import entities
from mlflow.entities import RunTag
from mlflow.tracking import MlflowClient

from analysis.loss_tables.laws import TableFit
from analysis.publish import law_registry
from analysis.publish.answers_log import law_metrics, law_params
from analysis.scaling.fit import ScalingFit
from looped.names import Kind, Param, Tag
from looped.rules import digest
from looped.tracking.runs import log_in_batches


def conversion_text(table_fit: TableFit) -> str:
    """Write how losses became bits, as JSON, for whoever loads the law."""
    return json.dumps(asdict(table_fit.conversion))


def log_table_fit(
    client: MlflowClient,
    run_id: str,
    table_fit: TableFit,
    options: Mapping[str, object],
    folder: Path,
    time_ms: int,
) -> None:
    """Log what a table tells to a run, as the law of runs is logged.

    Args:
        client: of the store.
        run_id: the run of the fit.
        table_fit: what it tells.
        options: how it was asked for; logged as ``fit.<name>``.
        folder: from ``loss_tables.written.write``; becomes the artifacts ``scaling/``.
        time_ms: milliseconds since 1970.
    """
    fit = table_fit.fit
    tags = {Tag.KIND: Kind.FIT, Tag.TASK: f"table {table_fit.name}"}
    params = {Param.FIT + name: value for name, value in options.items()}
    note = f"{table_fit.account}.\n\nThe whole: `scaling/fit.txt`."
    if isinstance(fit, ScalingFit):
        formula = fit.best.sized_form.form.formula
        tags |= {Tag.FORM: fit.best_form, Tag.STATUS: fit.status.name}
        params |= law_params(fit)
        note = f"**{formula}** ({fit.best_form}, {fit.status.name})\n\n{fit.verdict}\n\n{note}"
    client.log_batch(
        run_id, params=[entities.Param(name, str(value)) for name, value in params.items()]
    )
    finite_metrics = [
        entities.Metric(name, value, time_ms, 0)
        for name, value in law_metrics(fit, table_fit.joint).items()
        if math.isfinite(value)
    ]
    run_tags = [RunTag(name, value) for name, value in (tags | {Tag.NOTE: note}).items()]
    log_in_batches(client, run_id, finite_metrics, run_tags)
    client.log_artifacts(run_id, str(folder), "scaling")


def register_table_law(
    client: MlflowClient, run_id: str, table_fit: TableFit
) -> tuple[str, str, str]:
    """Register the law of a table under a name of its own; return it, its version and its standing.

    Laws of losses that became bits in other ways do not compare.
    """
    assert isinstance(table_fit.fit, ScalingFit)
    name = law_registry.table_law_name(table_fit.name)
    columns = {"value": table_fit.table.columns["value"]}
    tags = {
        Tag.TASK: f"table {table_fit.name}",
        Tag.RECIPE: digest(asdict(table_fit.conversion) | columns),
    }
    version, standing = law_registry.register(
        client, run_id, table_fit.fit, name, tags, table_fit.account, conversion_text(table_fit)
    )
    return name, str(version.version), standing
