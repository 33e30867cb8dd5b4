"""Fitted laws in MLflow's registry, without pickle.

The alias ``champion`` of each registered law points to the version with the lowest held-out error.
Laws are compared on the cells that both leave out, against what the newer one has measured there.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from analysis.publish.law_packaging import ARTIFACT, save_for_serving
from analysis.scaling.fit import ScalingFit
from looped.names import Tag, Weights
from looped.tracking.experiments import listed, said_close
from looped.tracking.presence import one_at_a_time
from looped.tracking.stores.store import reason_of
from looped.tracking.ui.descriptions import create_if_missing

NAME = "looped-scaling-law"
TABLE_NAME = "looped-table-law"
"""What the names of laws of others' tables begin with: never one of the laws of our runs."""
ALIAS = "champion"
REGISTERED = "models:/"
MOST_LAWS = 1000
HELD_OUT = "held_out.csv"
LONGEST_DESCRIPTION = 4000
DESCRIPTION = """\
The scaling function E_LM = b(E_M) of looped transformers: what a model that applies its blocks b \
times reaches, in bits, from what it reaches at b = 1. `predict` takes a table with the columns \
`size` (or `E_M`) and `b`, and gives `E_LM` with its interval.

Each version is one fit; `champion` is the one with the lowest error on cells that were left out.
"""
LEAST_FALL = 1e-4
"""In bits: two fits of the same runs by other versions of a library differ by less."""


class LawRegistryError(RuntimeError):
    """MLflow did not register a law."""


def registered_name(task: str, prompt: str) -> str:
    """Name the registered law of a problem: ``looped-scaling-law`` for the default one.

    Args:
        task: with those of its settings that are not the defaults, as ``linear n_dims=10``.
        prompt: ``joint`` or ``interleaved``.
    """
    words = [] if task == "linear" else [task.replace(" ", "-").replace("=", "")]
    return "-".join([NAME, *words, *([] if prompt == "joint" else [prompt])])


def table_law_name(table: str) -> str:
    """Name the registered law of a table, by its file's name without the ending.

    Example:
        >>> table_law_name("my losses.csv")
        'looped-table-law-my-losses'
    """
    return f"{TABLE_NAME}-{re.sub('[^A-Za-z0-9]+', '-', Path(table).stem).strip('-') or 'table'}"


def choose_law(client: MlflowClient, uri: str | None, store: str) -> str:
    """Return the URI of a registered law: the one asked for, or the only one that there is.

    Args:
        client: of the store to look in.
        uri: as ``models:/looped-scaling-law@champion`` or ``runs:/<id>/law``; None for no choice.
        store: its name, for messages.

    Raises:
        ValueError: there is no such law, none at all, or there are several to choose from.
    """
    if uri is not None and not uri.startswith(REGISTERED):
        return uri
    models = client.search_registered_models(f"name LIKE '{NAME}%'", max_results=MOST_LAWS)
    laws = sorted(model.name for model in models)
    if uri is not None:
        name = re.split("[/@]", uri.removeprefix(REGISTERED))[0]
        if name in laws or not name.startswith(NAME):
            return uri
        raise ValueError(f"law must be registered in {store}, got {uri}{said_close(name, laws)}")
    if not laws:
        raise ValueError(f"a law must be registered (fit_scaling does it), got none in {store}")
    uris = [_leading_uri(client, name) for name in laws]
    if len(uris) > 1:
        raise ValueError(
            f"one of several laws must be chosen, got none of {listed(uris)} ({store})"
        )
    return uris[0]


def _leading_uri(client: MlflowClient, name: str) -> str:
    if _leader(client, name) is not None:
        return f"{REGISTERED}{name}@{ALIAS}"
    versions = client.search_model_versions(f"name='{name}'")
    newest = max((int(version.version) for version in versions), default=1)
    return f"{REGISTERED}{name}/{newest}"


def register(
    client: MlflowClient,
    run_id: str,
    fit: ScalingFit,
    name: str,
    task_and_recipe: Mapping[str, str],
    account: str = "",
    conversion: str = "",
) -> tuple[ModelVersion, str]:
    """Register a law and let ``champion`` point to it if it predicts held-out cells better.

    Args:
        client: of the store that holds the run.
        run_id: the run of the fit.
        fit: the law.
        name: of the registered law.
        task_and_recipe: ``task``, ``recipe`` and ``weights``; laws of other recipes, or of the E
            of other weights, do not compare.
        account: which runs it was fitted to, in words; kept in the version's metadata.
        conversion: as for ``save_for_serving``.

    Returns:
        The version, and in a line what became of the alias.

    Raises:
        LawRegistryError: MLflow cannot be reached or refuses.
    """
    try:
        return _register(client, run_id, fit, name, task_and_recipe, account, conversion)
    except Exception as error:  # a store of artifacts raises errors of its own
        raise LawRegistryError(
            f"the law of run {run_id} must be registered as {name} (the same command fits and "
            f"registers it again), got: {reason_of(error)}"
        ) from error


