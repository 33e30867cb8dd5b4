"""Trained models in MLflow's registry: put in, found again, loaded.

A version's files are the artifact ``model`` of the run that trained it. The alias ``best`` of
each registered model points to the version with the lowest held-out error.
"""

import logging
import tempfile
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.model import LoopedTransformer
from looped.names import Tag, Weights
from looped.plugins.reference import is_reference
from looped.records.model_files import (
    DESCRIPTION,
    FILES,
    DamagedModelError,
    load_model,
    require_choice,
)
from looped.tasks.task_config import TaskConfig
from looped.tracking.packaging import INSIDE, quietly, save_for_serving
from looped.tracking.presence import one_at_a_time
from looped.tracking.runs import UnknownModelError, run_of
from looped.tracking.stores.store import reason_of
from looped.tracking.ui.descriptions import (
    create_if_missing,
    describe_model,
    describe_version,
)

logger = logging.getLogger("looped")

ALIAS = "best"
ARTIFACT = "model"


class RegistryError(RuntimeError):
    """MLflow did not register a model."""


def registered_name(config: TrainConfig) -> str:
    """Name the registered model that a training's versions belong to.

    It is ``looped-<task>-<size>``, followed by those settings of the problem that are not the
    defaults, and ``untied`` for such a model: ``looped-linear-tiny-d2-n15-interleaved``. So errors
    under one name compare.
    """
    default = TrainConfig()
    task = config.task_config
    words = ["looped", task.word, config.size]
    prefixes = {"n_dims": "d", "n_examples": "n"}
    values = {name: getattr(config, name) for name in prefixes} | dict(task.settings)
    if task.reference is None:  # else the defaults are known where the task is, and only there
        prefixes |= {each.name: each.word for each in task.kind.settings}
    for name, value in values.items():
        if value != getattr(default, name, None):
            words.append(f"{prefixes.get(name, name)}{value:g}")
    if config.prompt != default.prompt:
        words.append(config.prompt)
    if config.is_untied:  # b times the blocks' weights
        words.append("untied")
    return "-".join(words)


def register(
    client: MlflowClient, run_id: str, folder: Path, config: TrainConfig, nmse: float
) -> ModelVersion:
    """Register a trained model, once per run, and let ``best`` point to the best version.

    Args:
        client: of the store that holds the run.
        run_id: the run that trained the model.
        folder: where ``records.model_files.save_model`` put it.
        config: what was trained.
        nmse: its held-out error.

    Raises:
        RegistryError: MLflow cannot be reached or refuses; registering again is safe.
    """
    name = registered_name(config)
    try:
        create_if_missing(client, name, describe_model(config))
        with one_at_a_time(client, f"{name}-{run_id}"):
            version = _find_or_make_version(client, name, run_id, folder, config, nmse)
        with one_at_a_time(client, name):
            _point_to_the_best(client, name)
    except Exception as error:  # a store of artifacts raises errors of its own
        raise RegistryError(
            f"run {run_id} must be registered as {name}, got: {reason_of(error)}"
        ) from error
    return version


def is_registered(client: MlflowClient, run_id: str) -> bool:
    """Tell whether a store's registry has the model of a run.

    Raises:
        RegistryError: MLflow does not say.
    """
    try:
        return bool(client.search_model_versions(f"run_id='{run_id}'", max_results=1))
    except MlflowException as error:
        rule = f"whether the model of run {run_id} is registered must be answered"
        raise RegistryError(f"{rule}, got: {reason_of(error)}") from error


def find_model_folder(
    client: MlflowClient, reference: str, into: Path, weights: str = Weights.LAST
) -> Path:
    """Download a trained model for ``records.model_files.load_model``.

    Args:
        client: of the store to look in.
        reference: as for ``runs.run_of``.
        into: a folder that exists.
        weights: which are wanted, ``last`` or ``tail``.

    Raises:
        UnknownModelError: nothing is there, it is no trained model, or it has no such weights.
    """
    run_id = run_of(client, reference)
    inside = f"{ARTIFACT}/{INSIDE}"
    file_names = {Path(file.path).name for file in client.list_artifacts(run_id, inside)}
    if DESCRIPTION not in file_names:
        run = client.get_run(run_id).info
        raise UnknownModelError(
            "a run must be a training whose model is registered, "
            f"got {reference} ({run.run_name}, {run.status})"
        )
    if FILES[weights] not in file_names:
        raise UnknownModelError(
            f"weights={weights} is for models that were trained with average={weights}, "
            f"got {reference} without them"
        )
    with quietly():
        for name in (DESCRIPTION, FILES[weights]):
            file = client.download_artifacts(run_id, f"{inside}/{name}", str(into))
    return Path(file).parent


