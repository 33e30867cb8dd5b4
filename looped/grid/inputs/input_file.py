"""A file of the user's that says what a grid trains, read once and within bounds."""

from dataclasses import dataclass
from pathlib import Path

from looped.grid.options import require_path
from looped.grid.places import expanded
from looped.rules import shortened

LARGEST = 32 * 2**20  # bytes


@dataclass(frozen=True)
class InputFile:
    """A file as it was read.

    Attributes:
        given_path: its path as the user wrote it.
        text: what it held.
    """

    given_path: str
    text: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return Path(self.given_path).name


def read_input(setting: str, given_path: str) -> InputFile:
    """Read a file that a setting names.

    Raises:
        ValueError: it cannot be read, is too large, or is no text.
    """
    require_path(setting, given_path)
    rule = f"{setting} must be a text file that can be read"
    try:
        path = expanded(given_path)
        if path.is_file() and path.stat().st_size > LARGEST:
            raise ValueError(f"{rule}, of at most {LARGEST:,} bytes, got {shortened(given_path)}")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{rule}, got {shortened(given_path)}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{rule}, in UTF-8, got {shortened(given_path)}") from None
    return InputFile(given_path, text)
