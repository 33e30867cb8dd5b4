"""Trainings that go wrong: what is said, tagged and kept of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
from small_trainings import TINY, Witness, folders_in, train_in

from looped.evaluation.evaluation import Evaluation
from looped.records.checkpoint import load_checkpoints, save_checkpoint
from looped.records.journal import read
from looped.tracking.metrics import tags_of
from looped.training import loop, outcome, trained
from looped.training.curve import DIVERGED_ABOVE, DivergedError, TrainingCurve

WILD = replace(TINY, grad_clip=1e30, warmup=0, log_every=1, checkpoint_seconds=0.0)
HUGE = replace(WILD, learning_rate=1e3, steps=12)
INFINITE = replace(WILD, learning_rate=1e30)


def records_in(root):
    (path,) = root.glob("*/journal.jsonl")
    return read(path)[0]


def tags_in(root):
    return {tag.key: tag.value for record in records_in(root) for tag in tags_of(record)}


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(DivergedError, match=r"must stay finite, at step 2 they were .*$"):
        loop.train(INFINITE)


def test_a_failed_training_is_tagged_in_its_journal(tmp_path):
    with pytest.raises(DivergedError, match="no checkpoint from before is left") as failure:
        train_in(tmp_path, INFINITE)
    (record,) = [record for record in records_in(tmp_path) if record["kind"] == "diverged"]
    assert (record["step"], record["reason"]) == (2, str(failure.value))
    assert tags_in(tmp_path)["diverged"] == "true"
    assert not list(tmp_path.glob("*/model"))


def test_a_finished_training_far_above_the_variance_is_tagged(tmp_path):
    training, _ = train_in(tmp_path, HUGE)
    assert training.outcome["held_out/nmse"] > 1e3
    assert (training.tags["diverged"], training.tags["plateau"]) == ("true", "false")
    assert tags_in(tmp_path)["diverged"] == "true"
    (record,) = [record for record in records_in(tmp_path) if record["kind"] == "outcome"]
    assert record["advice"] == "no checkpoint from before is left"


@pytest.mark.parametrize(
    ("nmse", "plateau", "diverged"),
    [
        (0.5, "false", "false"),
        (1.0, "true", "false"),
        (2.1, "true", "false"),
        (DIVERGED_ABOVE, "true", "false"),
        (1.001 * DIVERGED_ABOVE, "false", "true"),
    ],
)
def test_a_training_never_learned_or_diverged(nmse, plateau, diverged):
    evaluation = Evaluation(np.full((2, 3), nmse), np.full((2, 1), nmse), np.ones(1))
    _, tags = outcome.assess(evaluation, None, TINY, TrainingCurve(TINY.steps), [])
    assert (tags["plateau"], tags["diverged"]) == (plateau, diverged)


def test_untrained_weights_have_not_diverged():
    for task in ("linear", "noisy_linear", "sparse_linear", "decision_tree", "relu_network"):
        training = loop.train(replace(TINY, steps=0, task=task, sparsity=1))
        assert training.outcome["held_out/nmse"] < 4, task
        assert training.tags["diverged"] == "false"


@pytest.mark.parametrize(
    ("query_errors", "point_nmse", "state_change"),
    [
        ([1.0, math.inf], [1.0, 1.0], [1.0]),
        ([1.0, 1.0], [1.0, math.nan], [1.0]),
        ([1.0, 1.0], [1.0, 1.0], [math.nan]),
    ],
)
def test_an_evaluation_that_is_no_number_is_a_divergence(query_errors, point_nmse, state_change):
    evaluation = Evaluation(
        np.array(query_errors)[:, None] * np.ones((1, 3)),
        np.array(point_nmse)[:, None],
        np.array(state_change),
    )
    with pytest.raises(DivergedError, match="must stay finite, after loop 2 they were"):
        outcome.require_finite(evaluation)


def test_an_evaluation_that_is_no_number_fails_the_training_alone(tmp_path, monkeypatch):
    """Its neighbour in the program is evaluated and kept."""
    evaluate = trained.evaluate

    def overflowing(model, *rest):
        evaluation = evaluate(model, *rest)
        if len(evaluation.nmse) == 1:
            evaluation.query_errors[0, 0] = np.inf
        return evaluation

    monkeypatch.setattr(trained, "evaluate", overflowing)
    configs = [replace(TINY, b=b, steps=3) for b in (1, 2)]
    folders = folders_in(tmp_path, configs)
    first, second = loop.train_together(configs, folders)
    for folder in folders:
        folder.close()
    assert isinstance(first, DivergedError) and "after loop 1 they were inf" in str(first)
    assert read(folders[0].journal_path)[0][-1]["kind"] == "diverged"
    assert second.tags["diverged"] == "false"


class Spoiler(Witness):
    """Scales a training's errors from a step on, as if it had diverged there."""

    def __init__(self, monkeypatch, step, error):
        super().__init__()
        add = TrainingCurve.add

        def spoilt(curve, measurements):
            first_step = curve.step
            add(curve, [
                [error] * 3 if first_step + number >= step else values
                for number, values in enumerate(measurements, 1)
            ])  # fmt: skip

        monkeypatch.setattr(TrainingCurve, "add", spoilt)


