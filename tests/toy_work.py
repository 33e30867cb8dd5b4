"""Work for workers that is no training; here, since they find it by its module's name."""

import os
import signal
import time

from looped.grid.ledger import FINISHED, KILLED, RUNNING, News


def never():
    return lambda: False


def until_signal():
    came = []
    signal.signal(signal.SIGTERM, lambda *_: came.append(1))
    return lambda: bool(came)


def toy(group, report, should_stop, dies_at=None, sleeps=0.0):
    for cell in group:
        report(News(cell.identity, RUNNING, step=os.getpid()))
        if cell.seed == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + sleeps
        while time.monotonic() < end and not should_stop():
            time.sleep(0.01)
        report(News(cell.identity, KILLED if should_stop() else FINISHED, reason="toy"))
