"""Where a command that only reads looks: in the experiment it was told, or the only one there is.

Nothing is made on the way: neither a store whose path is mistyped nor an experiment whose name
is. MLflow itself makes an experiment of any name that ``mlflow run --experiment-name`` is given,
before our command begins: one that is refused here is taken back.
"""

import difflib
import os
from collections.abc import Sequence
from typing import NamedTuple

import mlflow
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.names import Kind, Variable
from looped.rules import without_passwords
from looped.tracking.dead_runs import mark_dead_runs
from looped.tracking.presence import launched_run
from looped.tracking.runs import end_run, of_kind
from looped.tracking.stores.embedded import database_of
from looped.tracking.stores.store import Store, open_store, reachable

DEFAULT_ID = "0"
"""Of the experiment that MLflow works in where none is named."""
MADE_WITHIN_MS = 30_000
"""``mlflow run`` makes an experiment and its run at once; on a busy machine in so many ms."""
MOST_NAMED = 20


class Reading(NamedTuple):
    """A store to read from, and a line that says where in it; empty where that was told."""

    store: Store
    remark: str


def open_to_read(name: str | None = None) -> Reading:
    """Open the store that MLflow is set to, in the experiment whose trainings are to be read.

    That is the one that is named here, by ``mlflow run`` or by MLflow's variables; where none is
    named, the only one that holds finished trainings.

    Args:
        name: of the experiment, or its id.

    Raises:
        ValueError: there is no such store or experiment, or there are several to choose from.
        TrackingError: MLflow cannot be reached.
    """
    _require_store()
    remarks: list[str] = []

    def find(client: MlflowClient) -> str:
        try:
            experiment, remark = _find(client, name)
        except ValueError as refusal:
            _fail_launched(client, str(refusal))
            raise
        remarks.append(remark)
        return str(experiment.experiment_id)

    store = open_store(find)
    _end_dead_commands(store)
    return Reading(store, remarks[-1])


def open_by_reference() -> Store:
    """Open the store for what names a run or a model, wherever in it that is; nothing is made.

    Raises:
        ValueError: there is no such store.
        TrackingError: MLflow cannot be reached.
    """
    _require_store()
    return open_store(_anywhere)


def store_name() -> str:
    """Return the URI of the store that MLflow is set to, without a password."""
    return without_passwords(str(mlflow.get_tracking_uri()))


def said_close(came: str, names: Sequence[str]) -> str:
    """Write which name was meant, perhaps, and otherwise those there are.

    Example:
        >>> said_close("quick-studdy", ["quick-study", "mine"])
        ' (did you mean quick-study?)'
        >>> said_close("x", ["quick-study", "mine"])
        ' (there are quick-study, mine)'
    """
    close_names = difflib.get_close_matches(came, names, n=1)
    if close_names:
        return f" (did you mean {close_names[0]}?)"
    return f" (there are {listed(names)})" if names else ""


def listed(names: Sequence[str]) -> str:
    """Write names with commas, and how many more there are."""
    n_more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {n_more:,} more" if n_more > 0 else "")


def _require_store() -> None:
    """Require a store in files to be there: to open one makes it."""
    uri = str(mlflow.get_tracking_uri())
    path = database_of(uri)
    if path is None or path.exists():
        return
    other_names = sorted(
        each.name for each in path.parent.glob(f"*{path.suffix}") if each.is_file()
    )
    close_name = said_close(path.name, other_names)
    advice = "" if close_name else "; train first, or set MLFLOW_TRACKING_URI to the store"
    raise ValueError(
        f"the store must be there to be read from, got {without_passwords(uri)}, which is no file"
        f"{close_name}{advice}"
    )


def _anywhere(client: MlflowClient) -> str:
    run_id = launched_run()
    return DEFAULT_ID if run_id is None else str(client.get_run(run_id).info.experiment_id)


