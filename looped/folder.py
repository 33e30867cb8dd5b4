"""A run's place on disk, owned by one process at a time.

``runs/tiny-b5-s42-1f0c.../`` holds ``config.json``, ``journal.jsonl``, ``checkpoints/``,
``lock`` and what the tracker keeps. The name ends with the identity of the resolved
configuration, so the same command finds what it left.
"""

import fcntl
import json
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from looped.checkpoint import write_atomically
from looped.config import TrainConfig
from looped.journal import Journal


class FolderInUseError(RuntimeError):
    """Another process trains this configuration right now."""


class RunFolder:
    """The files of one run; holds the lock until closed, or until the process dies.

    Args:
        root: folder of all runs.
        config: resolved configuration, whose identity names the folder.
        fresh: put an earlier run of this identity aside (``.1``, ``.2``, ...) and begin anew.

    Raises:
        FolderInUseError: another living process holds the lock.
        ValueError: the run was begun on another device.
    """

    def __init__(self, root: Path, config: TrainConfig, fresh: bool = False) -> None:
        self.path = root / f"{config.name}-{config.identity}"
        self._lock = self._take_lock()
        if fresh and self.journal_path.exists():
            self._put_aside()
            self._lock = self._take_lock()
        try:
            self._check_device(config.device)
        except ValueError:
            self._lock.close()
            raise
        content = {"config": asdict(config), "recipe": config.recipe, "identity": config.identity}
        write_atomically(self.path / "config.json", json.dumps(content, indent=2).encode())
        self.journal = Journal(self.journal_path)

    @property
    def journal_path(self) -> Path:
        """The run's journal."""
        return self.path / "journal.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def sign_lock(self, owner: str) -> None:
        """Write the owner's name, an MLflow run id, into the lock that this process holds."""
        self._lock.truncate(0)
        self._lock.write(owner)
        self._lock.flush()

    def close(self) -> None:
        """Close the journal and give the lock back."""
        self.journal.close()
        self._lock.close()

    def _take_lock(self) -> IO[str]:
        self.path.mkdir(parents=True, exist_ok=True)
        lock = (self.path / "lock").open("a", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise FolderInUseError(
                f"one process at a time may train a configuration, and another trains {self.path}"
            ) from None
        return lock

    def _put_aside(self) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        self.path.rename(aside)
        self._lock.close()

    def _check_device(self, device: str) -> None:
        path = self.path / "config.json"
        if path.exists():
            begun_on = read_config(self.path)["config"]["device"]
            if begun_on != device:
                raise ValueError(
                    f"{self.path} was begun with device={begun_on} and must go on there "
                    f"(or resume=never), got device={device}"
                )


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's ``config.json``: its ``config``, ``recipe`` and ``identity``."""
    content: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return content


def is_held_by(folder: Path, owner: str) -> bool:
    """Tell whether a living process holds the folder's lock in the owner's name."""
    path = folder / "lock"
    if not path.exists():
        return False
    with path.open("r", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read() == owner
    return False
