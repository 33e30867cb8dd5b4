"""Trainings of a few steps, and what tests ask of them."""

from dataclasses import replace

import torch

from looped import TrainConfig
from looped.records.folder import RunFolder
from looped.records.journal import history, read
from looped.training import loop, resolve
from looped.training.watcher import Watcher

TINY = TrainConfig(
    size="tiny", b=2, n_dims=2, n_examples=5, batch_size=4, steps=23, warmup=5, log_every=5
)
DRAWN = replace(TINY, b=3, b_draw="uniform", loop_window=4)
SEVERAL = [replace(TINY, seed=seed, b=b) for seed, b in [(1, 1), (2, 3), (1, 3), (5, 2)]]


class Witness(Watcher):
    """Remembers what it is told.

    Stops a training when it is asked for the ``stop_at``-th time, and from then on.
    """

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.n_questions = 0
        self.samples = []
        self.evaluations = []

    def sampled(self, config, step, values):
        self.samples.append((config, step, values))

    def evaluated(self, config, prompts_done, n_prompts):
        self.evaluations.append((config, prompts_done, n_prompts))

    def should_stop(self):
        self.n_questions += 1
        return self.stop_at is not None and self.n_questions >= self.stop_at


def train_in(root, config, **options):
    """Train in a folder; return the model and the samples of its curve."""
    folder = RunFolder(root, resolve.resolve(config))
    try:
        training = loop.train(config, folder, **options)
    finally:
        folder.close()
    return training, samples(folder)


def samples(folder):
    records = history(read(folder.journal_path)[0])
    return [
        (r["step"], {k: v for k, v in r["values"].items() if k.startswith("train/")})
        for r in records
        if r["kind"] == "metrics"
    ]


def same_weights(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def folders_in(root, configs=SEVERAL):
    return [RunFolder(root, resolve.resolve(config)) for config in configs]


def together(root, configs=SEVERAL, **options):
    folders = folders_in(root, configs)
    try:
        return loop.train_together(configs, folders, **options), folders
    finally:
        for folder in folders:
            folder.close()
