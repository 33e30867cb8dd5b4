"""Shows how far a grid is: one bar over all its trainings on a terminal, plain lines elsewhere."""

import sys
import time
from typing import NoReturn

from tqdm import tqdm

from looped.counting import counted
from looped.grid.records.ledger import Ledger, News
from looped.grid.timing.plan import Plan, Speeds
from looped.grid.timing.time_left import TimeLeft, nominal_seconds

SECONDS_BETWEEN_LINES = 10.0


class GridProgress:
    """Shows how many trainings are through, which part of the work is done, and the time left.

    The work is that of all steps and evaluations, in the seconds that they would take at nominal
    speeds, so that a training of a large model counts for more.

    Args:
        ledger: of the grid; asked whenever something is shown.
        plan: what is left to train.
        speeds: measured beforehand; empty where none were.
    """

    def __init__(self, ledger: Ledger, plan: Plan, speeds: Speeds) -> None:
        self._ledger = ledger
        self._time_left = TimeLeft(plan, speeds)
        self._work_in_all = nominal_seconds(ledger, plan, speeds)
        self._said_at = time.monotonic()
        self._bar: tqdm[NoReturn] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=self._work_in_all,
                initial=self._work_done,
                desc=self._counts(),
                bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed} so far{postfix}",
            )

    def hear(self, news: News) -> None:
        """Take in what a worker says of a training."""
        self._time_left.hear(news, time.monotonic())

    def tick(self) -> None:
        """Show what there is to show, if it is time for it; called about every second."""
        if self._bar is not None:
            self._show()
        elif time.monotonic() - self._said_at >= SECONDS_BETWEEN_LINES:
            self._said_at = time.monotonic()
            print(f"{self._ledger.line()}{self._how_far()}", file=sys.stderr, flush=True)

    def say(self, line: str, is_well: bool = True) -> None:
        """Say a line, above the bar where there is one."""
        file = sys.stdout if is_well else sys.stderr
        if self._bar is None:
            print(line, file=file, flush=True)
        else:
            tqdm.write(line, file=file)
            file.flush()

    def close(self) -> None:
        """Leave the terminal tidy."""
        if self._bar is not None:
            self._show()
            self._bar.close()
            self._bar = None

    def seconds_left(self) -> float | None:
        """Estimate the time left; None while nothing is known of it."""
        return self._time_left.seconds_left(time.monotonic())

    @property
    def _work_done(self) -> float:
        return max(0.0, self._work_in_all - self._time_left.nominal_left)

    def _how_far(self) -> str:
        share = f", {self._work_done / max(1e-9, self._work_in_all):.0%} of the work"
        left = self.seconds_left()
        return share if left is None else f"{share}, {tqdm.format_interval(left)} left"

    def _counts(self) -> str:
        return f"{self._ledger.n_through:,} of {counted(len(self._ledger.entries), 'training')}"

    def _show(self) -> None:
        if self._bar is None:
            return
        left = self.seconds_left()
        self._bar.set_description_str(self._counts(), refresh=False)
        time_left = "" if left is None else f"{tqdm.format_interval(left)} left"
        self._bar.set_postfix_str(time_left, refresh=False)
        self._bar.n = self._work_done
        self._bar.refresh()
