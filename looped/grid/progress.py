"""Shows how far a grid is: one bar over all its trainings on a terminal, plain lines elsewhere."""

import sys
import time
from typing import NoReturn

from tqdm import tqdm

from looped.counting import counted
from looped.grid.records.ledger import Ledger

SECONDS_BETWEEN_LINES = 10.0


class GridProgress:
    """Shows how many trainings are through, which part of the work is done, and the time left.

    The work is the FLOPs of all steps, so that a training of a large model counts for more; the
    time left follows from the work done since this object was made.

    Args:
        ledger: of the grid; asked whenever something is shown.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._work_before, self._work_in_all = ledger.work
        self._began_at = self._said_at = time.monotonic()
        self._bar: tqdm[NoReturn] | None = None
        if sys.stderr.isatty():
            # an average over the whole time: speeds differ between sizes
            self._bar = tqdm(
                total=self._work_in_all,
                initial=self._work_before,
                smoothing=0,
                desc=self._counts(),
                bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed} so far{postfix}",
            )

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
        """Estimate the time left from the work done so far; None before any is."""
        work_done, work_in_all = self._ledger.work
        new_work = work_done - self._work_before
        if new_work <= 0:
            return None
        return (time.monotonic() - self._began_at) * (work_in_all - work_done) / new_work

    def _how_far(self) -> str:
        work_done, work_in_all = self._ledger.work
        share = f", {work_done / max(1, work_in_all):.0%} of the work"
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
        self._bar.n = self._ledger.work[0]
        self._bar.refresh()
