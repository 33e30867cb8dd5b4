"""What a grid says it trained is counted in the store before it is said."""

import os
import time
from dataclasses import replace

import pytest
from child_processes import ChildProcesses, finish
from small_trainings import TINY

from entrypoints import import_runs
from looped.grid import runner
from looped.grid.options import GridOptions, RunOptions
from looped.grid.records import known_runs
from looped.grid.records.ledger import KILLED, News
from looped.grid.run_trainings import Nest, run_trainings
from looped.grid.stopping import StopRequest
from looped.records.folder import FolderLock, run_path
from looped.tracking import registry
from looped.training import resolve
from looped.training.watcher import Watcher

CONFIGS = [replace(TINY, seed=seed, device="cpu") for seed in (1, 2)]


class Here:
    """An engine that trains in this process; then something befalls what it trained."""

    def __init__(self, options, store, befall):
        self._options, self._store, self._befall = options, store, befall

    def resolve(self, configs):
        return [resolve.resolve(config) for config in configs]

    def groups(self, configs, replicas):
        return [[config] for config in configs]

    def is_under_way(self, folder, configs):
        return False

    def threads(self, groups):
        return 1

    def at_once(self, groups, n_threads):
        return 1

    def run(self, groups, work, store, desk, n_threads, after):
        for group in groups:
            work(group, desk.hear, lambda: False)
        self._befall(desk)


class NeverStops(StopRequest):
    """Leaves the signals to pytest."""

    def listen(self):
        pass


@pytest.fixture
def grid(store, tmp_path, monkeypatch):
    """Runs the grid of two trainings; returns its exit code."""

    def grid(befall, **options):
        def make(grid_options):
            return Here(grid_options, store, befall)

        monkeypatch.setattr(runner, "make_engine", make)
        settings = {"runs_dir": str(tmp_path / "runs"), "evaluate": False, "register": False}
        run_options = RunOptions(**settings | options)
        return runner.GridRunner(CONFIGS, {"seeds": "1,2"}, GridOptions(), run_options).run(
            NeverStops(has_launcher=False)
        )

    return grid


def trainings(store, status="FINISHED"):
    query = f"tags.`looped.kind` = 'training' and attributes.status = '{status}'"
    return store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)


def the_grid(store):
    query = "tags.`looped.kind` = 'grid'"
    return store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)[0]


def path_of(tmp_path, config):
    return run_path(tmp_path / "runs", resolve.resolve(config))


def test_what_a_neighbour_killed_after_its_end_is_told_again(grid, store, capsys):
    def kill_one(_):
        store.set_terminated(trainings(store)[0].info.run_id, "KILLED")

    assert grid(kill_one) == 0
    assert len(trainings(store)) == 2
    assert capsys.readouterr().out.splitlines()[-1] == "2 trainings: 2 finished now"
    note = the_grid(store).data.tags["mlflow.note.content"]
    assert "a finished run for 2 of the 2 trainings" in note
    assert "2 trainings: 2 finished now" in note


def test_what_cannot_be_told_is_the_last_line_and_no_success(grid, store, tmp_path, capsys):
    locks = []

    def kill_one_whose_folder_is_in_use(_):
        store.set_terminated(trainings(store)[0].info.run_id, "KILLED")
        locks.extend(FolderLock(path_of(tmp_path, config)) for config in CONFIGS)

    assert grid(kill_one_whose_folder_is_in_use) == 1
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == "2 trainings: 1 finished now, 1 untold"
    last = output.err.splitlines()[-1]
    assert last == (
        "MLflow holds 1 of the 2 trainings that are done: mlflow run . -e import_runs "
        f"-P path={tmp_path / 'runs'} --experiment-name test tells it the others"
    )
    assert the_grid(store).info.status == "FAILED"
    assert "1 of the 2 trainings" in the_grid(store).data.tags["mlflow.note.content"]
    for lock in locks:
        lock.close()
    assert grid(lambda _: None) == 0  # the same command tells it too
    assert len(trainings(store)) == 2


