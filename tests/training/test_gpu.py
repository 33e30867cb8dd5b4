"""What can only be seen on a GPU; skipped where there is none."""

from dataclasses import replace

import pytest
import torch
from small_trainings import TINY, same_weights, samples, together

from looped import tasks
from looped.draws import Draws
from looped.evaluation.baselines import baselines_for
from looped.tasks import task
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
    prompts = [task.batch(config.seed, 0, 16, 16, device="cuda") for config in configs]
    return replicas, tuple(torch.stack(parts) for parts in zip(*prompts, strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("draws", [[None] * 5, [4, 1, 4, 2, 1]])
def test_graphs_take_the_steps_that_they_recorded(precision, fused, draws):
    """Recording leaves the weights alone, and the graphs, which share memory, each other."""
    changes = {"b": 3, "b_draw": "uniform", "loop_window": 3} if draws[0] else {}
    configs = [replace(cell, precision=precision, **changes) for cell in CELLS]
    eager, prompts = program(configs)
    graphed, _ = program(configs)
    for replicas in (eager, graphed):
        replicas.fused = fused and replicas.fused
    step = GraphStep(graphed)
    for rate, n_loops in zip((1e-3, 2e-3, 3e-3, 1e-3, 2e-3), draws, strict=True):
        eager.set_rate(rate)
        expected = eager.step(*prompts, n_loops)
        torch.testing.assert_close(step(prompts, rate, n_loops), expected, rtol=1e-4, atol=1e-5)
    assert len(step.recorded) == len(set(draws))
    torch.testing.assert_close(graphed.flat, eager.flat, rtol=1e-3, atol=1e-4)


def test_training_on_a_gpu_resumes_to_the_bit(tmp_path):
    whole_results, whole_folders = together(tmp_path / "whole", CELLS)
    for stop in (7, 11):
        questions = iter(range(1, 1000))
        with pytest.raises(loop.Stopped):
            together(tmp_path / "stopped", CELLS, should_stop=lambda: next(questions) >= stop)  # noqa: B023
    results, folders = together(tmp_path / "stopped", CELLS)
    for result, expected in zip(results, whole_results, strict=True):
        assert same_weights(result.model, expected.model)
        assert result.outcome == expected.outcome
    assert [samples(f) for f in folders] == [samples(f) for f in whole_folders]


def test_replicas_on_a_gpu_train_as_each_does_alone():
    """The same prompts to the bit; weights within bf16's rounding after a few steps."""
    results = loop.train_together(CELLS, [None] * 3)
    for result, cell in zip(results, CELLS, strict=True):
        alone = loop.train(cell)
        assert result.outcome["best/loss"] == pytest.approx(alone.outcome["best/loss"], rel=0.02)


class CpuDraws(Draws):
    """The CPU's numbers, wherever they are to lie: the two generators differ."""

    def __init__(self, seed, step, held_out=False, device="cpu"):
        super().__init__(seed, step, held_out)
        self.target = device

    def normal(self, *shape):
        return super().normal(*shape).to(self.target)


def test_a_gpu_learns_what_a_cpu_learns(monkeypatch):
    """The same weights and prompts at first: what differs is rounding."""
    monkeypatch.setattr(task, "Draws", CpuDraws)
    config = replace(GPU, steps=400, learning_rate=3e-3, n_dims=2, precision="fp32")
    on_gpu, on_cpu = (
        loop.train(replace(config, device=device)).outcome for device in (config.device, "cpu")
    )
    for name in ("best/loss", "held_out/nmse"):
        assert on_gpu[name] == pytest.approx(on_cpu[name], rel=0.05)
    assert on_cpu["held_out/nmse"] < 0.3  # they learned: 1 is what predicting 0 gives


NOT_LINEAR = ["noisy_linear", "sparse_linear", "decision_tree", "relu_network"]


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_every_task_is_the_same_function_on_a_gpu(name):
    task = tasks.from_config(replace(GPU, task=name, sparsity=1).task_config)
    draws = Draws(1, 0, device=GPU.device)
    xs, params = draws.normal(4096, 16, GPU.n_dims), task.draw(draws, 4096)
    ys = task.evaluate(params, xs)
    cpu_params = tuple(part.cpu() for part in params) if type(params) is tuple else params.cpu()
    torch.testing.assert_close(ys.cpu(), task.evaluate(cpu_params, xs.cpu()), rtol=1e-4, atol=1e-4)
    assert float(xs.var()) == pytest.approx(1, rel=0.02)
    assert float(ys.var()) == pytest.approx(1 - task.noise_variance, rel=0.15)


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_every_task_trains_on_a_gpu_as_on_a_cpu(name):
    """Three steps on other prompts of the same task: a tenth apart, and 0.3 from no step."""
    config = replace(GPU, task=name, sparsity=1, steps=3)
    on_gpu, on_cpu, untrained = (
        loop.train(trial).outcome["held_out/nmse"]
        for trial in (config, replace(config, device="cpu"), replace(config, steps=0))
    )
    assert on_gpu == pytest.approx(on_cpu, rel=0.2)
    assert on_gpu < untrained


@pytest.mark.parametrize(("name", "bayes"), [("pointer_chain", 0.0), ("parity", 0.01)])
def test_a_task_with_a_dial_is_the_same_task_on_a_gpu(name, bayes):
    """Its Bayes predictor reads prompts of either generator, and every example is of use."""
    task = tasks.from_config(replace(GPU, task=name).task_config)
    for device in (GPU.device, "cpu"):
        xs, ys = task.batch(1, 0, 4096, 17, device=device)
        assert xs.device.type == ys.device.type == device
        predict = baselines_for(task)[task.config.kind.bayes]
        errors = (predict(xs.cpu(), ys.cpu())[0, :, 0] - ys[:, -1].cpu()).square()
        assert float(errors.mean()) == pytest.approx(bayes, abs=0.01)
        assert float(ys[:, -1].var()) == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("name", ["pointer_chain", "parity"])
def test_a_task_with_a_dial_trains_on_a_gpu(name):
    config = replace(GPU, task=name, steps=60, n_dims=4, learning_rate=3e-3)
    trained, untrained = (
        loop.train(trial).outcome["held_out/nmse"] for trial in (config, replace(config, steps=0))
    )
    assert trained < untrained
