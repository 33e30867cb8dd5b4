"""One place that takes trainings to their ends: alone, together, failing, of other code."""

from dataclasses import replace

import pytest

from looped import TrainConfig
from looped.grid import run_trainings, runner
from looped.grid.options import GridOptions, RunOptions
from looped.grid.run_trainings import is_fresh
from looped.records.folder import RunFolder, run_path
from looped.records.journal import read
from looped.records.origin import Origin
from looped.training import loop, resolve
from looped.training.watcher import Watcher

TINY = resolve.resolve(
    TrainConfig(size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, log_every=5,
                device="cpu")
)  # fmt: skip


def run(root, *configs, **options):
    offline = RunOptions(runs_dir=str(root), tracking="offline", evaluate=False, **options)
    return run_trainings.run_trainings(configs, offline, Watcher())


def starts(root, config=TINY):
    records, _ = read(run_path(root, config) / "journal.jsonl")
    return [record["step"] for record in records if record["kind"] == "start"]


def test_a_training_that_fails_or_is_refused_takes_no_other_along(tmp_path, capsys, monkeypatch):
    wild = replace(TINY, learning_rate=1e30, grad_clip=1e30, warmup=0)
    broken, locked = replace(TINY, seed=1), replace(TINY, seed=2)
    train = loop.train_together

    def breaks(configs, *rest):
        if broken in configs:
            raise MemoryError("no more")
        return train(configs, *rest)

    monkeypatch.setattr(loop, "train_together", breaks)
    holder = RunFolder(tmp_path, locked)
    # the last two would share a program, in which one breaks
    endings = run(tmp_path, wild, locked) + run(tmp_path, broken, locked, TINY)
    holder.close()
    statuses = ["FAILED", "REFUSED", "FAILED", "REFUSED", "FINISHED"]
    assert [ending.status for ending in endings] == statuses
    assert endings[0].reason.startswith("loss, query error and gradient norm must stay finite")
    assert endings[1].reason.startswith("one process at a time may work in a folder")
    assert endings[2].reason == "MemoryError('no more')"
    assert "Traceback" in capsys.readouterr().err
    alone = run(tmp_path / "alone", TINY)[0]
    assert endings[4].nmse == alone.nmse


def test_same_code_goes_on_and_other_code_begins_anew(tmp_path, monkeypatch):
    here = replace(Origin.here(), commit="this")  # the tests may lie outside any repository
    monkeypatch.setattr(run_trainings.Origin, "here", lambda grid=None: here)
    run(tmp_path, TINY, resume="same_code")
    run(tmp_path, TINY, resume="same_code")
    assert starts(tmp_path) == [0, 23]
    elsewhere = replace(here, commit="another")
    monkeypatch.setattr(run_trainings.Origin, "here", lambda grid=None: elsewhere)
    run(tmp_path, TINY)
    assert starts(tmp_path) == [0, 23, 23]
    monkeypatch.setattr(run_trainings.Origin, "here", lambda grid=None: here)
    run(tmp_path, TINY, resume="same_code")
    assert starts(tmp_path) == [0]
    assert run_path(tmp_path, TINY).with_name(run_path(tmp_path, TINY).name + ".1").exists()


@pytest.mark.parametrize(
    ("resume", "before", "fresh"),
    [("auto", "other", False), ("never", "same", True), ("same_code", "same", False),
     ("same_code", "other", True), ("same_code", None, False), ("same_code", "unknown", True)],
)  # fmt: skip
def test_who_begins_anew(resume, before, fresh):
    left_by = None if before is None else Origin(before, False, "host")
    assert is_fresh(resume, left_by, Origin("same", False, "host")) is fresh
    unknown = Origin("unknown", None, "host")
    assert is_fresh(resume, left_by, unknown) is (
        resume == "never" or (resume == "same_code" and before is not None)
    )


def test_an_interrupt_leaves_no_training_without_an_end(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_together", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, TINY, replace(TINY, seed=1))
    for config in (TINY, replace(TINY, seed=1)):
        records, _ = read(run_path(tmp_path, config) / "journal.jsonl")
        assert records[-1]["status"] == "KILLED"
        RunFolder(tmp_path, config).close()  # it holds no lock


def test_a_grid_leaves_alone_what_failed_unless_asked(tmp_path):
    wild = replace(TINY, learning_rate=1e30, grad_clip=1e30, warmup=0)
    untouched = replace(TINY, seed=1)
    run(tmp_path, wild)
    run(tmp_path, TINY)

    def to_train(**options):
        offline = RunOptions(runs_dir=str(tmp_path), tracking="offline")
        configs = [wild, TINY, untouched]
        return runner.GridRunner(configs, {}, GridOptions(**options), offline).to_train

    assert to_train() == [untouched]
    assert to_train(retry_failed=True) == [wild, untouched]
