"""What a job of Slurm's does: trains a group, and stops it in good order before the time limit."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from looped.config import TrainConfig
from looped.grid.engines.engine import Work
from looped.grid.engines.slurm.job_files import NewsFile
from looped.grid.engines.slurm.queue import SlurmError, requeue
from looped.grid.records.ledger import FAILED, FINISHED, KILLED, UNTOLD, News
from looped.grid.records.standing import last_step
from looped.grid.stopping import StopRequest
from looped.records.folder import run_path

THROUGH = (FINISHED, UNTOLD, FAILED)
"""What a job that begins again leaves alone."""


class JobSignals(StopRequest):
    """Asks a training to stop also when Slurm says that the time limit is near (SIGUSR2)."""

    def __init__(self) -> None:
        self.is_late = False
        super().__init__(has_launcher=False)

    def listen(self) -> None:
        """Take the signals, from whoever has taken them since."""
        super().listen()
        signal.signal(signal.SIGUSR2, self._remember_limit)

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return self.is_late or super().__call__()

    def _remember_limit(self, number: int, frame: FrameType | None) -> None:
        self.is_late = True


@dataclass(frozen=True)
class GroupJob:
    """A group of trainings as a job; pickled when it is submitted, called where it runs.

    Attributes:
        group: resolved, but for what the node decides.
        work: what is done with it.
        variables: of the environment, to set there.
        news: file of its news.
        root: folder of all runs.
        n_threads: of each training.
        requeue: puts a job back into the queue.
    """

    group: Sequence[TrainConfig]
    work: Work
    variables: Mapping[str, str]
    news: Path
    root: Path
    n_threads: int
    requeue: Callable[[str], None] = requeue

    def __call__(self) -> None:
        """Train what is not through; go back into the queue where the time limit came first."""
        signals = JobSignals()
        import torch

        torch.set_num_threads(self.n_threads)
        os.environ.update(self.variables)
        news = NewsFile(self.news)
        states = {identity: each.state for identity, each in news.newest.items()}
        group = [each for each in self.group if states.get(each.identity) not in THROUGH]
        step_before = self._steps(group)
        self.work(group, news.send, signals)
        left = [each for each in group if news.newest[each.identity].state not in THROUGH]
        if not (signals.is_late and left):
            return
        if self._steps(group) > step_before or len(left) < len(group):
            self._go_back(left, news)
        else:
            reason = "the time limit came before a step more was saved: give slurm a longer time"
            for config in left:
                news.send(News(identity=config.identity, state=KILLED, reason=reason))

    def _steps(self, group: Sequence[TrainConfig]) -> int:
        return sum(last_step(run_path(self.root, config)) for config in group)

    def _go_back(self, left: Sequence[TrainConfig], news: NewsFile) -> None:
        job = job_id()
        print(f"the time limit is near: job {job} goes back into the queue", file=sys.stderr)
        sys.stderr.flush()
        try:
            self.requeue(job)
        except SlurmError as error:
            reason = f"the time limit came, and job {job} could not be queued again ({error})"
            for config in left:
                news.send(News(identity=config.identity, state=KILLED, reason=reason))
        else:
            sys.exit(0)  # as no result: submitit would take the job as done


def job_id() -> str:
    """Return the id of the job that this process is of, ``12`` or ``12_3``."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is None:
        return os.environ["SLURM_JOB_ID"]
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
