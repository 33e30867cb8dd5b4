"""The mean of the last weights in MLflow, and older runs, whose journals know neither it nor
whether they were still learning by today's rule."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from small_trainings import same_weights

import looped
from looped import TrainConfig, tasks
from looped.grid.options import RunOptions
from looped.grid.run_trainings import run_trainings
from looped.records.folder import load_config
from looped.records.model_files import load_model
from looped.tracking import importer, registry
from looped.tracking.registry import UnknownModelError
from looped.tracking.stores.store import open_store
from looped.training import resolve
from looped.training.watcher import Watcher

KEPT = Path(__file__).parents[2] / "results" / "h100"
CONFIG = TrainConfig(
    size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=40, log_every=1, device="cpu"
)


def train(root, **settings):
    config = resolve.resolve(TrainConfig(**{**vars(CONFIG), **settings}))
    (ending,) = run_trainings([config], RunOptions(runs_dir=str(root), b_max=4), Watcher())
    assert ending.status == "FINISHED", ending.reason
    return ending


def test_both_are_logged_registered_and_served(store, tmp_path):
    ending = train(tmp_path)
    run = store.get_run(ending.run_id)
    metrics, tags = run.data.metrics, run.data.tags
    assert metrics["loops/tail_nmse"] != metrics["loops/nmse"]
    curve = store.get_metric_history(ending.run_id, "loops/tail_nmse")
    assert [metric.step for metric in curve] == [1, 2, 3, 4]
    assert {m.step: m.value for m in curve}[2] == metrics["held_out/tail_nmse"]
    steps = store.get_metric_history(ending.run_id, "loops/tail_state_change")
    assert [metric.step for metric in steps] == [2, 3, 4]
    assert tags["convergence"] in ("learning", "settled", "cannot tell")
    assert {"final/late_slope", "final/late_slope_se"} <= metrics.keys()
    assert "(`tail`)" in tags["mlflow.note.content"]
    (path,) = tmp_path.glob("tiny*/model")
    models = {weights: looped.load(ending.run_id, weights) for weights in ("last", "tail")}
    assert all(same_weights(models[weights], load_model(path, weights)[0]) for weights in models)
    assert not same_weights(models["last"], models["tail"])
    task = tasks.from_config(CONFIG.task_config)
    xs, ys = task.batch(7, 0, 3, CONFIG.n_examples + 1)
    served = mlflow.pyfunc.load_model(ending.registered)
    prompts = {"xs": xs.numpy(), "ys": ys.numpy()}
    with torch.no_grad():
        arrays = {name: model(xs, ys, n_loops=2).numpy() for name, model in models.items()}
    assert np.array_equal(served.predict(prompts), arrays["last"])
    for name, expected in arrays.items():
        assert np.array_equal(served.predict(prompts, params={"weights": name}), expected)
    with pytest.raises(ValueError, match="weights must be one of last, tail, got mean"):
        served.predict(prompts, params={"weights": "mean"})


def test_a_training_without_a_mean_says_so(store, tmp_path):
    ending = train(tmp_path, average="off")
    assert not [name for name in store.get_run(ending.run_id).data.metrics if "tail" in name]
    with pytest.raises(UnknownModelError, match="weights=tail is for models that were trained"):
        looped.load(ending.run_id, "tail")
    assert registry.load_tail(ending.run_id) is None


def test_an_older_journal_is_told_by_todays_rule(store, tmp_path):
    """That of before took two averages of it, the later of which was 0.66 of the earlier."""
    name = "medium-b5-s42-eafe44f7b000"
    shutil.copytree(KEPT / name, tmp_path / name)
    lines = (tmp_path / name / "journal.jsonl").read_text("utf-8").splitlines()
    # the curve and what it came to; the evaluation would have baselines scored
    records = [line for line in lines if json.loads(line)["kind"] != "evaluation"]
    (tmp_path / name / "journal.jsonl").write_text("\n".join([*records, ""]), "utf-8")
    (outcome,) = (json.loads(line) for line in records if json.loads(line)["kind"] == "outcome")
    assert outcome["tags"]["unconverged"] == "true"
    assert load_config(tmp_path / name).average == "off"
    imported = importer.import_run(open_store(), tmp_path / name, {}, register=False)
    data = store.get_run(imported.run_id).data
    assert (data.tags["convergence"], data.tags["unconverged"]) == ("cannot tell", "false")
    assert data.metrics["final/late_slope_se"] > 0
    assert data.params["resolved.average"] == "off"
    assert "log step" in data.tags["mlflow.note.content"]
