"""Files that are there whole or not at all, and that know when they were changed."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the machine stops.

    The temporary file is this call's own, so that processes may write the same file at once: the
    last one stands. It is locked while it is written, and what a killed process left is removed
    by the next that writes the file.

    Raises:
        OSError: the disk is full, say; it names the file, and leaves what was there before.
    """
    try:
        _write(path, content)
    except OSError as error:
        raise OSError(error.errno, error.strerror or repr(error), str(path)) from error


def _write(path: Path, content: bytes) -> None:
    descriptor, temporary = _open_temporary(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _remove_leftovers(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_temporary(path: Path) -> tuple[int, Path]:
    """Make a file that nobody else writes, and lock it."""
    while True:
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with suppress(OSError):  # where files cannot be locked no leftovers are removed
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # whoever clears up may have taken it for a leftover before it was locked
            if temporary.exists():
                return descriptor, temporary
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed: nobody holds their locks."""
    for leftover in path.parent.glob(f"{escape(path.name)}.*.tmp"):
        with suppress(OSError), leftover.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def copy_package(folder: Path) -> Path:
    """Copy ``looped`` into a folder, without the tables of kept trainings; return the copy."""
    package = Path(__file__).parents[1]
    ignore = shutil.ignore_patterns("__pycache__", "tables")
    return Path(shutil.copytree(package, folder / package.name, ignore=ignore))


def sha256(content: bytes) -> str:
    """Return the checksum of some bytes."""
    return hashlib.sha256(content).hexdigest()


def seal(content: Mapping[str, Any]) -> bytes:
    """Write a content, whose keys are text, as JSON that holds its own checksum."""
    envelope = {"sha256": sha256(_canonical(content)), "content": content}
    return json.dumps(envelope, allow_nan=False, indent=1).encode()


def unseal(blob: bytes) -> dict[str, Any]:
    """Read what ``seal`` wrote; floats come back to the bit.

    Raises:
        ValueError: it is not what was sealed.
    """
    try:
        envelope = json.loads(blob)
        content: dict[str, Any] = envelope["content"]
        is_whole = sha256(_canonical(content)) == envelope["sha256"]
    except (ValueError, KeyError, TypeError):
        raise ValueError("it is no sealed JSON") from None
    if not is_whole:
        raise ValueError("its checksum does not match")
    return content


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()
