"""Where a run comes from: the code, the machine and the grid, kept beside its journal."""

import json
import logging
import os
import re
import socket
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from looped.names import Tag
from looped.records.damage import DamagedFileError, read_object, writing
from looped.records.files import write_atomically
from looped.records.machine import this_machine

UNKNOWN = "unknown"
_WORD = re.compile(r"[\w.:-]{1,255}")

logger = logging.getLogger("looped")


@dataclass(frozen=True)
class Origin:
    """What MLflow is told of the process that trains.

    Attributes:
        commit: of the code, or ``unknown``.
        is_dirty: whether uncommitted changes lay on it; None if unknown.
        host: name of the machine.
        grid: identity of the grid that the run is one of, or None.
        machine: which of the machines of that name; empty if unknown.
    """

    commit: str
    is_dirty: bool | None
    host: str
    grid: str | None = None
    machine: str = ""

    @classmethod
    def here(cls, grid: str | None = None) -> "Origin":
        """Describe this process."""
        return cls(*git_state(), socket.gethostname(), grid, this_machine())

    @classmethod
    def read(cls, folder: Path) -> "Origin | None":
        """Read what ``write`` left in a folder; where that is damaged, say so: it is unknown."""
        path = folder / "origin.json"
        if not os.path.exists(path):  # or in another user's folder, which cannot be looked into
            return None
        try:
            content = read_object(path)
            try:
                origin = cls(**content)
            except TypeError as error:
                raise DamagedFileError(path, error) from error
            words = [origin.commit, origin.host, UNKNOWN if origin.grid is None else origin.grid]
            words += [origin.machine or UNKNOWN]
            if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in words) or (
                origin.is_dirty not in (None, True, False)
            ):
                raise DamagedFileError(path, "it names no commit, machine and grid")
        except DamagedFileError as error:
            logger.warning("%s; where the run comes from is taken as unknown", error)
            return cls(UNKNOWN, None, UNKNOWN)
        return origin

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder; the newest process stands.

        Raises:
            UnwritableError: the disk takes no more.
        """
        with writing(folder / "origin.json"):
            write_atomically(folder / "origin.json", json.dumps(asdict(self), indent=2).encode())

    @property
    def tags(self) -> dict[str, str]:
        """The same as tags of an MLflow run."""
        tags = {
            Tag.COMMIT: self.commit,
            Tag.DIRTY: str(self.is_dirty).lower(),
            Tag.HOST: self.host,
        }
        tags |= {Tag.MACHINE: self.machine} if self.machine else {}
        return tags if self.grid is None else {**tags, Tag.GRID: self.grid}


def git_state() -> tuple[str, bool | None]:
    """Return the commit of the code and whether uncommitted changes lie on it."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        answer = subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        )
        return answer.stdout.strip()

    try:
        return ask("rev-parse", "HEAD"), bool(ask("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN, None
