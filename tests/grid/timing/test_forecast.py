from dataclasses import replace

import pytest
from small_trainings import DRAWN, TINY

from looped.config import TrainConfig
from looped.grid.timing import speeds
from looped.grid.timing.plan import training_flops
from looped.grid.timing.speeds import measure_evaluation, measure_speed
from looped.names import Metric
from looped.training import loop, resolve


@pytest.mark.parametrize("config", [TINY, DRAWN])
def test_speed_is_that_of_the_steps_whatever_loops_they_draw(config, monkeypatch):
    """On a machine of 1,000 FLOP/s, of which the first step wastes half."""

    def train_together(configs, folders, watcher):
        for step in range(1, 10**6):
            flops = sum(each.flops_of(each.loops_of_step(step - 1)) for each in configs)
            rate = 500 if step == 1 else 1000
            watcher.sampled(configs[0], step, {Metric.STEPS_PER_S: rate / flops})
            if watcher.should_stop():
                raise loop.Stopped

    monkeypatch.setattr(loop, "train_together", train_together)
    group = [resolve.resolve(replace(config, seed=seed)) for seed in (1, 2)]
    assert measure_speed(group, n_threads=1, seconds=0.01) == pytest.approx(1000)


def test_the_mean_of_the_last_weights_is_evaluated_as_well():
    of_one = TINY.model_config.forward_flops(9)
    plain = replace(TINY, average="off")
    assert training_flops(plain, b_max=9, n_prompts=20) == 23 * TINY.step_flops + 20 * of_one
    assert training_flops(TINY, b_max=9, n_prompts=20) == 23 * TINY.step_flops + 40 * of_one


def test_the_further_prompts_of_the_final_figure_are_counted():
    """Three times as many of each model, through b loops alone."""
    of_one, further = (TINY.model_config.forward_flops(n_loops) for n_loops in (9, TINY.b))
    flops = training_flops(TINY, b_max=9, n_prompts=3)
    assert flops == 23 * TINY.step_flops + 2 * (3 * of_one + 9 * further)


@pytest.mark.parametrize(("seconds_a_step", "n_steps"), [(0.4, 4), (2.0, 3), (9.0, 2)])
def test_few_long_steps_are_enough_to_measure_a_speed(monkeypatch, seconds_a_step, n_steps):
    """One after the first, where it takes as long as steps are measured for."""
    now, samples = [0.0], []

    def train_together(configs, folders, watcher):
        for step in range(1, 10**6):
            now[0] += seconds_a_step
            samples.append(step)
            watcher.sampled(configs[0], step, {Metric.STEPS_PER_S: 1.0})
            if watcher.should_stop():
                raise loop.Stopped

    monkeypatch.setattr(loop, "train_together", train_together)
    monkeypatch.setattr(speeds.time, "monotonic", lambda: now[0])
    measure_speed([resolve.resolve(TINY)], n_threads=1)
    assert len(samples) == n_steps


@pytest.mark.parametrize(("size", "n_loops"), [("tiny", 50), ("small", 26), ("medium", 2)])
def test_a_long_evaluation_is_measured_by_some_of_its_loops(monkeypatch, size, n_loops):
    loops = []
    monkeypatch.setattr(
        speeds, "evaluate", lambda model, task, n_loops, *_, **__: loops.append(n_loops)
    )
    measure_evaluation(TrainConfig(size=size, device="cpu"), n_threads=1, n_loops=50)
    assert set(loops) == {n_loops}