@pytest.mark.parametrize("is_told_by_the_grid", [False, True])
def test_models_that_are_refused_are_the_last_line_and_no_success(
    grid, store, capsys, monkeypatch, is_told_by_the_grid
):
    """Whether their trainings were told by the workers, or at the end by the grid."""

    def kill_all(_):
        for run in trainings(store):
            store.set_terminated(run.info.run_id, "KILLED")

    def refuse(client, run_id, folder, config, nmse):
        raise registry.RegistryError(f"{config.name} is another's")

    monkeypatch.setattr(registry, "register", refuse)
    assert grid(kill_all if is_told_by_the_grid else lambda _: None, register=True) == 1
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == "2 trainings: 2 finished now"
    assert output.err.splitlines()[-1].startswith(
        "2 models of trainings that finished could not be registered: mlflow run . -e import_runs "
    )
    assert output.err.splitlines()[-1].endswith("; the first: tiny-b2-s1 is another's")
    assert the_grid(store).info.status == "FINISHED"
    assert len(trainings(store)) == 2


def test_the_command_that_it_names_tells_the_others(grid, store, tmp_path, call):
    locks = []

    def befall(_):
        for run in trainings(store):
            store.set_terminated(run.info.run_id, "KILLED")
        locks.extend(FolderLock(path_of(tmp_path, config)) for config in CONFIGS)

    assert grid(befall) == 1
    for lock in locks:
        lock.close()
    assert call(import_runs, "--path", str(tmp_path / "runs"))[0] == 0
    assert len(trainings(store)) == 2
    assert trainings(store, "KILLED") == []


def test_a_run_that_is_gone_with_its_journal_is_to_do_and_trained_by_the_same_command(
    grid, store, tmp_path, capsys
):
    def lose_one(_):
        store.delete_run(trainings(store)[0].info.run_id)
        for config in CONFIGS:
            path = path_of(tmp_path, config)
            path.rename(path.with_name(f"{path.name}.lost"))

    assert grid(lose_one) == 1
    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == "2 trainings: 1 finished now, 1 to do"
    assert output.err.splitlines()[-1].endswith("the same command trains them")
    assert grid(lambda _: None) == 0
    assert len(trainings(store)) == 2


def test_a_store_that_cannot_be_asked_at_the_end_is_said(grid, monkeypatch, capsys):
    from mlflow.exceptions import MlflowException

    def go_away(_):
        def refuse(*_):
            raise MlflowException("connection\nrefused")

        monkeypatch.setattr(known_runs, "finished_runs", refuse)

    assert grid(go_away) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("MLflow may not hold all of it (connection refused): mlflow run . -e ")


def test_a_worker_that_died_after_the_end_of_its_journal_has_finished(grid, store, capsys):
    def die_as_it_tells(desk):
        (identity, *_) = desk.ledger.entries
        desk.hear(News(identity=identity, state=KILLED, reason="its worker died of SIGKILL"))
        for run in trainings(store):
            store.set_terminated(run.info.run_id, "KILLED")

    assert grid(die_as_it_tells) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 trainings: 2 finished now"
    assert len(trainings(store)) == 2


def test_offline_the_journals_are_asked(grid, store, tmp_path, capsys):
    def lose_one(_):
        path = path_of(tmp_path, CONFIGS[0])
        path.rename(path.with_name(f"{path.name}.lost"))

    assert grid(lose_one, tracking="offline") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 trainings: 1 finished now, 1 to do"


@pytest.mark.slow
def test_a_neighbour_that_kills_in_the_midst_of_a_real_grid_takes_nothing(store, tmp_path):
    settings = {
        "sizes": "tiny", "bs": "1,2", "seeds": "1", "n_dims": 2, "n_examples": 5, "batch_size": 4,
        "steps": 60, "device": "cpu", "evaluate": "false", "register": "false", "workers": 1,
    }  # fmt: skip
    grids = ChildProcesses(store, tmp_path / "runs", "grid", settings)
    process = grids.start()
    victims = []
    deadline = time.monotonic() + 180
    while not victims:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        victims = grids.runs("training", "FINISHED")
        time.sleep(0.05)
    store.set_terminated(victims[0].info.run_id, "KILLED")
    output, code = finish(process)
    assert code == 0, output
    assert output.splitlines()[-1] == "2 trainings: 2 finished now"
    assert len(grids.runs("training", "FINISHED")) == 2
    assert "the store lacked it, and was told again" in output


def test_a_finished_training_whose_run_is_gone_is_told_by_the_next_grid(grid, store, tmp_path):
    options = RunOptions(runs_dir=str(tmp_path / "runs"), evaluate=False, register=False)
    for config in CONFIGS:
        run_trainings([resolve.resolve(config)], options, Watcher(), Nest())
    victim = trainings(store)[0]
    store.delete_run(victim.info.run_id)
    assert grid(lambda _: None) == 0
    identities = {run.data.tags["identity"] for run in trainings(store)}
    assert identities == {resolve.resolve(config).identity for config in CONFIGS}
