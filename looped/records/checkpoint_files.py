"""Which files of a folder are checkpoints, by name alone. Imports nothing heavy."""

import re
from pathlib import Path

_DESCRIPTION = re.compile(r"step-(\d{8,18})\.json")


def descriptions(folder: Path) -> list[Path]:
    """List the descriptions of the checkpoints, by step; what has another name is none."""
    paths = (path for path in folder.glob("step-*.json") if _DESCRIPTION.fullmatch(path.name))
    return sorted((path for path in paths if path.is_file()), key=step_of)


def step_of(path: Path) -> int:
    """Return the step that a description is named after."""
    return int(path.stem.partition("-")[2])


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint, whole or not; 0 where there is none."""
    return max((step_of(path) for path in descriptions(folder)), default=0)
