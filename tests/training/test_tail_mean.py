"""The mean of the last tenth's weights: what it is, that it changes nothing, that it goes on."""

from dataclasses import replace

import pytest
import torch
from small_trainings import SEVERAL, TINY, Witness, same_weights, together, train_in
from torch.testing import assert_close

from looped.names import Metric
from looped.records import checkpoint
from looped.records.model_files import TAIL_WEIGHTS, load_model
from looped.training import loop, replicas
from looped.training.tail_mean import TailMean

LONG = replace(TINY, steps=50, checkpoint_seconds=0.0)
"""Its tail is its last five steps; a checkpoint follows every step."""


@pytest.fixture(scope="module")
def whole():
    return loop.train(LONG)


def same_tails(first, second):
    return same_weights(first.tail_model, second.tail_model)


@pytest.mark.parametrize(("n_steps", "first_step"), [(1, 1), (10, 10), (23, 21), (7500, 6751)])
def test_the_tail_is_the_last_tenth(n_steps, first_step):
    flat, tail = torch.zeros(1, 1), TailMean(torch.zeros(1, 1), n_steps)
    assert tail.first_step == first_step
    for step in range(1, n_steps + 1):
        tail.take_in(step, flat + step)
    assert float(tail.of_row(0)) == pytest.approx((first_step + n_steps) / 2, rel=1e-5)


def test_it_is_each_replicas_mean_of_the_weights_after_each_step_of_the_tail(monkeypatch, tmp_path):
    weights = {}
    average = replicas.Replicas.average

    def watched(self, step):
        weights[step] = self.flat.detach().clone()
        average(self, step)

    monkeypatch.setattr(replicas.Replicas, "average", watched)
    results, _ = together(tmp_path, [replace(config, steps=50) for config in SEVERAL])
    expected = torch.stack([weights[step] for step in range(46, 51)]).double().mean(dim=0)
    by_falling_b = sorted(results, key=lambda result: -result.config.b)
    for row, result in zip(expected, by_falling_b, strict=True):
        mean = torch.cat([p.detach().flatten() for p in result.tail_model.parameters()])
        assert_close(mean.double(), row, rtol=1e-5, atol=1e-7)


def test_a_training_goes_its_way_as_if_nothing_were_averaged(whole):
    plain = loop.train(replace(LONG, average="off"))
    assert plain.tail_model is None and plain.tail_evaluation is None
    assert same_weights(plain.model, whole.model)
    further = {Metric.TAIL_NMSE, Metric.TAIL_NMSE_SE, Metric.TAIL_BITS}
    assert whole.outcome.keys() - plain.outcome.keys() == further
    assert whole.outcome.items() >= plain.outcome.items()


def test_of_one_step_it_is_that_step():
    trained = loop.train(replace(TINY, steps=10))
    assert same_weights(trained.tail_model, trained.model)
    assert trained.outcome[Metric.TAIL_NMSE] == trained.outcome[Metric.NMSE]
    assert loop.train(replace(TINY, steps=0)).tail_model is None


@pytest.mark.parametrize("stop_at", [30, 46, 48, 50])
def test_a_training_that_stops_in_its_tail_goes_on_to_the_bit(tmp_path, whole, stop_at):
    with pytest.raises(loop.Stopped):
        train_in(tmp_path, LONG, watcher=Witness(stop_at))
    resumed, _ = train_in(tmp_path, LONG)
    assert same_weights(resumed.model, whole.model) and same_tails(resumed, whole)
    assert resumed.outcome == whole.outcome


def test_replicas_that_stop_go_on_with_their_means_to_the_bit(tmp_path):
    configs = [replace(config, steps=50) for config in SEVERAL]
    expected, _ = together(tmp_path / "whole", configs)
    with pytest.raises(loop.Stopped):
        together(tmp_path / "stopped", configs, watcher=Witness(48))
    results, _ = together(tmp_path / "stopped", configs)
    assert all(map(same_tails, results, expected))


def without_tail(monkeypatch):
    """Save checkpoints as versions did that kept no mean."""
    save = checkpoint.save_checkpoint

    def older(folder, step, tensors, state):
        kept_tensors = {name: t for name, t in tensors.items() if not name.startswith("tail.")}
        save(folder, step, kept_tensors, state)

    monkeypatch.setattr(loop, "save_checkpoint", older)


@pytest.mark.parametrize(("stop_at", "has_tail"), [(30, True), (45, True), (46, False)])
def test_an_older_checkpoint_from_inside_the_tail_leaves_no_mean(
    tmp_path, monkeypatch, whole, stop_at, has_tail
):
    with monkeypatch.context() as patch:
        without_tail(patch)
        with pytest.raises(loop.Stopped):
            train_in(tmp_path, LONG, watcher=Witness(stop_at))
    if not has_tail:  # nor does a checkpoint of today that follows on it
        with pytest.raises(loop.Stopped):
            train_in(tmp_path, LONG, watcher=Witness(2))
    resumed, _ = train_in(tmp_path, LONG)
    assert same_weights(resumed.model, whole.model)
    assert (resumed.tail_model is not None) == has_tail
    assert (Metric.TAIL_NMSE in resumed.outcome) == has_tail


def test_both_are_evaluated_on_the_same_prompts_and_kept(tmp_path, whole):
    trained, _ = train_in(tmp_path, LONG, b_max=4)
    (path,) = tmp_path.glob("*/model")
    tail_model, facts = load_model(path, "tail")
    assert same_weights(tail_model, trained.tail_model) and facts == load_model(path)[1]
    assert same_weights(load_model(path)[0], trained.model)
    assert trained.tail_evaluation.query_errors.shape == trained.evaluation.query_errors.shape
    (path / TAIL_WEIGHTS).write_bytes((path / "weights.safetensors").read_bytes())
    with pytest.raises(ValueError, match="its checksum is not the one"):
        load_model(path, "tail")


def test_a_model_without_a_mean_says_so(tmp_path):
    train_in(tmp_path, replace(LONG, average="off"))
    (path,) = tmp_path.glob("*/model")
    assert not (path / TAIL_WEIGHTS).exists()
    with pytest.raises(ValueError, match="for models that were trained with average=tail, got"):
        load_model(path, "tail")
    with pytest.raises(ValueError, match="weights must be one of last, tail, got mean"):
        load_model(path, "mean")