def test_the_last_good_checkpoint_is_named(tmp_path, monkeypatch):
    """The weights of step 8 are what gave the error of step 9."""
    config = replace(WILD, learning_rate=1e-3)
    good = "the last good checkpoint is checkpoints/step-00000007.safetensors"
    with pytest.raises(DivergedError, match=good):
        train_in(tmp_path, config, watcher=Spoiler(monkeypatch, 9, math.nan))
    assert list(tmp_path.glob("*/checkpoints/step-00000007.safetensors"))


def test_a_diverging_training_keeps_its_last_good_checkpoint(tmp_path, monkeypatch):
    """Weights that go wrong are not saved over those that had not."""
    config = replace(WILD, learning_rate=1e-3)
    train_in(tmp_path, config, watcher=Spoiler(monkeypatch, 9, 1e9))
    names = sorted(path.name for path in tmp_path.glob("*/checkpoints/*.safetensors"))
    assert names == ["step-00000007.safetensors", "step-00000008.safetensors"]


def test_one_that_is_stopped_while_it_diverges_goes_on_from_there(tmp_path, monkeypatch):
    spoiler = Spoiler(monkeypatch, 9, 1e9)
    spoiler.stop_at = 15
    with pytest.raises(loop.Stopped):
        train_in(tmp_path, replace(WILD, learning_rate=1e-3), watcher=spoiler)
    assert list(tmp_path.glob("*/checkpoints/step-00000015.safetensors"))


def test_a_curve_knows_since_when_it_diverges():
    curve = TrainingCurve(1000)
    curve.add([[1.0] * 3] * 200)
    assert curve.diverging_since is None
    curve.add([[1e4] * 3] * 5)
    assert curve.diverging_since == 201
    curve.add([[1.0] * 3] * 700)  # it came back
    assert curve.diverging_since is None
    with pytest.raises(DivergedError):
        curve.add([[1.0] * 3, [math.nan] * 3])
    assert curve.diverging_since == 907


def test_no_checkpoint_of_a_diverged_curve_is_called_good(tmp_path):
    for step, error in [(2, 0.5), (5, 50.0)]:
        curve = TrainingCurve(10)
        curve.add([[error] * 3] * step)
        save_checkpoint(tmp_path / "checkpoints", step, {}, curve.state())
    assert "step-00000002" in outcome.last_good(tmp_path / "checkpoints", end=8)
    assert outcome.last_good(tmp_path / "checkpoints", end=3).startswith("no checkpoint")
    assert len(list(load_checkpoints(tmp_path / "checkpoints"))) == 2
