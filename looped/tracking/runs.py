"""Runs in an MLflow store: listed, found, written to, ended; see ``dead_runs`` for the last."""

import re
from collections.abc import Iterator, Mapping, Sequence

from mlflow.entities import Metric, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.names import Kind, Tag
from looped.rules import without_passwords
from looped.tracking.stores import bulk, metric_rows

PAGE = 1000
"""Runs that one call returns."""
_REFERENCE = re.compile(r"(?:runs:/)?(\w+)(?:/model)?|models:/([^/@:]+)(?:/(\d+)|@([^/@]+))")


class UnknownModelError(LookupError):
    """There is no trained model under the name that was given."""


def of_kind(kind: str) -> str:
    """Write the part of a query that asks for runs of a kind; see ``names.Kind``."""
    return f"tags.`{Tag.KIND}` = '{kind}'"


def list_runs(
    client: MlflowClient, experiment_id: str, query: str, view: int = ViewType.ACTIVE_ONLY
) -> Iterator[Run]:
    """Yield every run that a query finds, the first begun first, page by page."""
    order = ["attributes.start_time ASC"]
    page = client.search_runs([experiment_id], query, view, PAGE, order)
    yield from page
    while page.token:
        page = client.search_runs([experiment_id], query, view, PAGE, order, page.token)
        yield from page


def list_trainings(
    client: MlflowClient,
    experiment_id: str,
    status: str = "FINISHED",
    further: str = "",
    view: int = ViewType.ACTIVE_ONLY,
    is_wanted: bulk.IsWanted = bulk.wants_all,
    only_tags: Sequence[str] | None = None,
) -> Iterator[Run]:
    """List the training runs of a status that no later run supersedes, the first begun first.

    Args:
        client: of the store.
        experiment_id: where to look.
        status: FINISHED, FAILED, KILLED or RUNNING.
        further: another condition, as MLflow writes it.
        view: active runs, deleted ones or both.
        is_wanted: chooses among them by their tags, before the rest of them is read.
        only_tags: names of tags that are enough, so that a database is asked for no other, nor
            for parameters and metrics; a server gives all of them in any case.
    """

    def is_listed(tags: Mapping[str, str]) -> bool:
        return Tag.SUPERSEDED_BY not in tags and is_wanted(tags)

    conditions = [f"attributes.status = '{status}'", of_kind(Kind.TRAINING), further]
    query = " and ".join(filter(None, conditions))
    engine = None if further else bulk.engine_of(client)
    if engine is None:
        runs = list_runs(client, experiment_id, query, view)
        return (run for run in runs if is_listed(run.data.tags))
    tag = Tag.KIND, Kind.TRAINING
    names = None if only_tags is None else [*only_tags, Tag.SUPERSEDED_BY]
    return bulk.runs_of(engine, experiment_id, status, tag, view, is_listed, names)


def find_run(client: MlflowClient, run_id: str) -> Run | None:
    """Return a run that is there and not deleted."""
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def end_run(
    client: MlflowClient, run_id: str, status: str, reason: str, end_time: int | None = None
) -> None:
    """Give a run its final status, and the reason as a tag."""
    client.set_tag(run_id, Tag.REASON, reason)
    client.set_terminated(run_id, status, end_time)


BATCH = 1000  # the most metrics that one call may carry


def log_in_batches(
    client: MlflowClient, run_id: str, metrics: Sequence[Metric], tags: Sequence[RunTag]
) -> None:
    """Log any number of metrics, then tags."""
    if metrics and metric_rows.takes_rows(client):
        metric_rows.put(client, run_id, metrics)
    else:
        for start in range(0, len(metrics), BATCH):
            client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    if tags:
        client.log_batch(run_id, tags=tags)


def run_of(client: MlflowClient, reference: str) -> str:
    """Find the training run that a model came from.

    Args:
        client: of the store to look in.
        reference: the id of a run, ``runs:/<id>/model``, ``models:/<name>/<version>`` or
            ``models:/<name>@<alias>``.

    Raises:
        UnknownModelError: the store holds no such run or model.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise UnknownModelError(
            "a model must be given as a run's id, runs:/<run id>/model, "
            f"models:/<name>/<version> or models:/<name>@<alias>, got {reference}"
        )
    run_id, name, number, alias = match.groups()
    try:
        if number:
            run_id = client.get_model_version(name, number).run_id
        elif alias:
            run_id = client.get_model_version_by_alias(name, alias).run_id
        return str(client.get_run(run_id).info.run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise UnknownModelError(
            f"a {'model' if name else 'run'} must be one that "
            f"{without_passwords(client.tracking_uri)} holds, got {reference}"
        ) from error
