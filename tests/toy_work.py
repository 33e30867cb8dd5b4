"""Work for workers that is no training; here, since they find it by its module's name."""

import os
import signal
import time

from looped.grid.records.ledger import FINISHED, KILLED, RUNNING, News


def never():
    return lambda: False


def until_signal():
    signals = []
    signal.signal(signal.SIGTERM, lambda *_: signals.append(1))
    return lambda: bool(signals)


def toy(group, send, should_stop, dies_at=None, sleeps=0.0):
    for config in group:
        send(News(identity=config.identity, state=RUNNING, step=os.getpid()))
        if config.seed == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + sleeps
        while time.monotonic() < end and not should_stop():
            time.sleep(0.01)
        state = KILLED if should_stop() else FINISHED
        send(News(identity=config.identity, state=state, reason="toy"))
