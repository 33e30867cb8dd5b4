"""The Slurm engine: groups of trainings as jobs of a queue. Nothing else imports submitit."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError

from looped.config import TrainConfig
from looped.counting import counted
from looped.grid.engines.choice import is_of_one_machine
from looped.grid.engines.engine import After, Desk, Work, decided_for, environment
from looped.grid.engines.slurm.group_job import GroupJob
from looped.grid.engines.slurm.job_files import JobFiles, SubmittedJob
from looped.grid.engines.slurm.queue import (
    largest_array,
    require_accepted,
    require_slurm,
)
from looped.grid.engines.slurm.settings import SlurmSettings
from looped.grid.engines.slurm.watch import JobWatch
from looped.grid.options import GridOptions
from looped.grid.places import is_temporary_checkout
from looped.grid.records.ledger import KILLED, News
from looped.rules import one_line, require
from looped.training.groups import replica_groups

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store

SECONDS_BETWEEN_TICKS = 0.5
FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 1.0, 15.0
"""Between two questions to the queue: seldom enough for a shared controller, once jobs are long."""


class SlurmEngine:
    """Jobs of a Slurm queue, which wait for no other: each training takes all its steps itself.

    Raises:
        ValueError: this machine submits no jobs, or the cluster would refuse these.
    """

    def __init__(self, options: GridOptions) -> None:
        self._settings = SlurmSettings.read(options.slurm)
        self._waits = options.wait
        require_slurm()
        rule = "engine=slurm must be given in a checkout that every node sees"
        require(not is_temporary_checkout(), rule, f"the temporary one in {Path.cwd()}")
        folder = Path(tempfile.gettempdir())
        script = _executor(folder, self._settings, "looped")._make_submission_file_text("true", "")
        require_accepted(script)

    def resolve(self, configs: Sequence[TrainConfig]) -> list[TrainConfig]:
        device = self._settings.device
        rule = (
            f"device must be what slurm asks a job for, {device} (gpus_per_task=1 asks for a GPU)"
        )
        return [decided_for(config, device, rule) for config in configs]

    def groups(self, configs: Sequence[TrainConfig], replicas: str) -> list[list[TrainConfig]]:
        return replica_groups(configs, replicas)

    def threads(self, groups: Sequence[Sequence[TrainConfig]]) -> int:
        return self._settings.cores

    def at_once(self, groups: Sequence[Sequence[TrainConfig]], n_threads: int) -> int:
        return max(1, min(self._settings.at_once, len(groups)))

    def is_under_way(self, folder: Path, configs: Sequence[TrainConfig]) -> bool:
        if self._waits:
            return False
        identities = {config.identity for config in configs}
        watch = JobWatch(JobFiles(folder), _Silence(folder), is_told=True)
        return identities <= watch.take_up(identities)

    def run(
        self,
        groups: Sequence[Sequence[TrainConfig]],
        work: Work,
        store: "Store | None",
        desk: Desk,
        n_threads: int,
        after: After,
    ) -> None:
        files = JobFiles(desk.folder)
        is_told = store is None or not is_of_one_machine(store)
        watch = JobWatch(files, desk, is_told)
        under_way = watch.take_up({config.identity for group in groups for config in group})
        root, variables = desk.folder.parent, environment(store)
        jobs = [
            GroupJob(tuple(left), work, variables, files.new_news(), root, n_threads)
            for group in groups
            if (left := [config for config in group if config.identity not in under_way])
        ]
        self._submit(jobs, files, watch, desk)
        pause, looked_at = FIRST_LOOK_SECONDS, time.monotonic()
        watch.look()
        while watch.jobs and self._waits:
            if desk.should_stop():
                _say(f"{_named(watch.jobs)} go on: the same command waits for them again, and "
                     f"scancel {_arrays(watch.jobs)} ends them")  # fmt: skip
                return
            if time.monotonic() - looked_at >= pause:
                watch.look()
                looked_at, pause = time.monotonic(), min(1.1 * pause, LONGEST_LOOK_SECONDS)
            desk.tick()
            time.sleep(SECONDS_BETWEEN_TICKS)

    def _submit(
        self, jobs: Sequence[GroupJob], files: JobFiles, watch: JobWatch, desk: Desk
    ) -> None:
        """Submit jobs as arrays, each begun when the one before it has ended."""
        if not jobs:
            return
        name = f"looped-{desk.folder.name}"
        executor = _executor(files.scripts, self._settings, name)
        most = largest_array()
        for start in range(0, len(jobs), most):
            part = jobs[start : start + most]
            try:
                submitted = executor.submit_array(part)
            except (FailedJobError, FailedSubmissionError) as error:
                reason = one_line(" ".join(str(error).split()))
                for config in (config for job in jobs[start:] for config in job.group):
                    desk.hear(News(identity=config.identity, state=KILLED, reason=reason))
                return
            submitted_jobs = [
                SubmittedJob(
                    job=job.job_id,
                    news=each.news.name,
                    trainings=tuple(config.identity for config in each.group),
                )
                for job, each in zip(submitted, part, strict=True)
            ]
            watch.add(submitted_jobs)
            n_trainings = sum(len(each.group) for each in part)
            _say(f"submitted {counted(n_trainings, 'training')} as {_named(submitted_jobs)}")
            executor.update_parameters(dependency=f"afterany:{_arrays(submitted_jobs)}")


class _Silence:
    """A desk where nobody listens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def hear(self, news: News) -> None:
        pass

    def tick(self) -> None:
        pass

    def should_stop(self) -> bool:
        return False


def _executor(folder: Path, settings: SlurmSettings, name: str) -> Any:
    executor = SlurmExecutor(folder=folder)
    executor.update_parameters(**settings.for_submitit(name))
    return executor


def _arrays(jobs: Sequence[SubmittedJob]) -> str:
    return " ".join(dict.fromkeys(job.job.partition("_")[0] for job in jobs))


def _named(jobs: Sequence[SubmittedJob]) -> str:
    """Write jobs as a user finds them in the queue."""
    arrays = _arrays(jobs)
    return f"{counted(len(jobs), 'job')} of Slurm ({arrays})"


def _say(line: str) -> None:
    print(line, flush=True)
