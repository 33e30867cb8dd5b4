"""Runs whose error after each step is planted."""

from functools import cache

import numpy as np

from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig

STEPS, WARMUP, EVERY = 400, 100, 5
SIZES, BS, SEEDS = ("tiny", "small", "medium"), (1, 4), (1, 2, 3)


@cache
def config_of(size, b, seed, **variant):
    return TrainConfig(size=size, b=b, seed=seed, steps=STEPS, warmup=WARMUP, **variant)


def planted_run(size, b, seed, error, **variant):
    """A run whose error after each step is known."""
    config = config_of(size, b, seed, **variant)
    steps = np.arange(EVERY, STEPS + 1, EVERY)
    errors = [float(error(config, step)) for step in steps]
    return LoggedRun(
        run_id=config.identity, name=config.name, config=config, tags={}, loops={}, prompts=0,
        training={"step": list(steps), "loss": errors, "query_error": errors},
    )  # fmt: skip


def planted_study(error, sizes=SIZES, bs=BS, seeds=SEEDS):
    return [planted_run(size, b, seed, error) for size in sizes for b in bs for seed in seeds]


def power(config, step):
    return step**-0.5
