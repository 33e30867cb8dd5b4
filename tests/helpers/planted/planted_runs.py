"""Runs as they are read from a store, of a study whose facts are chosen, one knob each."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from analysis.claims.by_seed import Sense
from analysis.claims.claim import Claim
from analysis.runs.logged_run import LoggedRun
from looped.config import TrainConfig

BASE = {"tiny": 1.0, "small": 2.0, "medium": 3.0}
GAIN = {1: 0.0, 5: 1.9, 10: 2.15, 15: 2.18, 20: 2.19, 30: 2.20, 40: 2.20}
FIRST = {"tiny": 0.1, "small": 0.2, "medium": 0.3}
GAP = {1: 0.0, 5: 1.0, 10: 1.4, 15: 1.45, 20: 1.46, 30: 1.47, 40: 1.47}


@cache
def configured(size, b, seed, **variant):
    """Make a configuration once: its rules and its digest take longer than all else here."""
    return TrainConfig(size=size, b=b, seed=seed, **variant)


def base_bits(config):
    return BASE[config.size] + GAIN[config.b]


def base_lost(config):
    return {"tiny": -0.1, "small": 0.05}.get(config.size, 0.8 - 0.03 * config.b)


def steep(share_done):
    """The share of the loss's fall that is there when a share of the steps is done."""
    return 1 - np.exp(-20 * share_done)


@dataclass(frozen=True)
class World:
    """What is true of every run; as it stands, all that the study says.

    Attributes:
        bits: E after b loops.
        first: E after one loop.
        lost: bits lost from b to the last loop evaluated.
        hump: bits gained half-way there, on top of that.
        start: bits of the first training loss.
        gap: bits by which the final training loss is below that at b = 1.
        drift: of the gap, bits per doubling of the steps.
        fall: share of the loss's fall by share of the steps.
        noise: standard deviation of each of these, from run to run.
    """

    bits: Callable = base_bits
    first: Callable = lambda config: FIRST[config.size]
    lost: Callable = base_lost
    hump: Callable = lambda config: 0.3 if config.size == "small" else 0.0
    start: Callable = lambda config: 0.0
    gap: Callable = lambda config: GAP[config.b]
    drift: Callable = lambda config: 0.0
    fall: Callable = steep
    noise: float = 0.003
    n_loops: int = 50

    def run(self, config, rng):
        bits, first, lost, hump, start, gap, drift = (
            knob(config) + self.noise * rng.normal()
            for knob in (
                self.bits, self.first, self.lost, self.hump, self.start, self.gap, self.drift,
            )
        )  # fmt: skip
        loops, b = np.arange(1, self.n_loops + 1.0), config.b
        share_beyond = np.clip((loops - b) / max(self.n_loops - b, 1), 0, 1)
        rising = first + (bits - first) * np.minimum((loops - 1) / max(b - 1, 1), 1)
        curve = np.where(
            loops < b, rising, bits - lost * share_beyond + hump * np.sin(np.pi * share_beyond)
        )
        steps = np.linspace(1, config.steps, 101).round()
        share_done = steps / config.steps
        late_share = np.maximum(share_done, 0.05)
        gap_opened = np.clip((share_done - 0.01) / 0.04, 0, 1) * (gap + drift * np.log2(late_share))
        slow_noise = self.noise * rng.normal() * share_done
        loss = start + 4 * self.fall(share_done) + slow_noise + gap_opened
        loops = {name: list(4.0**-curve) for name in ("nmse", "nmse_se", "nmse_median")}
        training = {"step": list(steps), "loss": list(4.0**-loss), "query_error": [1.0] * 101}
        tags = {"plateau": "false", "diverged": "false"}
        return LoggedRun(
            run_id=config.identity,
            name=config.name,
            config=config,
            tags=tags,
            loops=loops,
            prompts=12_800,
            training=training,
        )

    def study(
        self,
        sizes=("tiny", "small", "medium"),
        bs=(1, 5, 10, 15),
        seeds=(42, 451, 1984),
        variants=({},),
        rng=0,
    ):
        """Run every cell in every variant of the recipe."""
        generator = np.random.default_rng(rng)
        return [
            self.run(configured(size, b, seed, **variant), generator)
            for variant in variants
            for size in sizes
            for b in bs
            for seed in seeds
        ]

    def but(self, **knobs):
        return replace(self, **knobs)


@dataclass(frozen=True)
class Plant:
    """Worlds in which a claim holds and does not, and what of the runs to take away."""

    is_left: Callable
    counter: World
    holds: World = field(default_factory=World)
    study: dict = field(default_factory=dict)


def claim_of(parts, sense=Sense.ABOVE, threshold=0.0, **options):
    """A claim about numbers by seed, whatever the runs."""
    return Claim(
        slug="a-claim", statement="It is so.", statistic="bits", sense=sense, threshold=threshold,
        reason="a reason", measure=lambda cells: parts, **options,
    )  # fmt: skip
