"""How settings are declared, how a broken rule is said, and how a content is named."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any

BELOW = 2**31
"""Whole numbers are less than this: they fit where programs in C count, and so do their products
with the sizes of a model where Python counts."""

MOST_SHOWN = 100
"""Characters of what came that a line shows."""

LONGEST_WORD = 400
"""Characters of a word, such as a path, that a message still holds whole."""

PASSWORD = re.compile(r"(?P<user>\w[\w+.-]*://[^\s/?#:@]*:)(?!\d+(?:[/?#'\"\s]|$))(?P<secret>\S*)@")
"""Of an address, up to its last @; the number behind a colon is a port."""

_TOKEN = re.compile(r"(https?://)[^\s/?#:@]+@|([?&](?:password|passwd|pwd|token)=)[^&\s'\"]+")


def shortened(text: str) -> str:
    """Return a text in one line, and its beginning and length where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}... ({len(text):,} characters)"


def without_passwords(text: str) -> str:
    """Leave out the passwords of all addresses in a text, whatever characters they hold.

    Example:
        >>> from looped.rules import without_passwords
        >>> without_passwords("postgresql://me:p#@ss@10.0.0.2:5432/looped is away")
        'postgresql://me:...@10.0.0.2:5432/looped is away'
    """

    def masked(token: re.Match[str]) -> str:
        return f"{token[1]}...@" if token[1] else f"{token[2]}..."

    return _TOKEN.sub(masked, PASSWORD.sub(r"\g<user>...@", text))


def require(holds: bool, rule: str, came: object) -> None:
    """Raise ValueError unless the rule holds: state it, then what came."""
    if not holds:
        raise ValueError(f"{rule}, got {one_line(came)}")


def one_line(text: object) -> str:
    """Write something as one line: line breaks as escapes, long words cut, passwords left out."""
    try:
        characters = str(text)
    except ValueError:  # Python refuses to write whole numbers of thousands of digits
        return "a number of thousands of digits"
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in without_passwords(characters))
    return " ".join(_short(word) for word in plain.split(" "))


def _short(word: str) -> str:
    if len(word) <= LONGEST_WORD:
        return word
    return f"{word[: LONGEST_WORD // 2]}... ({len(word):,} characters)"


def require_one_of(name: str, came: str, allowed: tuple[str, ...]) -> None:
    """Require a word to be one of those allowed."""
    require(came in allowed, f"{name} must be one of {', '.join(allowed)}", came)


def require_whole(name: str, came: object, least: int) -> None:
    """Require an int, not a bool, of at least ``least``."""
    is_whole = isinstance(came, int) and not isinstance(came, bool)
    require(
        is_whole and came >= least,  # type: ignore[operator]
        f"{name} must be a whole number of at least {least}",
        came,
    )
    require(came < BELOW, f"{name} must be below 2**31", came)  # type: ignore[operator]


def require_positive(name: str, came: object) -> None:
    """Require a finite number above 0."""
    is_finite = isinstance(came, (int, float)) and math.isfinite(came)
    require(is_finite and came > 0, f"{name} must be a finite number above 0", came)  # type: ignore[operator]


def digest(content: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that name a content, whatever its order; 1 and 1.0 are one."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: plain(inner) for name, inner in value.items()}
        return int(value) if isinstance(value, float) and value.is_integer() else value

    canonical = json.dumps(plain(content), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def setting(
    default: Any, help: str, choices: tuple[str, ...] | None = None, open_to: str = ""
) -> Any:
    """Declare a field that a command line can set: its default, purpose and choices.

    Where there may be others than the choices, a word says how they are written.
    """
    return field(default=default, metadata={"help": help, "choices": choices, "open_to": open_to})


def check_choices(settings: Any) -> None:
    """Raise ValueError if a field of a dataclass is not among its declared choices."""
    for declared in fields(settings):
        choices = declared.metadata["choices"]
        if choices is not None and not declared.metadata.get("open_to"):
            require_one_of(declared.name, getattr(settings, declared.name), choices)
