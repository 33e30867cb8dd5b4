"""The untied twin: a looped model with a stack of its own for each of its b loops."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import looped_predictions
from small_trainings import TINY, Witness, same_weights, train_in
from strategies import model_configs, seeds

from looped.choices import INITS
from looped.evaluation.held_out import evaluate
from looped.model import LoopedTransformer
from looped.records.model_files import load_model
from looped.tasks import make_task
from looped.tracking.registry import registered_name
from looped.training import loop

UNTIED = replace(TINY, b=3, tied=False)


@settings(max_examples=25)
@given(model_configs(), st.sampled_from(INITS), st.integers(2, 4), seeds)
def test_it_starts_with_the_looped_models_weights_and_has_others_besides(config, init, b, seed):
    looped, untied = (
        (torch.manual_seed(seed), LoopedTransformer.from_config(each, init))[1]
        for each in (config, replace(config, n_stacks=b))
    )
    looped_weights = looped.state_dict()
    weights = untied.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in looped_weights.items())
    assert weights.keys() > looped_weights.keys()
    counts = [sum(w.numel() for w in model.parameters()) for model in (looped, untied)]
    assert counts == [looped.config.n_params(), untied.config.n_params()]
    once = counts[0] - (counts[1] - counts[0]) // (b - 1)  # read-in, read-out and positions
    assert counts[1] == once + b * (counts[0] - once)
    first, second = untied.blocks[0].qkv.weight, untied.later_stacks[0].blocks[0].qkv.weight
    assert not torch.equal(first, second)


@settings(max_examples=10)  # PyTorch's own layers are slow
@given(model_configs(), st.integers(2, 3), seeds)
def test_it_predicts_as_its_plain_twin_and_has_no_loops_beyond(config, b, seed):
    torch.manual_seed(seed)
    model = LoopedTransformer.from_config(replace(config, n_stacks=b)).double()
    xs, ys = torch.randn(2, config.n_points, config.n_dims), torch.randn(2, config.n_points)
    xs, ys = xs.double(), ys.double()
    expected = torch.stack(looped_predictions(model, xs, ys, b, b))
    torch.testing.assert_close(model(xs, ys, n_loops=b), expected)
    with pytest.raises(ValueError, match=f"has its {b} loops and none beyond, got loop {b + 1}"):
        model(xs, ys, n_loops=b + 1)


def test_with_all_stacks_alike_it_is_the_looped_model():
    looped, untied = loop.seeded_model(replace(UNTIED, tied=True)), loop.seeded_model(UNTIED)
    for stack in untied.later_stacks:
        stack.blocks.load_state_dict(looped.blocks.state_dict())
        stack.final_norm.load_state_dict(looped.final_norm.state_dict())
    task = make_task("linear", n_dims=2)
    first, second = (evaluate(model, task, 3, 9, kernels="off") for model in (looped, untied))
    assert (first.query_errors == second.query_errors).all()


def test_it_is_trained_evaluated_to_b_kept_and_named(tmp_path):
    training, _ = train_in(tmp_path, UNTIED, b_max=9)
    assert len(training.evaluation.nmse) == 3
    assert training.config.kernels == "off"
    assert training.config.name == "tiny-b3-s42-untied"
    assert registered_name(training.config) == "looped-linear-tiny-d2-n5-untied"
    (folder,) = tmp_path.iterdir()
    model, _ = load_model(folder / "model")
    assert same_weights(model, training.model)
    start = loop.seeded_model(UNTIED)
    moved = [not torch.equal(a, b) for a, b in
             zip(start.parameters(), model.parameters(), strict=True)]  # fmt: skip
    assert all(moved)


@pytest.mark.parametrize(
    "changes",
    [
        {"b": 3, "tied": False},
        {"b": 3, "b_draw": "uniform", "b_draw_unit": "prompt"},
        {"b": 4, "loss_window": 3.0, "grad_window": 0.5},
    ],
    ids=str,
)
def test_what_stopped_goes_on_to_the_bit(changes, tmp_path):
    config = replace(TINY, **changes)
    whole, curve = train_in(tmp_path / "whole", config)
    with pytest.raises(loop.Stopped):
        train_in(tmp_path / "stopped", config, watcher=Witness(stop_at=12))
    again, again_curve = train_in(tmp_path / "stopped", config)
    assert same_weights(again.model, whole.model)
    assert again_curve == curve