def _find(client: MlflowClient, name: str | None) -> tuple[Experiment, str]:
    """Find the experiment to read; say which, where it was not told."""
    run_id = launched_run()
    launched = None if run_id is None else client.get_run(run_id)
    told_id = None
    if launched is not None and launched.info.experiment_id != DEFAULT_ID:
        told_id = str(launched.info.experiment_id)
    elif launched is None:
        name = name or os.environ.get(Variable.EXPERIMENT_NAME)
        told_id = os.environ.get(Variable.EXPERIMENT_ID)
    if name is None and told_id is None:
        return _the_only_one(client, is_launched=launched is not None)
    experiment = _with_id(client, str(told_id)) if name is None else _named(client, name)
    if experiment is not None and _holds_trainings(client, experiment):
        return experiment, ""
    full_names = [each.name for each in _full_experiments(client)]
    if experiment is not None and not full_names:
        return experiment, ""  # whoever reads says what is missing
    came = name or (str(told_id) if experiment is None else experiment.name)
    raise ValueError(
        f"experiment must be one of {store_name()} that has trainings, "
        f"got {came}{said_close(came, full_names)}"
    )


def _the_only_one(client: MlflowClient, is_launched: bool) -> tuple[Experiment, str]:
    """Take the only experiment with finished trainings; say which, unless it is the default."""
    default, full = client.get_experiment(DEFAULT_ID), _full_experiments(client)
    if not full:
        return default, f"{store_name()} holds no finished trainings"
    further_names = [each.name for each in full if each.experiment_id != DEFAULT_ID]
    has_default = len(further_names) < len(full)
    if len(full) == 1:
        remark = f"experiment: {full[0].name}, the only one with finished trainings in"
        return full[0], "" if has_default else f"{remark} {store_name()}"
    if is_launched and has_default:
        # which `mlflow run --experiment-name Default` leads to as well
        remark = f"experiment: {default.name} (trainings of {store_name()} are in"
        return default, f"{remark} {listed(further_names)} too: experiment=<name> reads another)"
    raise ValueError(
        "one of several experiments with finished trainings must be chosen, by experiment=<name> "
        f"or --experiment-name, got none of {listed([each.name for each in full])} "
        f"(in {store_name()})"
    )


def _full_experiments(client: MlflowClient) -> list[Experiment]:
    """List the experiments that hold finished trainings."""
    return [each for each in _experiments(client) if _holds_trainings(client, each, "FINISHED")]


def _experiments(client: MlflowClient) -> list[Experiment]:
    page = client.search_experiments()
    experiments = list(page)
    while page.token:
        page = client.search_experiments(page_token=page.token)
        experiments += page
    return experiments


def _holds_trainings(client: MlflowClient, experiment: Experiment, status: str = "") -> bool:
    query = of_kind(Kind.TRAINING) + (f" and attributes.status = '{status}'" if status else "")
    return bool(client.search_runs([experiment.experiment_id], query, max_results=1))


def _named(client: MlflowClient, name: str) -> Experiment | None:
    """Find an experiment that is not deleted by its name, or else by its id."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return _with_id(client, name)
    return experiment if experiment.lifecycle_stage == "active" else None


def _with_id(client: MlflowClient, experiment_id: str) -> Experiment | None:
    try:
        experiment = client.get_experiment(experiment_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return experiment if experiment.lifecycle_stage == "active" else None


def _fail_launched(client: MlflowClient, reason: str) -> None:
    """End the run of ``mlflow run``; take back the experiment that it made for this run alone.

    The experiment goes to the trash, and its name is free again.
    """
    run_id = launched_run()
    if run_id is None:
        return
    end_run(client, run_id, "FAILED", reason)
    run = client.get_run(run_id)
    experiment = client.get_experiment(run.info.experiment_id)
    n_runs = len(client.search_runs([experiment.experiment_id], "", ViewType.ALL, 2))
    age = run.info.start_time - (experiment.creation_time or 0)
    is_empty = n_runs == 1 and not experiment.tags
    if experiment.experiment_id != DEFAULT_ID and is_empty and 0 <= age <= MADE_WITHIN_MS:
        freed_name = f"{experiment.name} (never used, {experiment.experiment_id})"
        client.rename_experiment(experiment.experiment_id, freed_name)
        client.delete_experiment(experiment.experiment_id)
        client.restore_run(run_id)  # within it: `mlflow run` ends the run once more


def _end_dead_commands(store: Store) -> None:
    """End what earlier commands left RUNNING where ``mlflow run`` began them."""
    run_id = launched_run()
    if run_id is None:
        return
    with reachable():
        launched_in = str(store.client.get_run(run_id).info.experiment_id)
        if launched_in != store.experiment_id:
            mark_dead_runs(store.client, launched_in)
