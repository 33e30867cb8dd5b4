"""Values read from their text, by the types that a dataclass promises for its fields."""

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

AUTO = "auto"

LONGEST_NAME, LONGEST_PATH = 255, 3000
"""Bytes of a file's name, and of a path: Linux takes 4,095, of which a run's files need some."""


def readers_of(group: type) -> dict[str, Callable[[str], Any]]:
    """Give for each field of a dataclass what reads one value of it; None is written ``auto``."""
    hints = get_type_hints(group)
    return {setting.name: _reader_of_value(hints[setting.name]) for setting in fields(group)}


def _reader_of_value(hint: Any) -> Callable[[str], Any]:
    read = reader(hint)
    return (lambda text: None if text == AUTO else read(text)) if _is_optional(hint) else read


def _is_optional(hint: Any) -> bool:
    return type(None) in get_args(hint)


def reader(hint: Any) -> Callable[[str], Any]:
    """Find the function that reads a value of an annotated type from its text."""
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        read_item = reader(item)
        has_none = type(None) in get_args(item)

        def read_items(text: str) -> Any:
            words_of_text = [] if text == AUTO else _words(text)
            items = (
                None if has_none and word == AUTO else read_item(word) for word in words_of_text
            )
            return tuple(items) or AUTO

        return read_items
    if get_origin(hint) in (Union, type(int | None)):
        (inner,) = (part for part in get_args(hint) if part is not type(None))
        return or_auto(reader(inner))
    readers: dict[Any, Callable[[str], Any]] = {
        int: _whole_number,
        float: _number,
        bool: _truth,
        str: _text,
    }
    return readers[hint]


def or_auto(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let a reader leave the word ``auto`` as it is."""
    return lambda text: text if text == AUTO else read(text)


def _words(text: str) -> list[str]:
    listed_words = [word.strip() for word in text.split(",")]
    if not all(listed_words):
        raise argparse.ArgumentTypeError(
            f"must list values, with a comma between two, got '{text}'"
        )
    return listed_words


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text}")
    return value


def _whole_number(text: str) -> int:
    """Read ``10``, and ``10.0`` as well, which is what some tools make of it."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value.is_integer():
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text}")
    return int(value)


def _text(text: str) -> str:
    """Read a line of text; what may be a path, as it is no list, no longer than those may be."""
    has_controls = any(ord(character) < 32 or ord(character) == 127 for character in text)
    if has_controls or len(text.splitlines()) > 1:
        raise argparse.ArgumentTypeError(f"must be one line of plain text, got {text}")
    if "," not in text:
        if any(len(os.fsencode(name)) > LONGEST_NAME for name in text.split("/")):
            rule = f"must be at most {LONGEST_NAME} bytes long between two slashes"
            raise argparse.ArgumentTypeError(f"{rule}, got {text}")
        if len(os.fsencode(text)) > LONGEST_PATH:
            raise argparse.ArgumentTypeError(f"must be at most {LONGEST_PATH} bytes, got {text}")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, got {text}")
    return text.lower() == "true"
