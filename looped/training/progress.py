"""Shows how trainings and evaluations go: a bar on a terminal or in a notebook, else lines."""

import sys
import time
from collections.abc import Mapping
from typing import NoReturn

from tqdm import tqdm

from looped.config import TrainConfig
from looped.names import Metric
from looped.training.watcher import Watcher

SECONDS_BETWEEN_LINES = 10.0


def going_on(config: TrainConfig, step: int) -> str:
    """Say from where a training goes on.

    Example:
        >>> going_on(TrainConfig(steps=3000), 710)
        'tiny-b5-s42: going on from step 710 of 3,000'
    """
    return f"{config.name}: going on from step {step:,} of {config.steps:,}"


class Progress(Watcher):
    """Shows loss, query error, steps/s and time left; never stops what it watches."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None
        self._is_terminal = sys.stderr.isatty() or "ipykernel" in sys.modules
        self._said_at = -SECONDS_BETWEEN_LINES

    def began(self, config: TrainConfig, step: int) -> None:
        if step:
            print(going_on(config, step), file=sys.stderr, flush=True)

    def sampled(self, config: TrainConfig, step: int, values: Mapping[str, float]) -> None:
        loss, error = values[Metric.LOSS], values[Metric.QUERY_ERROR]
        name, n_steps = config.name, config.steps
        if self._is_terminal:
            if self._bar is None:
                self._bar = tqdm(total=n_steps, initial=step, desc=name, unit="step")
            self._bar.set_postfix_str(f"loss {loss:.4f}, query error {error:.4f}", refresh=False)
            self._bar.update(step - self._bar.n)
            if step == n_steps:
                self.close()
        elif self._is_due() or step == n_steps:
            self._said_at = time.monotonic()
            speed = values[Metric.STEPS_PER_S]
            time_left = tqdm.format_interval((n_steps - step) / speed)
            print(
                f"{name}: step {step:,}/{n_steps:,}, loss {loss:.4f}, "
                f"query error {error:.4f}, {speed:.1f} steps/s, {time_left} left",
                file=sys.stderr,
                flush=True,
            )

    def evaluated(self, config: TrainConfig, prompts_done: int, n_prompts: int) -> None:
        self.show_evaluation(config.name, prompts_done, n_prompts)

    def show_evaluation(self, name: str, prompts_done: int, n_prompts: int) -> None:
        """Show how far an evaluation is: on a terminal, or once it takes long."""
        line = f"{name}: {prompts_done / n_prompts:.0%} evaluated"
        if self._is_terminal:
            end = "\n" if prompts_done == n_prompts else ""
            print(f"\r{line}{end}", end="", file=sys.stderr, flush=True)
        elif self._is_due():
            self._said_at = time.monotonic()
            print(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _is_due(self) -> bool:
        return time.monotonic() - self._said_at >= SECONDS_BETWEEN_LINES
