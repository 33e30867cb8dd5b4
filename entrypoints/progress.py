"""Shows how a training goes: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Told of each point of the curve, shows loss, query error, steps/s and time left."""

    def __init__(
        self, name: str, n_steps: int, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.name = name
        self.should_stop = should_stop
        self.n_steps = n_steps
        self._bar: tqdm[NoReturn] | None = None
        self._is_terminal = sys.stderr.isatty()
        self._said_at = -SECONDS_BETWEEN_LINES

    def __call__(self, step: int, values: Mapping[str, float]) -> None:
        """Show one point."""
        loss, error = values["train/loss"], values["train/query_error"]
        speed = values["speed/steps_per_s"]
        if self._is_terminal:
            if self._bar is None:
                self._bar = tqdm(total=self.n_steps, initial=step, desc=self.name, unit="step")
            self._bar.set_postfix_str(f"loss {loss:.4f}, query error {error:.4f}", refresh=False)
            self._bar.update(step - self._bar.n)
            if step == self.n_steps:
                self.close()
        elif time.monotonic() - self._said_at >= SECONDS_BETWEEN_LINES or step == self.n_steps:
            self._said_at = time.monotonic()
            left = tqdm.format_interval((self.n_steps - step) / speed)
            print(
                f"{self.name}: step {step:,}/{self.n_steps:,}, loss {loss:.4f}, "
                f"query error {error:.4f}, {speed:.1f} steps/s, {left} left",
                file=sys.stderr,
                flush=True,
            )

    def evaluated(self, done: int, total: int) -> None:
        """Show how far an evaluation is: on a terminal, or once it takes long.

        Raises:
            KeyboardInterrupt: it should stop.
        """
        if self.should_stop():
            raise KeyboardInterrupt
        if self._is_terminal:
            end = "\n" if done == total else ""
            line = f"\r{self.name}: evaluated on {done:,}/{total:,} prompts{end}"
            print(line, end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._said_at >= SECONDS_BETWEEN_LINES:
            self._said_at = time.monotonic()
            print(f"{self.name}: evaluated on {done:,}/{total:,} prompts", file=sys.stderr)

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