def load(reference: str, weights: str = Weights.LAST) -> LoopedTransformer:
    """Load a trained model from the store that MLflow is set to; see ``load_with_facts``.

    Args:
        reference: the id of a run, ``runs:/<id>/model``, ``models:/<name>/<version>`` or
            ``models:/<name>@<alias>``.
        weights: ``last``, those after the last step, or ``tail``, their mean over the last tenth
            of the steps.

    Returns:
        The model, on the CPU and in evaluation mode.

    Raises:
        UnknownModelError: nothing is there, it is no trained model, or it has no such weights.
        DamagedModelError: its files are not what was saved.
        ValueError: ``weights`` is neither.

    Example:
        >>> model = load("models:/looped-linear-tiny@best")
        >>> model.config.n_dims, model.training
        (5, False)
    """
    model, facts = load_with_facts(reference, weights)
    _warn_of_missing_task(reference, facts)
    return model


def _warn_of_missing_task(reference: str, facts: dict[str, Any]) -> None:
    """Say what is not here of a model that was trained on a task of somebody's own."""
    word = str(facts.get("task", {}).get("name", ""))
    if not is_reference(word):
        return
    lack = TaskConfig(**facts["task"]).lack
    if lack:
        text = "%s predicts, but its task is not here to draw prompts from: %s"
        logger.warning(text, reference, lack)


def load_with_facts(
    reference: str, weights: str = Weights.LAST
) -> tuple[LoopedTransformer, dict[str, Any]]:
    """Load a trained model and its facts: ``b``, ``seed``, ``size``, ``task``, ...

    Args:
        reference: as for ``runs.run_of``, in the store that MLflow is set to.
        weights: see ``load``.

    Raises:
        UnknownModelError: nothing is there, it is no trained model, or it has no such weights.
        DamagedModelError: its files are not what was saved.
        ValueError: ``weights`` is neither.
    """
    require_choice(weights)
    with tempfile.TemporaryDirectory() as into:
        folder = find_model_folder(MlflowClient(), reference, Path(into), weights)
        try:
            return load_model(folder, weights)
        except DamagedModelError as error:
            raise DamagedModelError(f"{reference} is damaged: {error}") from error


def load_tail(reference: str) -> LoopedTransformer | None:
    """Load a trained model with the mean of its last weights; None where it was not kept.

    Args:
        reference: as for ``runs.run_of``, of a model that is there.

    Raises:
        DamagedModelError: its files are not what was saved.
    """
    try:
        return load_with_facts(reference, Weights.TAIL)[0]
    except UnknownModelError:
        return None


def _find_or_make_version(
    client: MlflowClient, name: str, run_id: str, folder: Path, config: TrainConfig, nmse: float
) -> ModelVersion:
    query = f"name='{name}' and run_id='{run_id}'"
    version = next(iter(client.search_model_versions(query)), None)
    if version is not None:
        return version
    source = _upload(client, run_id, folder, config)
    tags = _tags(run_id, config, nmse)
    text = describe_version(config, nmse)
    return client.create_model_version(
        name, source, run_id, tags, description=text, await_creation_for=0
    )


def _upload(client: MlflowClient, run_id: str, folder: Path, config: TrainConfig) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / ARTIFACT
        save_for_serving(path, folder, config, run_id)
        client.log_artifacts(run_id, str(path), ARTIFACT)
    return f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACT}"


def _tags(run_id: str, config: TrainConfig, nmse: float) -> dict[str, Any]:
    return {
        Tag.B: config.b,
        Tag.SEED: config.seed,
        Tag.ERROR: float(nmse),
        Tag.RUN: run_id,
        Tag.SIZE: config.size,
        Tag.TASK: config.task_config.word,
        Tag.RECIPE: config.recipe_identity,
        Tag.IDENTITY: config.identity,
    }


def _point_to_the_best(client: MlflowClient, name: str) -> None:
    """Move the alias if a version has a lower error than the one that it points to.

    One process of a machine does so at a time. Whoever moved it looks again, so that of several
    machines none leaves a worse version.
    """
    while True:
        versions = client.search_model_versions(f"name='{name}'")
        errors = {
            int(version.version): float(version.tags[Tag.ERROR])
            for version in versions
            if Tag.ERROR in version.tags
        }
        if not errors:
            return
        best = min(errors, key=lambda number: (errors[number], number))
        now = client.get_registered_model(name).aliases.get(ALIAS)
        if now is not None and errors.get(int(now), float("inf")) <= errors[best]:
            return
        try:
            client.set_registered_model_alias(name, ALIAS, str(best))
        except MlflowException:  # two processes that set it for the first time collide
            if client.get_registered_model(name).aliases.get(ALIAS) == now:
                raise