def _register(
    client: MlflowClient,
    run_id: str,
    fit: ScalingFit,
    name: str,
    task_and_recipe: Mapping[str, str],
    account: str,
    conversion: str,
) -> tuple[ModelVersion, str]:
    held_out = fit.held_out
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / ARTIFACT
        save_for_serving(path, fit, run_id, account, conversion)
        held_out.to_csv(path / HELD_OUT, index=False)
        client.log_artifacts(run_id, str(path), ARTIFACT)
    create_if_missing(client, name, DESCRIPTION)
    source = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACT}"
    tags = {**task_and_recipe, Tag.FORM: fit.best_form, Tag.STATUS: fit.status.name}
    formula = f"`{fit.best.sized_form.form.formula}` ({fit.best_form}, {fit.status.name})"
    text = "\n\n".join(filter(None, (formula, account)))[:LONGEST_DESCRIPTION]
    new_version = client.create_model_version(
        name, source, run_id, tags, description=text, await_creation_for=0
    )
    with one_at_a_time(client, name):
        outcome = _let_the_better_lead(client, new_version, held_out, task_and_recipe)
    return new_version, outcome


def _let_the_better_lead(
    client: MlflowClient,
    new_version: ModelVersion,
    held_out: pd.DataFrame,
    task_and_recipe: Mapping[str, str],
) -> str:
    """Move the alias if the new version predicts better than the one that it points to.

    One process of a machine does so at a time. Another machine may move it while the two are
    compared: then the new version is compared with that one.
    """
    name = new_version.name
    while True:
        leader = _leader(client, name)
        leads, outcome = _judge(client, new_version, leader, held_out, task_and_recipe)
        if _leader(client, name) != leader:
            continue
        if leads:
            client.set_registered_model_alias(name, ALIAS, new_version.version)
        return outcome


def _leader(client: MlflowClient, name: str) -> str | None:
    version = client.get_registered_model(name).aliases.get(ALIAS)
    return None if version is None else str(version)


def _judge(
    client: MlflowClient,
    new_version: ModelVersion,
    leader: str | None,
    held_out: pd.DataFrame,
    task_and_recipe: Mapping[str, str],
) -> tuple[bool, str]:
    """Tell whether a version is to lead, and in a line why."""
    if leader is None:
        return True, f"{ALIAS} is version {new_version.version}, the first"
    try:
        leading_version = client.get_model_version(new_version.name, leader)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return True, f"{ALIAS} is version {new_version.version}: version {leader} is deleted"
    leading_recipe = leading_version.tags.get(Tag.RECIPE)
    if leading_recipe != task_and_recipe["recipe"]:
        return False, (
            f"{ALIAS} stays version {leader}, whose recipe {leading_recipe} does not compare; "
            "delete the alias to begin anew"
        )
    weights_of_both = [
        tags.get(Tag.WEIGHTS, Weights.LAST) for tags in (leading_version.tags, task_and_recipe)
    ]
    if weights_of_both[0] != weights_of_both[1]:
        return False, (
            f"{ALIAS} stays version {leader}, whose E is of weights={weights_of_both[0]} and does "
            "not compare; delete the alias to begin anew"
        )
    try:
        leader_held_out = _held_out_of(client, leading_version)
    except (MlflowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        return False, f"{ALIAS} stays version {leader}, whose {HELD_OUT} cannot be read: {reason}"
    return _judge_by_cells(new_version, leader, held_out, leader_held_out)


def _judge_by_cells(
    new_version: ModelVersion, leader: str, held_out: pd.DataFrame, leader_held_out: pd.DataFrame
) -> tuple[bool, str]:
    errors = compare_on_same_cells(held_out, leader_held_out)
    if errors is None:
        return False, f"{ALIAS} stays version {leader}: no cell was held out from both"
    new_error, leader_error, cells = errors
    comparison = (
        f"held-out error {new_error:.4g} against {leader_error:.4g} bits on the same {cells} cells"
    )
    if new_error < leader_error - LEAST_FALL:
        return True, f"{ALIAS} moves from version {leader} to {new_version.version}: {comparison}"
    return False, f"{ALIAS} stays version {leader}: {comparison}"


def _held_out_of(client: MlflowClient, version: ModelVersion) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as temporary:
        file = client.download_artifacts(str(version.run_id), f"{ARTIFACT}/{HELD_OUT}", temporary)
        return pd.read_csv(file)


def compare_on_same_cells(
    held_out: pd.DataFrame, leader_held_out: pd.DataFrame
) -> tuple[float, float, int] | None:
    """Compare two laws by what they say of cells left out of both.

    Args:
        held_out: ``ScalingFit.held_out`` of the newer law, whose measurements are the truth.
        leader_held_out: the same of the other.

    Returns:
        Root mean squared errors in bits, and the number of cells; None if there is no such cell.
    """
    keys = ["left_out", "size", "b"]
    merged_cells = held_out.merge(leader_held_out, on=keys, suffixes=("", "_leader")).dropna()
    if merged_cells.empty:
        return None
    errors = [
        merged_cells[name] - merged_cells["measured"] for name in ("predicted", "predicted_leader")
    ]
    first, second = (float((error**2).mean() ** 0.5) for error in errors)
    return first, second, len(merged_cells)
