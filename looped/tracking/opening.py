"""The MLflow run of a training: begun and introduced, or found again."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from mlflow import entities
from mlflow.entities import RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.names import Kind, Param, Tag
from looped.records import journal
from looped.records.folder import RunFolder, lock_owner
from looped.records.journal import TrackingError
from looped.titles import title_of
from looped.tracking.dead_runs import DIED, end_lost_runs, is_failed_by_launcher
from looped.tracking.launcher import begin_run, run_to_take
from looped.tracking.presence import launched_run
from looped.tracking.runs import end_run, find_run
from looped.tracking.stores.artifacts import require_writable
from looped.tracking.stores.store import Store, open_store, reachable, reason_of
from looped.tracking.told import recorded_end, told_of
from looped.tracking.tracker import Tracker
from looped.tracking.ui.experiment import prepare_experiment
from looped.tracking.ui.introduction import (
    metrics_to_compare,
    params_to_compare,
    say_dataset,
    source_tags,
)


def open_run(config: TrainConfig, folder: RunFolder, parent: str | None = None) -> Tracker:
    """Begin to tell MLflow about a run that trains now.

    The run is the one that ``mlflow run`` made, or a new one; a training that had finished when
    its process died, before it said so, keeps the run it had. Earlier runs of this folder whose
    process died are ended as its journal says.

    Args:
        config: resolved configuration.
        folder: of the run; it knows the run's origin.
        parent: id of the run to nest it under, which makes it a new one.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    client, experiment_id = store = open_store()
    earlier_ids = {*told_of(folder.path), *_signed_untold(client, config, folder)}
    with reachable():
        require_writable(client, experiment_id)
        to_take = None if parent else run_to_take(client, {Tag.IDENTITY: config.identity})
        is_launched = to_take is not None
        kept_id = None if is_launched else _finished_untold(client, folder)
        run_id = kept_id or begin_run(
            client,
            experiment_id,
            title_of(config),
            may_take_launched=is_launched,
            within=None if is_launched or parent else launched_run(),
        )
        try:
            _introduce(
                store,
                run_id,
                config,
                folder,
                parent,
                is_new=kept_id is None,
                is_launched=is_launched,
            )
            _end_earlier(store, earlier_ids - {run_id}, folder)
            return Tracker(store, run_id, folder)
        except BaseException as error:
            with suppress(MlflowException):
                end_run(client, run_id, "FAILED", reason_of(error) or repr(error))
            if isinstance(error, OSError):
                raise TrackingError(f"a run's folder must be writable, got {error}") from error
            raise


def reopen_run(
    store: Store, config: TrainConfig, folder: RunFolder, parent: str | None = None
) -> Tracker:
    """Prepare to tell MLflow, later, about a run whose process has left.

    The run is the one that the same process told while it could, or a new one that begins
    when the process began.

    Args:
        store: to tell.
        config: resolved configuration.
        folder: of the run.
        parent: id of the run to nest a new one under.
    """
    client, experiment_id = store
    run_id = _known_run(client, folder)
    if run_id is None:
        records, _ = journal.read(folder.journal_path)
        starts = [record["time"] for record in records if record["kind"] == "start"]
        run_id = begin_run(
            client,
            experiment_id,
            title_of(config),
            started=starts[-1] if starts else None,
            may_take_launched=False,
        )
        _introduce(store, run_id, config, folder, parent, trains_here=False)
    return Tracker(store, run_id, folder, follows=False)


def _known_run(client: MlflowClient, folder: RunFolder) -> str | None:
    """Find the run of this store that stands for the newest process, if there is one."""
    for run_id, progress in told_of(folder.path).items():
        records, _ = journal.read(folder.journal_path, progress.get("opened", 0))
        starts = sum(record["kind"] == "start" for record in records)
        if starts <= 1 and find_run(client, run_id):
            return run_id
    return None


