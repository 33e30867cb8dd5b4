"""What all parts of a benchmark share: the options, the cells, the machine's own rate."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from entrypoints.benchmarks import timing
from entrypoints.benchmarks.options import BenchmarkOptions
from looped.config import TrainConfig
from looped.training.resolve import resolve

Row = dict[str, Any]
"""Figures of one thing, by name; ``name`` names the thing."""


@dataclass(frozen=True)
class Workbench:
    """A machine that is measured.

    Attributes:
        options: what to measure.
        base: resolved; what every configuration shares.
    """

    options: BenchmarkOptions
    base: TrainConfig

    @classmethod
    def set_up(cls, options: BenchmarkOptions) -> "Workbench":
        """Resolve what was left automatic.

        Raises:
            ValueError: a GPU is asked for where there is none.
        """
        settings = {
            name: getattr(options, name)
            for name in ("precision", "device", "n_examples", "batch_size")
        }
        return cls(options, resolve(TrainConfig(**settings)))

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.base.device

    @property
    def n_seeds(self) -> int:
        """Replicas of a program."""
        return self.options.n_seeds(self.device)

    @cached_property
    def rate(self) -> float:
        """FLOP/s of a large matrix product."""
        return timing.matrix_rate(self.device, self.base.precision, self.options.seconds)

    @property
    def about(self) -> dict[str, Any]:
        """What the figures were measured on."""
        is_gpu = self.device == "cuda"
        return {
            "device": torch.cuda.get_device_name() if is_gpu else "CPU",
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "precision": self.base.precision,
            "matrix_tflops": self.rate / 1e12,
        }

    @property
    def configs(self) -> list[TrainConfig]:
        """The cells, with each prompt."""
        return [
            self.configuration(cell, prompt)
            for prompt in self.options.prompts.split(",")
            for cell in self.options.cell_words(self.device)
        ]

    def configuration(self, cell: str, prompt: str) -> TrainConfig:
        """Resolve a cell that is written size:b."""
        size, _, b = cell.partition(":")
        config = replace(
            self.base, size=size, b=int(b), prompt=prompt, learning_rate=None, loop_window=None
        )
        return resolve(config)

    @cached_property
    def smallest_config(self) -> TrainConfig:
        """The cell of the fewest FLOPs: what is beside the training weighs most in it."""
        return min(self.configs, key=lambda config: config.step_flops)

    @cached_property
    def smallest_step_seconds(self) -> float:
        """Seconds of a step of ``smallest_config`` alone."""
        step = timing.our_steps(self.smallest_config, 1)
        options = self.options
        return timing.median_seconds(step, self.device, options.rounds, options.seconds / 4)


Rows = Iterator[Row]


def cell_name(config: TrainConfig) -> str:
    """Name a cell as the figures do: ``small-b10-joint``."""
    return f"{config.size}-b{config.b}-{config.prompt}"
