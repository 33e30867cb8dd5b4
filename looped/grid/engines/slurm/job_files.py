"""What jobs and the command that submitted them tell one another: files beside the grid.

``runs/grid-1f0c.../slurm/`` holds ``jobs.json`` (which job trains what), ``news/`` (a file a job:
the newest of each of its trainings) and ``jobs/`` (submitit's scripts, and what jobs printed).
"""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from looped.grid.records.ledger import RUNNING, News
from looped.records.files import write_atomically

SECONDS_BETWEEN_WRITES = 5.0
"""Of news that say only how far a training is."""

_DAMAGE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class SubmittedJob:
    """A job of the queue.

    Attributes:
        job: its id, ``12`` or ``12_3``.
        news: name of the file of its news.
        trainings: their identities.
    """

    job: str
    news: str
    trainings: tuple[str, ...]


class JobFiles:
    """The files of a grid's jobs.

    Args:
        grid: folder of the grid.
    """

    def __init__(self, grid: Path) -> None:
        self.folder = grid / "slurm"

    @property
    def scripts(self) -> Path:
        """Folder of submitit's files, and of what the jobs print."""
        return self.folder / "jobs"

    def new_news(self) -> Path:
        """Name a file that no job has."""
        return self.folder / "news" / f"{secrets.token_hex(8)}.json"

    def jobs(self) -> list[SubmittedJob]:
        """Return the jobs that were submitted, oldest first; none where the file is damaged."""
        try:
            content = json.loads((self.folder / "jobs.json").read_bytes())
            return [
                SubmittedJob(
                    job=str(each["job"]),
                    news=Path(str(each["news"])).name,
                    trainings=tuple(str(identity) for identity in each["trainings"]),
                )
                for each in content
            ]
        except _DAMAGE:
            return []

    def keep(self, jobs: Sequence[SubmittedJob]) -> None:
        """Keep which jobs there are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = [asdict(job) for job in jobs]
        write_atomically(self.folder / "jobs.json", json.dumps(content, indent=1).encode())

    def news_of(self, job: SubmittedJob) -> dict[str, News]:
        """Return the newest of each training of a job, by identity; none before it began."""
        return read_news(self.folder / "news" / job.news)

    def log_of(self, job: str) -> Path:
        """Name the file of what a job printed to its standard error."""
        return self.scripts / f"{job}_0_log.err"


class NewsFile:
    """Keeps the newest of each training of a job, where the job runs.

    Args:
        path: of the file, on a file system that the submitting machine sees.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._newest = read_news(path)
        self._written_at = 0.0
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def newest(self) -> dict[str, News]:
        """The newest of each training, by identity."""
        return dict(self._newest)

    def send(self, news: News) -> None:
        """Keep news; those that are no more than a step are written now and then."""
        before = self._newest.get(news.identity)
        self._newest[news.identity] = news
        is_change = before is None or (before.state, before.run_id) != (news.state, news.run_id)
        is_due = time.monotonic() - self._written_at >= SECONDS_BETWEEN_WRITES
        if is_change or news.state != RUNNING or is_due:
            self._written_at = time.monotonic()
            content = {identity: asdict(each) for identity, each in self._newest.items()}
            write_atomically(self._path, json.dumps(content).encode())


def read_news(path: Path) -> dict[str, News]:
    """Read the news of a job, by identity; none where the file is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
        return {str(identity): News(**news) for identity, news in content.items()}
    except _DAMAGE:
        return {}