def _finished_untold(client: MlflowClient, folder: RunFolder) -> str | None:
    """Find the run that has not ended well although its process wrote that the training has."""
    for run_id in told_of(folder.path):
        end = recorded_end(folder.path, run_id)
        if end is not None and end["status"] == "FINISHED":
            run = find_run(client, run_id)
            if run is not None and run.info.status in ("RUNNING", "FAILED"):
                return run_id
    return None


def _signed_untold(client: MlflowClient, config: TrainConfig, folder: RunFolder) -> list[str]:
    """Find the run of a process that was killed after it had signed the lock, before it told."""
    run_id = lock_owner(folder.path)
    run = find_run(client, run_id) if run_id else None
    is_ours = run is not None and run.data.tags.get(Tag.IDENTITY) == config.identity
    return [run_id] if is_ours else []


def _end_earlier(store: Store, run_ids: Iterable[str], folder: RunFolder) -> None:
    """Give the runs of earlier processes the end that the journal says; tell what finished."""
    for run_id in run_ids:
        run = find_run(store.client, run_id)
        status = "" if run is None else run.info.status
        is_wrong = status == "FAILED" and run and is_failed_by_launcher(run, folder.path)
        if status != "RUNNING" and not is_wrong:
            continue
        end = recorded_end(folder.path, run_id)
        if end is not None and end["status"] == "FINISHED":
            tracker = Tracker(store, run_id, folder, follows=False)
            tracker.tell_end("FINISHED", end["reason"], end_time=end["time"])
        elif status == "RUNNING":
            end_lost_runs(store.client, [run_id], folder.path)
        elif end is None:
            end_run(store.client, run_id, "KILLED", DIED)
        else:
            end_run(store.client, run_id, end["status"], end["reason"], end["time"])


def _introduce(
    store: Store,
    run_id: str,
    config: TrainConfig,
    folder: RunFolder,
    parent: str | None,
    *,
    is_new: bool = True,
    is_launched: bool = False,
    trains_here: bool = True,
) -> None:
    """Say what a run is: its tags, who holds its folder, and the parameters of a new one.

    Args:
        store: that holds it.
        run_id: the run.
        config: resolved configuration.
        folder: of the run.
        parent: id of the run to nest it under.
        is_new: whether nothing was told of it before.
        is_launched: whether ``mlflow run`` made it, which has logged parameters of its own.
        trains_here: whether this process trains it.
    """
    client = store.client
    folder.sign_lock(run_id)
    tags: dict[str, Any] = {
        Tag.NAME: title_of(config),
        Tag.SIZE: config.size,
        Tag.B: config.b,
        Tag.SEED: config.seed,
        Tag.TASK: config.task_config.word,
        Tag.RECIPE: config.recipe_identity,
        Tag.IDENTITY: config.identity,
        Tag.KIND: Kind.TRAINING,
        Tag.FOLDER: folder.path.resolve(),
        **folder.origin.tags,
    }
    if parent is not None:
        tags[Tag.PARENT] = parent
    if is_new and not is_launched:
        command = "train" if folder.origin.grid is None else "grid"
        tags |= source_tags(command, folder.origin.commit, trains_here)
    shape = config.model_config
    params = {Param.RESOLVED + name: value for name, value in asdict(config).items()} | {
        Param.N_PARAMS: shape.n_params(),
        Param.N_PARAMS_WITHOUT_POSITIONS: shape.n_params(position_embedding=False),
        Param.FLOPS_PER_STEP: config.step_flops,
        **params_to_compare(config),
    }
    if is_launched:  # what was logged stays as it was given: 5.0 is not 5 to MLflow
        given_params = client.get_run(run_id).data.params
        params = {name: value for name, value in params.items() if name not in given_params}
    client.log_batch(
        run_id,
        metrics=list(metrics_to_compare(config)) if is_new else [],
        tags=[RunTag(name, str(value)) for name, value in tags.items()],
        params=[entities.Param(name, str(value)) for name, value in params.items() if is_new],
    )
    if is_new:
        say_dataset(client, run_id, config)
    prepare_experiment(store)
