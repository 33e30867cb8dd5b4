"""A run's place on disk, owned by one process at a time.

``runs/tiny-b5-s42-1f0c.../`` holds ``config.json``, ``origin.json``, ``journal.jsonl``,
``checkpoints/``, ``lock`` and what the tracker keeps. The name ends with the identity of the
resolved configuration, so the same command finds what it left.
"""

import fcntl
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from looped.config import TrainConfig
from looped.records.files import write_atomically
from looped.records.journal import Journal
from looped.records.origin import Origin

LOOKED_AT_SECONDS = 1.0
"""Whoever asks whether a lock is held holds it for a moment: so long a newcomer waits."""


class FolderInUseError(RuntimeError):
    """Another process works in this folder right now."""


class FolderLock:
    """The right to write in a folder; lost when closed, or when the process dies.

    Args:
        folder: made if missing.
        patience: seconds to wait for another process to leave.

    Raises:
        FolderInUseError: another living process holds the lock.
    """

    def __init__(self, folder: Path, patience: float = LOOKED_AT_SECONDS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = (folder / "lock").open("a", encoding="utf-8")
        deadline = time.monotonic() + patience
        while not self._is_mine():
            if time.monotonic() > deadline:
                self._file.close()
                raise FolderInUseError(
                    f"one process at a time may work in a folder, and another works in {folder}"
                )
            time.sleep(0.05)

    def sign(self, owner: str) -> None:
        """Write the owner's name, an MLflow run id, into the lock that this process holds."""
        self._file.truncate(0)
        self._file.write(owner)
        self._file.flush()

    def close(self) -> None:
        """Give the lock back."""
        self._file.close()

    def _is_mine(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class RunFolder:
    """The files of one run; holds the lock until closed, or until the process dies.

    Args:
        root: folder of all runs.
        config: resolved configuration, whose identity names the folder.
        fresh: put an earlier run of this identity aside (``.1``, ``.2``, ...) and begin anew.
        patience: seconds to wait for another process that trains it to leave.

    Raises:
        FolderInUseError: another living process holds the lock.
        ValueError: the run was begun on another device.
    """

    def __init__(
        self,
        root: Path,
        config: TrainConfig,
        fresh: bool = False,
        patience: float = LOOKED_AT_SECONDS,
    ) -> None:
        self.path = run_path(root, config)
        self._lock = FolderLock(self.path, patience)
        if fresh and self.journal_path.exists():
            self._put_aside()
            self._lock = FolderLock(self.path, patience)
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

    @property
    def origin(self) -> Origin:
        """Where the run's newest process ran; this very process if none has said."""
        return Origin.read(self.path) or Origin.here()

    def sign_lock(self, owner: str) -> None:
        """Write the owner's name, an MLflow run id, into the lock that this process holds."""
        self._lock.sign(owner)

    def close(self) -> None:
        """Close the journal and give the lock back."""
        self.journal.close()
        self._lock.close()

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


def run_path(root: Path, config: TrainConfig) -> Path:
    """Name the folder of a resolved configuration."""
    return root / f"{config.name}-{config.identity}"


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
