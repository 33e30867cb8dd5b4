"""A run's place on disk, owned by one process at a time.

``runs/tiny-b5-s42-1f0c.../`` holds ``config.json``, ``origin.json``, ``journal.jsonl``,
``checkpoints/``, ``lock`` and what the tracker keeps. The name ends with the identity of the
resolved configuration, so the same command finds what it left.
"""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from looped.choices import BEFORE_SETTINGS, DEVICES
from looped.config import TrainConfig
from looped.records.checkpoint_files import newest_step
from looped.records.damage import (
    DamagedFileError,
    UnwritableError,
    one_line,
    open_own,
    read_object,
    writing,
)
from looped.records.files import write_atomically
from looped.records.journal import Journal, Record, write_anew
from looped.records.origin import Origin
from looped.rules import require

LOOKED_AT_SECONDS = 1.0
"""Whoever asks whether a lock is held holds it for a moment: so long a newcomer waits."""


REMEDY = "the train command with the settings that the folder was made with writes it again"
LONGEST_SETTING = 1000
MOST_OWNER_BYTES = 100

logger = logging.getLogger("looped")


class FolderInUseError(RuntimeError):
    """Another process works in this folder right now."""


class FolderLock:
    """The right to write in a folder; lost when closed, or when the process dies.

    Args:
        folder: made if missing.
        patience: seconds to wait for another process to leave.

    Raises:
        FolderInUseError: another living process holds the lock.
        UnwritableError: the folder cannot be made or written in, or ``lock`` is no file of its own.
    """

    def __init__(self, folder: Path, patience: float = LOOKED_AT_SECONDS) -> None:
        path = folder / "lock"
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            number = open_own(path, os.O_RDWR | os.O_CREAT)
        self._path, self._file = path, os.fdopen(number, "r+", encoding="utf-8")
        deadline = time.monotonic() + patience
        while not self._is_mine():
            if time.monotonic() > deadline:
                self._file.close()
                raise FolderInUseError(
                    f"one process at a time may work in a folder, and another works in {folder}"
                )
            time.sleep(0.05)

    def sign(self, owner: str) -> None:
        """Write the owner's name, an MLflow run id, into the lock that this process holds.

        Raises:
            UnwritableError: the disk takes no more.
        """
        with writing(self._path):
            self._file.seek(0)
            self._file.truncate()
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
        except OSError as error:
            self._file.close()
            raise UnwritableError(
                "runs must be kept on a file system that locks files (flock), "
                f"got {self._path}: {one_line(error)}"
            ) from error
        return True


class RunFolder:
    """The files of one run; holds the lock until closed, or until the process dies.

    Args:
        root: folder of all runs.
        config: resolved configuration, whose identity names the folder.
        fresh: put an earlier run of this identity aside (``.1``, ``.2``, ...) and begin anew.
        patience: seconds to wait for another process that trains it to leave.

    Raises:
        DamagedFileError: the journal is none.
        FolderInUseError: another living process holds the lock.
        UnwritableError: the folder cannot be written in.
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
        if fresh and (self.journal_path.exists() or newest_step(self.checkpoints)):
            self._put_aside()
            self._lock = FolderLock(self.path, patience)
        try:
            self._check_device(config.device)
            if not self._holds(config):
                self._write(config)
            self._warn_of_lost_journal()
            self.journal = Journal(self.journal_path)
        except BaseException:
            self._lock.close()
            raise

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

    def rewrite_journal(self, records: Iterable[Record]) -> None:
        """Put other records in place of all that the journal holds, all of them or none."""
        self.journal.close()
        write_anew(self.journal_path, records)
        self.journal = Journal(self.journal_path)

    def sign_lock(self, owner: str) -> None:
        """Write the owner's name, an MLflow run id, into the lock that this process holds."""
        self._lock.sign(owner)

    def close(self) -> None:
        """Close the journal and give the lock back."""
        try:
            self.journal.close()
        finally:
            self._lock.close()

    def _holds(self, config: TrainConfig) -> bool:
        """Tell whether ``config.json`` says it all; one of an older version stays as it is."""
        try:
            return load_config(self.path) == config
        except (DamagedFileError, ValueError):
            return False

    def _write(self, config: TrainConfig) -> None:
        content = {
            "config": asdict(config), "recipe": config.recipe, "identity": config.identity
        }  # fmt: skip
        with writing(self.path / "config.json"):
            text = json.dumps(content, indent=2)
            write_atomically(self.path / "config.json", text.encode())

    def _put_aside(self) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        self.path.rename(aside)
        self._lock.close()

    def _check_device(self, device: str) -> None:
        if not (self.path / "config.json").exists():
            return
        try:
            begun_on = read_config(self.path)["config"]["device"]
        except DamagedFileError as error:  # the folder's name confirms all of it but the device
            logger.warning("%s; it is written again as device=%s", error, device)
            return
        if begun_on != device:
            raise ValueError(
                f"{self.path} was begun with device={begun_on} and must go on there "
                f"(or resume=never), got device={device}"
            )

    def _warn_of_lost_journal(self) -> None:
        step = newest_step(self.checkpoints)
        if step and not (self.journal_path.exists() and self.journal_path.stat().st_size):
            logger.warning(
                "%s is empty beside a checkpoint at step %d: the curve up to there is lost "
                "(resume=never trains anew)", self.journal_path, step,
            )  # fmt: skip


