from dataclasses import replace

import pytest
from small_trainings import DRAWN, TINY

from looped.grid.forecast import measure_speed
from looped.training import loop, resolve


@pytest.mark.parametrize("config", [TINY, DRAWN])
def test_speed_is_that_of_the_steps_whatever_loops_they_draw(config, monkeypatch):
    """On a machine of 1,000 FLOP/s, of which the first step wastes half."""

    def train_together(configs, folders, watch, should_stop):
        for step in range(1, 10**6):
            spent = sum(own.flops_of(own.loops_of_step(step - 1)) for own in configs)
            watch(configs[0], step, {"speed/steps_per_s": (500 if step == 1 else 1000) / spent})
            if should_stop():
                raise loop.Stopped

    monkeypatch.setattr(loop, "train_together", train_together)
    group = [resolve.resolve(replace(config, seed=seed)) for seed in (1, 2)]
    assert measure_speed(group, n_threads=1, seconds=0.01) == pytest.approx(1000)
