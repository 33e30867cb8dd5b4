"""Asks Slurm's programs how jobs stand; they alone know, and speak in lines of text."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from looped.rules import one_line

ANSWER_SECONDS = 60.0

ENDED_STATES = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)
"""A job in one of these is over, and Slurm will not begin it again by itself."""
WAITING_STATES = ("CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
GONE = "gone"
"""Of a job that the queue does not list any more."""

_PASSING = re.compile(r"busy|down|drain|inactive", re.IGNORECASE)
"""Reasons for which sbatch may take a job all the same, to run it later."""


class SlurmError(RuntimeError):
    """A program of Slurm's did not answer, or refused; the message is its own, in a line."""


class JobState(NamedTuple):
    """How a job stands, in Slurm's words, and why it waits where it does."""

    state: str
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it is over for good."""
        return self.state in (*ENDED_STATES, GONE)

    @property
    def waits(self) -> bool:
        """Whether it is queued, for the first time or again."""
        return self.state in WAITING_STATES


def require_slurm() -> None:
    """Require Slurm's programs.

    Raises:
        ValueError: this is no machine from which jobs are submitted.
    """
    for program in ("sbatch", "squeue", "scontrol", "srun"):
        if shutil.which(program) is None:
            raise ValueError(
                f"engine=slurm must run where jobs are submitted from, got no {program} on the PATH"
            )


def require_accepted(script: str) -> None:
    """Ask whether Slurm would take a job, and submit nothing.

    Raises:
        ValueError: it would not; the message holds its reason.
    """
    try:
        _answer(["sbatch", "--test-only"], script)
    except SlurmError as error:
        if not _PASSING.search(str(error)):
            raise ValueError(f"slurm must ask for what the cluster has, got: {error}") from None


def largest_array() -> int:
    """Return how many jobs one array may have."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _answer(["scontrol", "show", "config"]), re.M)
    return max(1, int(match[1])) if match else 1001  # Slurm's own default


def states_of(jobs: Iterable[str]) -> dict[str, JobState]:
    """Say how jobs stand; those that Slurm has forgotten are gone.

    Args:
        jobs: their ids, ``12`` or ``12_3``.

    Raises:
        SlurmError: the queue does not answer.
    """
    job_ids = list(jobs)
    if not job_ids:
        return {}
    arrays = ",".join(dict.fromkeys(job.partition("_")[0] for job in job_ids))
    words = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r"]
    try:
        answer = _answer([*words, f"--jobs={arrays}"])
    except SlurmError as error:
        if "Invalid job id" not in str(error):  # the one array asked for is forgotten
            raise
        answer = ""
    standing = {}
    for line in answer.splitlines():
        job, _, rest = line.strip().partition("|")
        state, _, reason = rest.partition("|")
        standing[job] = JobState(state, "" if reason == "None" else reason)
    return {job: standing.get(job, JobState(GONE)) for job in job_ids}


def requeue(job: str) -> None:
    """Put a running job back into the queue, which ends its processes.

    Raises:
        SlurmError: Slurm refuses.
    """
    _answer(["scontrol", "requeue", job])


def _answer(words: list[str], script: str | None = None) -> str:
    try:
        answer = subprocess.run(
            words, input=script, capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(one_line(error)) from None
    if answer.returncode != 0:
        lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
        reason = "; ".join(lines) or f"{words[0]} ended with code {answer.returncode}"
        raise SlurmError(one_line(reason))
    return answer.stdout
