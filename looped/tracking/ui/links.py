"""Addresses of the UI's pages that open on what is meant, for the end of a command.

MLflow opens an experiment on another kind of page, for prompts and traces, unless the address
says ``workflowType=machine_learning``.
"""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote as shell
from urllib.parse import quote, urlencode, urlsplit

import mlflow
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri

from looped.rules import without_passwords
from looped.tracking.stores.store import Store
from looped.tracking.ui.views import CELLS, TRAININGS, View

UI = "http://127.0.0.1:5000"
"""Where ``mlflow ui`` shows an embedded database."""

PAGE = "report.html"
_WORKFLOW = {"workflowType": "machine_learning"}


def to_run(experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page.

    Example:
        >>> mlflow.set_tracking_uri("http://tracking:5000")
        >>> to_run("1", "3f")
        'http://tracking:5000/#/experiments/1/runs/3f?workflowType=machine_learning'
    """
    return f"{_server()}/#/experiments/{experiment_id}/runs/{run_id}?{urlencode(_WORKFLOW)}"


def to_artifact(experiment_id: str, run_id: str, artifact: str) -> str:
    """Return the address of a run's page that shows one of its files."""
    page = f"experiments/{experiment_id}/runs/{run_id}/artifacts/{quote(artifact)}"
    return f"{_server()}/#/{page}?{urlencode(_WORKFLOW)}"


def to_view(experiment_id: str, view: View) -> str:
    """Return the address of an experiment's saved view; see ``views``."""
    words = _WORKFLOW | {"viewStateShareKey": view.key}
    if view.charts:
        words["compareRunsMode"] = "CHART"
    return f"{_server()}/#/experiments/{experiment_id}/runs?{urlencode(words)}"


def to_model(name: str, version: str) -> str:
    """Return the address of a version in the registry."""
    place = f"models/{quote(name)}/versions/{version}"
    return f"{_server()}/#/{place}?{urlencode(_WORKFLOW)}"


def to_file(client: MlflowClient, run_id: str, artifact: str) -> str | None:
    """Return the ``file://`` address of an artifact; None where it does not lie on this machine."""
    uri = f"{client.get_run(run_id).info.artifact_uri}/{artifact}"
    if not is_local_uri(uri):  # type: ignore[no-untyped-call]
        return None
    path = Path(local_file_uri_to_path(uri)).absolute()  # type: ignore[no-untyped-call]
    return path.as_uri() if path.exists() else None


def of_training(store: Store, run_id: str) -> dict[str, str]:
    """Return what to look at after a training, by what it is."""
    return {
        "this run": to_run(store.experiment_id, run_id),
        TRAININGS.title: to_view(store.experiment_id, TRAININGS),
    }


def of_grid(store: Store, run_id: str | None) -> dict[str, str]:
    """Return what to look at after a grid, by what it is."""
    links = {view.title: to_view(store.experiment_id, view) for view in (CELLS, TRAININGS)}
    return links if run_id is None else links | {"the grid": to_run(store.experiment_id, run_id)}


def of_law(store: Store, run_id: str, version: tuple[str, str] | None = None) -> dict[str, str]:
    """Return what to look at after a fit, by what it is.

    Args:
        store: that holds it.
        run_id: of the fit.
        version: name and number of the registered law, where it was registered.
    """
    place = (store.experiment_id, run_id)
    links = {"the law": to_run(*place), "its figure": to_artifact(*place, "scaling/law.png")}
    return links if version is None else links | {"in the registry": to_model(*version)}


def of_report(store: Store, run_id: str, folder: Path | None = None) -> dict[str, str]:
    """Return what to look at after a report, by what it is.

    Args:
        store: that holds it.
        run_id: of the report.
        folder: where its files were written as well.
    """
    page = to_file(store.client, run_id, f"report/{PAGE}")
    if folder is not None:
        page = (folder.absolute() / PAGE).as_uri()
    links = {} if page is None else {"the page": page}
    return {
        **links,
        "the report": to_run(store.experiment_id, run_id),
        CELLS.title: to_view(store.experiment_id, CELLS),
    }


def written(links: Mapping[str, str]) -> str:
    """Write links as lines, headed by how to open them where no server runs.

    Args:
        links: by what each leads to.
    """
    uri = without_passwords(str(mlflow.get_tracking_uri()))
    is_served = uri.startswith(("http:", "https:"))
    start = "" if is_served else f", once `mlflow ui --backend-store-uri {shell(uri)}` runs"
    return "\n".join([f"look at it{start}:", *(f"  {name}: {to}" for name, to in links.items())])


def _server() -> str:
    """Return the address of the server, without what it asks for to let somebody in."""
    parts = urlsplit(str(mlflow.get_tracking_uri()))
    if parts.scheme not in ("http", "https"):
        return UI
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
