"""What can only be seen on a GPU; skipped where there is none."""

from dataclasses import replace

import pytest
import torch
from small_trainings import TINY, same_weights, samples, together

from looped import tasks
from looped.training import loop, resolve
from looped.training.cuda_graph import GraphStep
from looped.training.replicas import Replicas

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

GPU = replace(TINY, n_examples=15, batch_size=16, device="cuda")
CELLS = [replace(GPU, seed=seed, b=b) for seed, b in [(1, 3), (2, 3), (1, 1)]]


def program(configs):
    configs = [resolve.resolve(config) for config in configs]
    replicas = Replicas([loop.seeded_model(config) for config in configs], configs)
    task = tasks.from_config(configs[0].task_config)
    drawn = [task.batch(config.seed, 0, 16, 16, device="cuda") for config in configs]
    return replicas, tuple(torch.stack(parts) for parts in zip(*drawn, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("draws", [[None] * 5, [4, 1, 4, 2, 1]])
def test_graphs_take_the_steps_that_they_recorded(precision, fused, draws):
    """Recording leaves the weights alone, and the graphs, which share memory, each other."""
    drawn = {"b": 3, "b_draw": "uniform", "loop_window": 3} if draws[0] else {}
    configs = [replace(cell, precision=precision, **drawn) for cell in CELLS]
    eager, prompts = program(configs)
    graphed, _ = program(configs)
    for replicas in (eager, graphed):
        replicas.fused = fused and replicas.fused
    step = GraphStep(graphed)
    for rate, drawn in zip((1e-3, 2e-3, 3e-3, 1e-3, 2e-3), draws, strict=True):
        eager.set_rate(rate)
        expected = eager.step(*prompts, drawn)
        torch.testing.assert_close(step(prompts, rate, drawn), expected, rtol=1e-4, atol=1e-5)
    assert len(step.recorded) == len(set(draws))
    torch.testing.assert_close(graphed.flat, eager.flat, rtol=1e-3, atol=1e-4)


def test_training_on_a_gpu_resumes_to_the_bit(tmp_path):
    whole, whole_folders = together(tmp_path / "whole", CELLS)
    for stop in (7, 11):
        asked = iter(range(1, 1000))
        with pytest.raises(loop.Stopped):
            together(tmp_path / "stopped", CELLS, should_stop=lambda: next(asked) >= stop)  # noqa: B023
    again, folders = together(tmp_path / "stopped", CELLS)
    for ours, expected in zip(again, whole, strict=True):
        assert same_weights(ours.model, expected.model)
        assert ours.outcome == expected.outcome
    assert [samples(f) for f in folders] == [samples(f) for f in whole_folders]


def test_replicas_on_a_gpu_train_as_each_does_alone():
    """The same prompts to the bit; weights within bf16's rounding after a few steps."""
    result = loop.train_together(CELLS, [None] * 3)
    for trained, cell in zip(result, CELLS, strict=True):
        alone = loop.train(cell)
        assert trained.outcome["best/loss"] == pytest.approx(alone.outcome["best/loss"], rel=0.02)


def test_a_gpu_learns_what_a_cpu_learns():
    config = replace(GPU, steps=400, learning_rate=3e-3, n_dims=2)
    on_gpu = loop.train(config).outcome["held_out/nmse"]
    assert on_gpu < 0.5


@pytest.mark.parametrize("task", ["noisy_linear", "sparse_linear", "decision_tree", "relu_network"])
def test_every_task_draws_on_a_gpu(task):
    config = replace(GPU, task=task, sparsity=1, steps=3)
    assert loop.train(config).outcome["held_out/nmse"] > 0