def run_path(root: Path, config: TrainConfig) -> Path:
    """Name the folder of a resolved configuration."""
    return root / f"{config.name}-{config.identity}"


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's ``config.json``: its ``config``, ``recipe`` and ``identity``.

    Raises:
        DamagedFileError: it is not what was written there.
    """
    path = folder / "config.json"
    content = read_object(path, REMEDY)
    config = content.get("config")
    if not isinstance(config, dict) or config.get("device") not in DEVICES:
        raise DamagedFileError(path, "it holds no configuration", REMEDY)
    return content


def load_config(folder: Path) -> TrainConfig:
    """Read which configuration a run's folder is of.

    Raises:
        DamagedFileError: ``config.json`` is not what was written there, or was written by a
            version that knows other settings.
        ValueError: the folder is not named after its configuration.
    """
    path = folder / "config.json"
    values = read_config(folder)["config"]
    try:
        types: dict[str, Any] = {setting.name: setting.type for setting in fields(TrainConfig)}
        for name, value in values.items():
            require(name in types, "settings must be ones that this version knows", name[:80])
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            allowed = types[name] if not is_whole else types[name] | int
            is_ours = isinstance(value, allowed) and len(str(value)) <= LONGEST_SETTING
            is_ours &= not (isinstance(value, bool) and types[name] is not bool)
            require(is_ours, f"{name} must be a setting of its kind", repr(value)[:80])
        config = TrainConfig(**BEFORE_SETTINGS | values)
        expected = run_path(folder.parent, config).name
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedFileError(path, error, REMEDY) from error
    rule = f"its folder must be named {expected} (resume=never puts earlier ones aside)"
    require(expected == folder.name, rule, folder.name)
    return config


def sign_held_lock(folder: Path, owner: str) -> None:
    """Write the owner's name into the lock of a folder, which this process holds.

    Raises:
        UnwritableError: the disk takes no more.
    """
    with writing(folder / "lock"):
        (folder / "lock").write_text(owner, encoding="utf-8")


def lock_owner(folder: Path) -> str:
    """Return who signed a folder's lock last; empty where nobody has, or it cannot be read."""
    try:
        with os.fdopen(open_own(folder / "lock", os.O_RDONLY), "rb") as lock:
            return lock.read(MOST_OWNER_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""


def is_held_by(folder: Path, owner: str) -> bool:
    """Tell whether a living process holds the folder's lock in the owner's name."""
    try:
        number = open_own(folder / "lock", os.O_RDONLY)
    except OSError:
        return False
    with os.fdopen(number, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read(len(owner) + 1) == owner.encode()
        except OSError:  # the file system locks no files
            return False
    return False
