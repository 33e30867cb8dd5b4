"""What reads a store asks it no more often for many trainings than for few."""

import shutil
from dataclasses import replace

import planted_study
import pytest
from mlflow.tracking import MlflowClient
from planted_study import table_of_runs
from sqlalchemy import event

from analysis.runs import load, untold
from analysis.runs.pilots import find_pilot
from looped.config import TrainConfig
from looped.grid.records.known_runs import standings_in_store
from looped.tracking.runs import list_trainings
from looped.tracking.stores.bulk import engine_of
from looped.tracking.stores.store import Store
from looped.tracking.ui.cells import summarise_cells

FEW, MANY = 2, 6
"""Seeds of each of the four cells."""


@pytest.fixture(scope="module")
def database(empty_database, tmp_path_factory):
    """A database with an experiment of few trainings and one of many."""
    path = tmp_path_factory.mktemp("lists") / "mlflow.db"
    shutil.copy(empty_database, path)
    client = MlflowClient(f"sqlite:///{path}")
    for n_seeds in (FEW, MANY):
        experiment_id = client.create_experiment(str(n_seeds))
        table = table_of_runs(
            e_m={"tiny": 1.85, "small": 2.9}, bs=(1, 5), seeds=tuple(range(n_seeds))
        )
        for row in table.to_dict("records"):
            config = TrainConfig(size=row["size"], b=int(row["b"]), seed=row["seed"])
            planted_study.log_training(
                client, experiment_id, config, row["expressivity"], tail_bits=1.5, n_loops=8
            )
    return path


def trainings(store, root):
    return list(list_trainings(*store))


def runs_with_curves(store, root):
    return load.read_runs(*store, with_training=True)


def runs_of_a_law(store, root):
    """All that ``fit_scaling`` reads: the mean of the last weights and the curves as well."""
    runs = load.read_runs(*store)
    untold.shortfall(store, runs, str(root))
    load.bayes_nmse(*store, runs)
    load.kept_rules(store.client, runs)
    return load.with_curves(store.client, load.with_tails(store.client, runs))


def plan_of_a_grid(store, root):
    """All that a dry run reads: what is finished or failed, and a pilot."""
    config = TrainConfig(device="cpu")
    configs = [
        replace(config, size=size, b=b, seed=seed).resolved("cpu", "fp32")
        for size in ("tiny", "small")
        for b in (1, 5)
        for seed in range(2 * MANY)
    ]
    runs, place = find_pilot(configs, store, root, root)
    assert place == "the store" and runs
    return [each for each in standings_in_store(store, configs, root).values() if each.run_id]


@pytest.mark.parametrize("ask", [trainings, runs_with_curves, runs_of_a_law, plan_of_a_grid])
def test_many_trainings_take_as_many_queries_as_few(database, tmp_path, ask):
    client = MlflowClient(f"sqlite:///{database}")
    counts = {}
    for n_seeds in (FEW, MANY):
        store = Store(client, client.get_experiment_by_name(str(n_seeds)).experiment_id)
        with counted_queries(client) as queries:
            assert len(ask(store, tmp_path)) == 4 * n_seeds
        counts[n_seeds] = len(queries)
    assert counts[MANY] == counts[FEW] > 0


def test_cells_of_many_seeds_are_summarised_with_as_many_queries_as_of_few(database, tmp_path):
    path = tmp_path / "mlflow.db"
    shutil.copy(database, path)
    client, counts = MlflowClient(f"sqlite:///{path}"), {}
    for n_seeds in (FEW, MANY):
        store = Store(client, client.get_experiment_by_name(str(n_seeds)).experiment_id)
        with counted_queries(client) as queries:
            assert summarise_cells(store) == 4
        counts[n_seeds] = len(queries)
    assert counts[MANY] == counts[FEW] > 0


class counted_queries:  # noqa: N801
    """Collect the statements that a client's database is sent."""

    def __init__(self, client):
        self.engine, self.statements = engine_of(client), []

    def hear(self, connection, cursor, statement, *further):
        if statement.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE")):
            self.statements.append(statement)

    def __enter__(self):
        event.listen(self.engine, "before_cursor_execute", self.hear)
        return self.statements

    def __exit__(self, *exception):
        event.remove(self.engine, "before_cursor_execute", self.hear)
