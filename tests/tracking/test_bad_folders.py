"""Folders from anybody: whatever is wrong with one, it is named in a line and stops no other."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from bad_folders import DEEP, GOOD, KINDS, TINY, give, rewrite

from entrypoints import import_runs
from looped.grid.options import RunOptions
from looped.grid.records.folder import GridFolder
from looped.grid.run_trainings import Nest, run_trainings
from looped.records.folder import run_path
from looped.training import resolve
from looped.training.watcher import Watcher


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two finished trainings that no MLflow was told of; one was evaluated."""
    root = tmp_path_factory.mktemp("trained")
    for config, evaluate in ((TINY, True), (GOOD, False)):
        options = RunOptions(runs_dir=str(root), tracking="offline", evaluate=evaluate, b_max=4)
        (ending,) = run_trainings([config], options, Watcher(), Nest())
        assert ending.status == "FINISHED"
    return root


@pytest.fixture
def bad(trained, tmp_path):
    """The folder to be damaged, beside one that is as it should be."""
    shutil.copytree(trained, tmp_path / "runs")
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "secret").write_text("secret")
    return run_path(tmp_path / "runs", TINY)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_folder_is_named_and_not_told(store, call, bad, kind):
    damage, reason = KINDS[kind]
    damage(bad)
    shutil.rmtree(run_path(bad.parent, GOOD))
    code, (line,) = call(import_runs, "--path", str(bad.parent))
    assert code == 1
    assert line.startswith(f"import_runs: {bad} is left out: ")
    assert reason in line
    assert runs(store) == []
    assert_untouched(bad.parents[1] / "victim")


def test_all_bad_folders_together_stop_no_good_one(store, bad, capsys, monkeypatch):
    folders = []
    for number, (damage, _) in enumerate(KINDS.values()):
        folder = shutil.copytree(bad, bad.with_name(f"{bad.name}.{number}"))
        damage(folder)
        folders.append(folder)
    shutil.rmtree(bad)
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(bad.parent)])
    assert import_runs.main() == 1
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if "is left out" in line]
    assert sorted(line.split()[1] for line in lines) == sorted(map(str, folders))
    assert output.out.splitlines()[-1].endswith(f"; {len(KINDS)} left out")
    (run,) = runs(store)
    assert (run.info.status, run.data.tags["seed"]) == ("FINISHED", "7")
    assert_untouched(bad.parents[1] / "victim")


def tell(call, root):
    return call(import_runs, "--path", str(root), "--register", "false")


def assert_untouched(victim):
    assert (victim / "secret").read_text() == "secret"
    assert not (victim / "nothing").exists()


def test_each_bad_folder_has_one_line_and_the_summary_counts_it(store, bad, capsys, monkeypatch):
    shutil.copytree(bad, bad.with_name(f"{bad.name}.1"))
    rewrite("config.json", "")(bad)
    monkeypatch.setattr(
        "sys.argv", ["import_runs", "--path", str(bad.parent), "--register", "false"]
    )
    assert import_runs.main() == 1
    output = capsys.readouterr()
    assert len([line for line in output.err.splitlines() if "is left out" in line]) == 2
    assert "Traceback" not in output.err
    summary = output.out.splitlines()[-1]
    assert summary == "1 of 3 runs told; 0 were told before; 2 left out"


def test_what_mlflow_refuses_is_the_folders_fault_and_leaves_no_run_running(
    store, call, bad, monkeypatch
):
    """Should a rule of MLflow's come that we do not know."""
    from mlflow.exceptions import MlflowException

    from looped.tracking import tracker

    log_in_batches = tracker.log_in_batches

    def refuse(client, run_id, metrics, tags):
        if any(metric.step == 15 for metric in metrics) and seed_of(store, run_id) == "42":
            raise MlflowException.invalid_parameter_value("no 15,\nplease")
        log_in_batches(client, run_id, metrics, tags)

    with monkeypatch.context() as patch:
        patch.setattr(tracker, "log_in_batches", refuse)
        code, lines = tell(call, bad.parent)
    assert code == 1
    (line,) = [line for line in lines if "left out" in line]
    assert line.startswith(f"import_runs: {bad} is left out: MLflow must take what it holds")
    assert "must be reachable" not in line
    assert sorted(run.info.status for run in runs(store)) == ["FAILED", "FINISHED"]
    assert tell(call, bad.parent)[0] == 0
    assert [run.info.status for run in runs(store)] == ["FINISHED"] * 2


def test_a_fault_that_nobody_foresaw_stops_no_other(store, call, bad, monkeypatch):
    from looped.tracking import importer

    conclude = importer.conclude

    def fail(config, *rest):
        if config.seed == 42:
            raise KeyError("surprise")
        return conclude(config, *rest)

    monkeypatch.setattr(importer, "conclude", fail)
    code, (*_, line) = tell(call, bad.parent)
    assert (code, line) == (1, f"import_runs: {bad} is left out: KeyError('surprise')")
    assert sorted(run.info.status for run in runs(store)) == ["FAILED", "FINISHED"]


