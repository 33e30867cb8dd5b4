import shutil

import pytest

from analysis.publish import law_registry
from analysis.scaling.example import example_fit
from looped import LoopedTransformer, TrainConfig
from looped.records.model_files import save_model
from looped.tracking import registry


@pytest.fixture(scope="session")
def database_with_names(empty_database, tmp_path_factory):
    """A database with an untrained model and a law under the names that the pages have."""
    from mlflow.tracking import MlflowClient

    folder = tmp_path_factory.mktemp("registered")
    shutil.copy(empty_database, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        client = MlflowClient()
        experiment_id = client.create_experiment("pages", (folder / "artifacts").as_uri())
        run_id = client.create_run(experiment_id).info.run_id
        config = TrainConfig(size="tiny")
        model = LoopedTransformer.from_config(config.model_config)
        save_model(folder / "model", model, {"b": 5}, tail_model=model)
        registry.register(client, run_id, folder / "model", config, 0.5)
        names = {"task": "linear", "recipe": "r"}
        law_registry.register(client, run_id, example_fit(), law_registry.NAME, names)
    return uri


@pytest.fixture
def store_with_names(database_with_names, monkeypatch):
    """The store in which what a page runs finds what it names."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database_with_names)
