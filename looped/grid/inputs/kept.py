"""What a grid keeps of the files that say what it trains, and whether they have changed since."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from looped.grid.inputs.input_file import InputFile
from looped.grid.inputs.study_file import changed_settings
from looped.grid.records.folder import INPUTS, PREFIX, DamagedGridError, GridFolder
from looped.rules import digest

logger = logging.getLogger("looped")


def keep_inputs(folder: GridFolder, files: Sequence[InputFile]) -> list[str]:
    """Keep the files in a grid's folder; say in a line of each how it has changed.

    What an earlier process kept stays beside it, under a name with a digest. A file by which
    another grid of the same runs was begun is compared with that grid's.
    """
    lines = []
    try:
        before = folder.inputs
        for file in files:
            kept_text = before.get(file.name)
            if kept_text is None:
                lines += _changes_since_another(folder, file)
            elif kept_text != file.text:
                aside = (
                    f"{Path(file.name).stem}-{digest({'text': kept_text})}{Path(file.name).suffix}"
                )
                folder.keep_input(aside, kept_text)
                what = f"{file.given_path} has changed since this grid was begun"
                lines.append(
                    f"{what}{_difference(kept_text, file)}; {INPUTS}/{aside} is what it was"
                )
            folder.keep_input(file.name, file.text)
    except (OSError, DamagedGridError) as error:  # it stops no training
        logger.warning("%s cannot keep what it trains (%s)", folder.path, error)
    return lines


def _changes_since_another(folder: GridFolder, file: InputFile) -> list[str]:
    """Say that the newest grid that was begun with a file of that name trains something else."""
    other_inputs: list[tuple[float, Path]] = []
    for path in folder.path.parent.glob(f"{PREFIX}*/{INPUTS}/{file.name}"):
        with suppress(OSError):
            other_inputs.append((path.stat().st_mtime, path))
    if not other_inputs:
        return []
    newest = max(other_inputs)[1]
    try:
        kept_text = "" if newest.is_symlink() else newest.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    if not kept_text or kept_text == file.text:
        return []
    other_grid = newest.parents[1].name
    return [
        f"{file.given_path} has changed since {other_grid} was begun with it"
        f"{_difference(kept_text, file)}: this is another grid; trainings of both are trained once"
    ]


def _difference(kept_text: str, file: InputFile) -> str:
    settings = changed_settings(kept_text, file.text) if file.name.endswith(".toml") else ""
    return f" ({settings})" if settings else ""
