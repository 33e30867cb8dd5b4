"""Files that are not what was written there, and places where nothing can be written: one line.

Small files are read in one way: never through a link, never more than they may hold, and what
is wrong with them is said with their name and with what can be done.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from looped.rules import without_passwords

MOST_BYTES = 2**20
"""Of a small file: configuration, origin, what was told."""

LONGEST_REASON = 1_000


class DamagedFileError(ValueError):
    """A file is not what was written there."""

    def __init__(self, path: Path, reason: Exception | str, remedy: str = "") -> None:
        further = f"; {remedy}" if remedy else ""
        super().__init__(
            f"{path} must hold what was written there, but: {one_line(reason)}{further}"
        )


class UnwritableError(OSError):
    """Nothing can be written where a run keeps its files: the disk is full, or read-only."""


def one_line(reason: Exception | str) -> str:
    """Say a reason, whoever gave it, in one line of characters that a terminal can show."""
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
    words = "".join(letter if letter.isprintable() else " " for letter in text).split()
    line = without_passwords(" ".join(words) or repr(reason))
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the place where nothing can be written.

    Raises:
        UnwritableError: what is done within raised an OSError.
    """
    try:
        yield
    except UnwritableError:
        raise
    except OSError as error:
        raise UnwritableError(
            f"runs must be kept where this process can write, got {path}: {one_line(error)}"
        ) from error


def open_own(path: Path, flags: int) -> int:
    """Open a file that must be none but this one: no link, pipe or device; return its number.

    Raises:
        OSError: it is one, or cannot be opened.
    """
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError("it is no regular file")
    return number


def parse(text: bytes | str) -> Any:
    """Read JSON as we write it: no NaN, and no deeper than can be read.

    Raises:
        ValueError: it is none.
    """

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_object(path: Path, remedy: str = "") -> dict[str, Any]:
    """Read a small JSON object.

    Args:
        path: of the file, which is there.
        remedy: what can be done if it is damaged.

    Raises:
        DamagedFileError: it is a link, too large, or no JSON object.
    """
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"it is longer than {MOST_BYTES:,} bytes")
        content = parse(text)
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise DamagedFileError(path, error, remedy) from error
    return content
