"""A folder that may come from anybody, looked through before anything of it is believed.

A link could have this process write to any file or upload any folder, a pipe would hold it up
for ever: a folder with one is refused. Sizes are bounded before a file is read.
"""

import os
import stat
from pathlib import Path

from looped.records import prompt_errors
from looped.records.damage import MOST_BYTES, one_line
from looped.records.journal import check_journal
from looped.rules import require

MIB = 2**20
MOST_ENTRIES = 1_000
MOST_JOURNAL_BYTES = 2048 * MIB
MOST_LINE_BYTES = 64 * MIB
"""A record: the curves of an evaluation to 300,000 loops."""
MOST_EVALUATION_BYTES = 256 * MIB
EVALUATION_SUFFIXES = (".csv", ".svg", ".png")
WRITTEN_IN_PLACE = ("lock", "journal.jsonl")
"""These must not be a second name of a file elsewhere, either."""


def check_run_folder(folder: Path) -> None:
    """Refuse a run's folder that is not as one of ours.

    Raises:
        DamagedFileError: its journal is none.
        ValueError: something in it is a link or no file, or larger than it may be.
    """
    check_files(folder)
    for name in ("config.json", "origin.json", "told.json"):
        _check_size(folder / name, MOST_BYTES)
    _check_size(folder / "journal.jsonl", MOST_JOURNAL_BYTES)
    evaluation = folder / "evaluation"
    if evaluation.exists():
        require(evaluation.is_dir(), f"{evaluation} must be a folder", "a file")
        files = list(evaluation.iterdir())
        for path in files:
            is_ours = path.suffix in EVALUATION_SUFFIXES or path.name == prompt_errors.FILE
            rule = f"{evaluation} must hold tables, figures and {prompt_errors.FILE}"
            require(path.is_file() and is_ours, rule, repr(path.name))
        n_bytes = sum(path.stat().st_size for path in files)
        rule = f"{evaluation} must hold at most {MOST_EVALUATION_BYTES:,} bytes"
        require(n_bytes <= MOST_EVALUATION_BYTES, rule, f"{n_bytes:,}")
    check_journal(folder / "journal.jsonl", MOST_LINE_BYTES)


def check_files(folder: Path) -> None:
    """Require that a folder, and all in it, are folders and files of its own.

    Raises:
        ValueError: something is a link, a pipe or a device, or there are too many.
    """
    _check_kind(folder)
    n_entries = 0
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        for name in (*folders, *files):
            n_entries += 1
            rule = f"{folder} must hold at most {MOST_ENTRIES:,} files"
            require(n_entries <= MOST_ENTRIES, rule, "more")
            _check_kind(Path(parent) / name)


def _refuse(error: OSError) -> None:
    raise ValueError(f"{error.filename} must be a folder to look into, got {one_line(error)}")


def _check_kind(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:  # of a training that goes on there
        return
    is_file = stat.S_ISREG(status.st_mode)
    kind = "a link" if stat.S_ISLNK(status.st_mode) else "a pipe or a device"
    is_ours = is_file or stat.S_ISDIR(status.st_mode)
    require(is_ours, f"{path} must be a file or a folder of its own", kind)
    if is_file and path.name in WRITTEN_IN_PLACE:
        rule = f"{path} must be the only name of its file"
        require(status.st_nlink == 1, rule, f"one of {status.st_nlink}")


def _check_size(path: Path, most_bytes: int) -> None:
    if path.exists():
        require(path.is_file(), f"{path} must be a file", "a folder")
        n_bytes = path.stat().st_size
        require(n_bytes <= most_bytes, f"{path} must hold at most {most_bytes:,} bytes", n_bytes)
