"""Files that are there whole or not at all, and that know when they were changed."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, whenever the machine stops."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
