"""Prompts that the tests of the baselines share, and how their errors are compared."""

import math

from looped.tasks import HELD_OUT_SEED, make_task

CHANCE = 5.0
"""Standard errors that no honest draw is off by."""

OPTIONS = {
    "linear": {},
    "noisy_linear": {"noise_std": 0.5},
    "sparse_linear": {"sparsity": 2},
    "decision_tree": {"tree_depth": 2},
    "relu_network": {"n_hidden": 10},
    "pointer_chain": {"hops": 1},
    "parity": {"n_bits": 2},
}
N_LOOPS = 3


def task_of(name, n_dims=None, **options):
    fewest = 4 if name == "pointer_chain" else 3
    return make_task(name, n_dims or fewest, **(options or OPTIONS[name]))


def prompts_of(task, batch, n_examples):
    return task.batch(HELD_OUT_SEED, 0, batch, n_examples + 1, held_out=True)


def errors_of(baseline, xs, ys):
    """Squared errors at the query of each prompt, after the last loop."""
    return (baseline(xs, ys)[-1, :, 0] - ys[:, -1]).square().double()


def clearly_less(errors, rival_errors):
    """Whether the mean over the same prompts is less by more than chance allows."""
    gains = rival_errors - errors
    return (gains.mean() / gains.std() * math.sqrt(len(gains))).item() > CHANCE
