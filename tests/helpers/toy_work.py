"""Work for workers that is no training; here, since they find it by its module's name."""

import os
import signal
import time

from looped.grid.records.ledger import FAILED, FINISHED, KILLED, RUNNING, News
from looped.grid.records.standing import last_step
from looped.records.folder import run_path


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


def counting(group, send, should_stop, root, steps, seconds=0.1, dies_at=None):
    """Leave a checkpoint a step, as a training does, and go on behind the newest."""
    for config in group:
        checkpoints = run_path(root, config) / "checkpoints"
        checkpoints.mkdir(parents=True, exist_ok=True)
        first = last_step(checkpoints.parent)
        for step in range(first + 1, steps + 1):
            time.sleep(seconds)
            (checkpoints / f"step-{step}.json").write_text("{}")
            send(News(identity=config.identity, state=RUNNING, step=step))
            if config.seed == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if should_stop():
                break
        is_through = last_step(checkpoints.parent) >= steps
        reason = f"began behind step {first}"
        state = FINISHED if is_through else KILLED
        send(News(identity=config.identity, state=state, step=steps, reason=reason))


def where(group, send, should_stop, dies_at=None):
    """Say on which GPU this process is."""
    for config in group:
        send(News(identity=config.identity, state=RUNNING))
        if config.seed == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.5)  # so that both workers take part
        reason = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        send(News(identity=config.identity, state=FINISHED, reason=reason))


def failing(group, send, should_stop, fails_at):
    """Fail at a seed, as a training does that its GPU has no memory for; name the process."""
    for config in group:
        state = FAILED if config.seed == fails_at else FINISHED
        send(News(identity=config.identity, state=state, step=os.getpid()))
