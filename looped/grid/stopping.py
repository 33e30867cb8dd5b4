"""Asks a training to stop in good order when a signal comes or its launcher is gone."""

import os
import signal
from types import FrameType

from looped.names import Variable


class StopRequest:
    """Remembers that SIGTERM or SIGINT came; call it to ask.

    A second SIGINT interrupts at once. A process that ``mlflow run`` started, or a grid, stops
    as well when that parent is gone: a SIGTERM to the parent alone never reaches the child.

    Args:
        has_launcher: whether the parent is such a process; None finds out whether it is
            ``mlflow run``.
    """

    def __init__(self, has_launcher: bool | None = None) -> None:
        self.signal: signal.Signals | None = None
        if has_launcher is None:
            has_launcher = Variable.RUN_ID in os.environ
        self._launcher = os.getppid() if has_launcher else None
        self.listen()

    def listen(self) -> None:
        """Take the signals, from whoever has taken them since."""
        signal.signal(signal.SIGTERM, self._remember)
        signal.signal(signal.SIGINT, self._remember)

    def __call__(self) -> bool:
        """Tell whether to stop."""
        if self._launcher is not None and os.getppid() != self._launcher:
            self.signal = self.signal or signal.SIGTERM
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The shell's exit code for a process that the signal ended."""
        return 128 + (self.signal or signal.SIGTERM)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = self.signal or signal.Signals(number)