def test_a_folder_cannot_have_another_run_written_to(store, call, bad):
    """Its list of runs may name any: only those of the same training are believed."""
    experiment = os.environ["MLFLOW_EXPERIMENT_ID"]
    other_id = store.create_run(experiment, tags={"looped.kind": "fit"}).info.run_id
    store.set_terminated(other_id, "FINISHED")
    progress = {"offset": 0, "step": 0, "opened": 0}
    rewrite("told.json", json.dumps({other_id: progress}))(bad)
    code, (*_, line) = tell(call, bad.parent)
    assert code == 1
    assert f"{bad / 'told.json'} must name runs of this training, got {other_id}" in line
    assert store.get_run(other_id).data.metrics == {}
    assert "superseded_by" not in store.get_run(other_id).data.tags


@pytest.mark.parametrize("text", ["", DEEP, '{"a": {"offset": "x"}}'])
def test_what_was_told_is_found_again_when_its_list_is_lost(store, call, bad, text):
    assert tell(call, bad.parent)[0] == 0
    before = {run.info.run_id for run in runs(store)}
    rewrite("told.json", text)(bad)
    (bad / "lock").write_text("")
    code, lines = tell(call, bad.parent)
    assert (code, lines[-1]) == (0, "0 of 2 runs told; 2 were told before")
    assert {run.info.run_id for run in runs(store)} == before


def test_a_run_that_was_told_in_part_is_found_again_when_its_list_is_lost(store, call, bad):
    """The server was lost, so its end does not say which run it is: its folder does."""
    assert tell(call, bad.parent)[0] == 0
    (run,) = [run for run in runs(store) if run.data.tags["seed"] == "42"]
    store.update_run(run.info.run_id, "RUNNING")
    rewrite("told.json", "")(bad)
    (bad / "lock").write_text("")
    assert tell(call, bad.parent)[0] == 0
    assert [run.info.status for run in runs(store)] == ["FINISHED"] * 2
    steps = [m.step for m in store.get_metric_history(run.info.run_id, "train/loss")]
    assert steps == [1, 5, 10, 15, 20, 23]


@pytest.mark.parametrize("text", ["", DEEP])
def test_a_lost_origin_is_told_as_unknown(store, call, bad, text):
    rewrite("origin.json", text)(bad)
    assert tell(call, bad.parent)[0] == 0
    (run,) = [run for run in runs(store) if run.data.tags["seed"] == "42"]
    assert run.data.tags["git.commit"] == run.data.tags["looped.host"] == "unknown"


def test_a_lost_configuration_that_the_folders_name_confirms_is_recovered(
    store, call, trained, tmp_path
):
    config = resolve.resolve(replace(TINY, batch_size=64, b=3, loop_window=None))
    options = RunOptions(runs_dir=str(tmp_path), tracking="offline", evaluate=False)
    run_trainings([config], options, Watcher(), Nest())
    path = run_path(tmp_path, config)
    (path / "config.json").write_text('{"config"')
    assert tell(call, tmp_path)[0] == 0
    (run,) = runs(store)
    assert run.data.tags["identity"] == config.identity
    assert run.data.params["resolved.n_dims"] == "2"
    assert json.loads((path / "config.json").read_text())["identity"] == config.identity


@pytest.mark.parametrize("text", ["", "{}", DEEP])
def test_a_damaged_grid_is_named_and_the_trainings_are_told(store, call, bad, text):
    grid = bad.parent / "grid-abc"
    grid.mkdir()
    (grid / "grid.json").write_text(text)
    code, lines = tell(call, bad.parent)
    assert code == 1
    assert len([line for line in lines if str(grid) in line]) == 1
    assert [run.info.status for run in runs(store)] == ["FINISHED"] * 2
    assert runs(store, "grid") == []


def test_a_grid_that_was_killed_before_its_note_is_told(store, call, bad):
    folder = GridFolder(bad.parent, "abc")
    folder.begin("grid of 2 trainings", {"bs": "2"}, {"looped.host": "there"})
    folder.close()
    assert tell(call, bad.parent)[0] == 0
    (grid,) = runs(store, "grid")
    assert (grid.info.status, grid.data.tags["looped.reason"]) == ("KILLED", "it was killed")


def test_a_journal_says_nothing_to_the_terminal_but_text(store, bad, capsys, monkeypatch):
    give("end", reason="\x1b[2J\nall is well")(bad)
    monkeypatch.setattr("sys.argv", ["import_runs", "--path", str(bad), "--register", "false"])
    assert import_runs.main() == 0
    output = capsys.readouterr().out
    assert "\x1b" not in output
    assert output.splitlines()[0] == "tiny-b2-s42: [2J all is well"


def runs(store, kind="training"):
    query = f"tags.`looped.kind` = '{kind}'"
    return store.search_runs([os.environ["MLFLOW_EXPERIMENT_ID"]], query)


def seed_of(store, run_id):
    return store.get_run(run_id).data.tags.get("seed")
