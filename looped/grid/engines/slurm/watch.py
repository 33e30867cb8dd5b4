"""Follows jobs: what their files say, beside what the queue says of them."""

import logging
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from looped.grid.engines.engine import Desk
from looped.grid.engines.slurm.group_job import THROUGH
from looped.grid.engines.slurm.job_files import JobFiles, SubmittedJob
from looped.grid.engines.slurm.queue import GONE, JobState, SlurmError, states_of
from looped.grid.records.ledger import ENDED, FINISHED, KILLED, LOST, QUEUED, RUNNING, UNTOLD, News

GRACE_SECONDS = 60.0
"""How long what a job wrote last may take to be seen through a shared file system."""

logger = logging.getLogger("looped")


class JobWatch:
    """Tells a desk how the trainings of jobs go.

    Args:
        files: of the grid's jobs.
        desk: hears of them.
        is_told: whether the jobs tell MLflow themselves, or there is none.

    Attributes:
        jobs: those that are not known to be over.
    """

    def __init__(self, files: JobFiles, desk: Desk, is_told: bool) -> None:
        self.jobs: list[SubmittedJob] = []
        self._files, self._desk, self._is_told = files, desk, is_told
        self._heard: dict[str, News] = {}
        self._over_since: dict[str, float] = {}
        self._is_silent = False

    def take_up(self, identities: AbstractSet[str]) -> set[str]:
        """Follow what earlier commands submitted; return the trainings that need no new job.

        Args:
            identities: of the trainings that are to be trained.

        Raises:
            SlurmError: the queue does not answer.
        """
        jobs = [job for job in self._files.jobs() if not identities.isdisjoint(job.trainings)]
        states = states_of(job.job for job in jobs)
        self.jobs = [job for job in jobs if not states[job.job].has_ended]
        for job in jobs:
            if states[job.job].has_ended:  # while nobody listened
                self._hear(job, states[job.job], is_late=True)
        cared_for = {identity for job in self.jobs for identity in job.trainings}
        through = {each.identity for each in self._heard.values() if each.state in THROUGH}
        return cared_for | {
            identity for identity in through if self._heard[identity].state in (FINISHED, UNTOLD)
        }

    def add(self, jobs: Sequence[SubmittedJob]) -> None:
        """Follow jobs that were submitted just now; keep which there are."""
        self.jobs += jobs
        self._files.keep(self.jobs)
        for job in jobs:
            for identity in job.trainings:
                self._say(News(identity=identity, state=QUEUED, reason=f"job {job.job}"))

    def look(self) -> None:
        """Hear once how all jobs stand; a queue that does not answer is asked again later."""
        try:
            states = states_of(job.job for job in self.jobs)
        except SlurmError as error:
            if not self._is_silent:
                logger.warning("Slurm does not answer, and is asked again (%s)", error)
            self._is_silent = True
            return
        self._is_silent = False
        jobs_left = [job for job in self.jobs if not self._hear(job, states[job.job])]
        if len(jobs_left) < len(self.jobs):
            self.jobs = jobs_left
            self._files.keep(self.jobs)

    def _hear(self, job: SubmittedJob, state: JobState, is_late: bool = False) -> bool:
        """Hear how the trainings of a job go; tell whether all that it will say was said."""
        news = self._files.news_of(job)
        if state.has_ended:
            began_at = self._over_since.setdefault(job.job, time.monotonic())
            is_late = is_late or time.monotonic() - began_at > GRACE_SECONDS
        is_over = True
        for identity in job.trainings:
            newest = news.get(identity)
            if newest is not None and newest.state in THROUGH:
                is_untold = newest.state == FINISHED and not self._is_told
                self._say(replace(newest, state=UNTOLD) if is_untold else newest)
            elif not state.has_ended:
                is_over = False
                self._say(_on_its_way(identity, job.job, state, newest))
            elif _may_say_more(state, newest) and not is_late:
                is_over = False
            else:
                self._say(self._killed(identity, job.job, state, newest))
        return is_over and state.has_ended

    def _killed(self, identity: str, job: str, state: JobState, newest: News | None) -> News:
        log = self._files.log_of(job)
        end = f"ended: {state.state}"
        if state.state == GONE:
            end = "left the queue" if newest else "was cancelled before it began"
        reason = f"its job {job} {end}"
        if newest is not None and newest.state == KILLED and newest.reason:
            reason = f"{newest.reason} ({reason})"
        elif state.state not in ("CANCELLED", "NODE_FAIL", "TIMEOUT") and log.exists():
            reason = f"{reason} (see {log})"
        run_id, step = (newest.run_id, newest.step) if newest is not None else ("", 0)
        return News(identity=identity, state=KILLED, run_id=run_id, step=step, reason=reason)

    def _say(self, news: News) -> None:
        if self._heard.get(news.identity) != news:
            self._heard[news.identity] = news
            self._desk.hear(news)


def _on_its_way(identity: str, job: str, state: JobState, newest: News | None) -> News:
    """Say how a training stands whose job is queued or runs."""
    if newest is not None and newest.state == RUNNING and not state.waits:
        return newest
    if newest is not None and newest.state == RUNNING:  # its process is gone, not its job
        reason = f"job {job} was lost with its node, and is queued again"
        return News(identity=identity, state=LOST, run_id=newest.run_id, reason=reason)
    if newest is not None:
        reason = f"job {job} is queued again, and goes on from its checkpoint"
        return News(identity=identity, state=QUEUED, reason=reason)
    because = f" ({state.reason})" if state.waits and state.reason else ""
    return News(identity=identity, state=QUEUED, reason=f"job {job}{because}")


def _may_say_more(state: JobState, newest: News | None) -> bool:
    """Tell whether a job may have ended well, and what it wrote last is not seen yet.

    One of an array that is cancelled before it begins is gone from the queue at once.
    """
    if newest is None:
        return state.state == "COMPLETED"
    return newest.state not in ENDED and state.state in ("COMPLETED", GONE)
