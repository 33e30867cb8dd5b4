import gc
import os
import shutil
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from pkgutil import walk_packages

import jaxtyping
import pytest
from hypothesis import settings
from type_checks import check_nested_functions_a_few_times

# Problems here are small: a second thread costs more than it gives. Child processes inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

# Where there is no GPU, Triton runs its kernels in an interpreter; it asks when it is imported.
if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"

# As in the commands: Python's search for unused objects takes a fifth of what loading takes.
gc.set_threshold(10_000)

NOT_PYTHON = "looped.kernels.gpu.block"

check_nested_functions_a_few_times()

# Before anything imports looped: under pytest beartype checks what its signatures promise, but
# for the kernels' language, which is not Python. A lent GPU's machine may lack beartype.
with suppress(ModuleNotFoundError):
    import beartype  # noqa: F401

    jaxtyping.install_import_hook(
        [
            module.name
            for module in walk_packages(["looped"], "looped.")
            if not module.ispkg and module.name != NOT_PYTHON
        ],
        "beartype.beartype",
    )

settings.register_profile(
    "looped", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=25
)
settings.load_profile("looped")


def pytest_collection_finish():
    """Let no test search what stays to the end: some thousand tests and all that they import."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def compiled_kernels():
    """Compile the CPU's kernels before the first test: a short training would not."""
    from looped.kernels.cpu import library

    library.library()


@pytest.fixture
def drawn_pictures():
    """For a test that looks at the pictures of an evaluation."""


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch):
    """An evaluation's picture takes half a second, which is half of a small training's time."""
    if "drawn_pictures" in request.fixturenames:
        return

    def save(figure, path):
        for suffix in ("svg", "png"):
            Path(f"{path}.{suffix}").write_bytes(b"not drawn")

    monkeypatch.setattr("looped.drawing.save", save)


@pytest.fixture
def as_users_run_it(monkeypatch):
    """Without the hook's checks, which would come before the package's own."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """An MLflow database with its tables made, which takes seconds: made once, then copied.

    Which schema is the newest is looked up once too: MLflow reads 68 files for it, for each store.
    """
    from mlflow.store.db import utils
    from mlflow.tracking import MlflowClient

    utils._get_latest_schema_revision = cache(utils._get_latest_schema_revision)

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(empty_database, tmp_path, monkeypatch):
    """A client of an MLflow store of the test's own, which child processes use as well."""
    from mlflow.tracking import MlflowClient

    shutil.copy(empty_database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri)
    artifacts = (tmp_path / "artifacts").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", client.create_experiment("test", artifacts))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return client


@pytest.fixture(scope="session")
def planted_database(empty_database, tmp_path_factory):
    """An MLflow database with the runs of a planted law, and their experiment; made once."""
    import planted_study
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("planted")
    shutil.copy(empty_database, folder / "mlflow.db")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment_id = client.create_experiment("planted", (folder / "artifacts").as_uri())
    planted_study.log_study(client, experiment_id, planted_study.table_of_runs(noise=0.05))
    return folder / "mlflow.db", experiment_id


@pytest.fixture
def planted_store(planted_database, tmp_path, monkeypatch):
    """A client of a copy of that database, which child processes use as well."""
    from mlflow.tracking import MlflowClient

    database, experiment_id = planted_database
    shutil.copy(database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment_id)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return MlflowClient(uri)


@pytest.fixture
def call(monkeypatch, capsys):
    """Run a command in this process; return its exit code and what it said, or complained."""

    def call(command, *argv):
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["command", *argv])
        try:
            code = command.main()
        except SystemExit as refusal:
            code = refusal.code
        output = capsys.readouterr()
        return code, (output.err if code else output.out).splitlines()

    return call
