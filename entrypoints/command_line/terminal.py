"""How a command meets the terminal, or what stands in its place: a pipe, a notebook, a file."""

import atexit
import gc
import getpass
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from looped.rules import without_passwords

NO_HOME = "/nonexistent"
"""Where nothing can be kept: the home of a user who has none."""


def run(command: Callable[[], int]) -> int:
    """Run a command as a process of its own; return its exit code.

    A pipe that is closed, as by ``| head -1``, ends what is printed and not what is done. The
    password of an address is printed by nobody, in no traceback either.
    """
    # what a notebook has set for its own process need not exist in this one
    os.environ["MPLBACKEND"] = "agg"
    sys.stdout, sys.stderr = _lasting(sys.stdout), _lasting(sys.stderr)
    _name_user()
    return command()


@contextmanager
def keeping_all() -> Iterator[None]:
    """Let Python look for no garbage while a command reads and draws, which decorates it.

    Modules, runs and figures last until the command ends, and the process with it. Looking through
    them again and again as their number grows, and then at its end, would take a sixth of its
    processor time.
    """
    was_looking = gc.isenabled()
    gc.disable()
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        if was_looking:
            gc.freeze()
            gc.enable()
            gc.unfreeze()  # what there is counts as old, and is not looked through at once


def _name_user() -> None:
    """Name a user whom the system does not know, as in a container: libraries ask for it."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = NO_HOME
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = str(os.getuid())


class _LastingFile(io.FileIO):
    """A file to print to that takes what is printed when nobody reads it any more."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(content)


class _DiscreetText(io.TextIOWrapper):
    """A stream of text without the passwords of addresses."""

    def write(self, text: str, /) -> int:
        return super().write(without_passwords(text))


def _lasting(stream: TextIO) -> TextIO:
    """Give a stream that outlasts its reader; itself where it is no file."""
    try:
        stream.flush()
        file = _LastingFile(stream.fileno(), "w", closefd=False)
    except (AttributeError, OSError):  # closed from the beginning, or a notebook's own
        return stream
    return _DiscreetText(
        io.BufferedWriter(file),
        stream.encoding,
        stream.errors,
        line_buffering=stream.isatty() or stream is sys.stderr,
    )
