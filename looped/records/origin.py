"""Where a run comes from: the code, the machine and the grid, kept beside its journal."""

import json
import socket
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from looped.names import Tag
from looped.records.files import write_atomically


@dataclass(frozen=True)
class Origin:
    """What MLflow is told of the process that trains.

    Attributes:
        commit: of the code, or ``unknown``.
        is_dirty: whether uncommitted changes lay on it; None if unknown.
        host: name of the machine.
        grid: identity of the grid that the run is one of, or None.
    """

    commit: str
    is_dirty: bool | None
    host: str
    grid: str | None = None

    @classmethod
    def here(cls, grid: str | None = None) -> "Origin":
        """Describe this process."""
        return cls(*git_state(), socket.gethostname(), grid)

    @classmethod
    def read(cls, folder: Path) -> "Origin | None":
        """Read what ``write`` left in a folder."""
        path = folder / "origin.json"
        return cls(**json.loads(path.read_bytes())) if path.exists() else None

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder; the newest process stands."""
        write_atomically(folder / "origin.json", json.dumps(asdict(self), indent=2).encode())

    @property
    def tags(self) -> dict[str, str]:
        """The same as tags of an MLflow run."""
        tags = {
            Tag.COMMIT: self.commit,
            Tag.DIRTY: str(self.is_dirty).lower(),
            Tag.HOST: self.host,
        }
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
        return "unknown", None
