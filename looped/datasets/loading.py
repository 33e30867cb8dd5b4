"""Reads a data set from its folder, once its checksums agree."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from looped.datasets.columns import TABLES, Column
from looped.records.damage import DamagedFileError
from looped.rules import require

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent / "tables"
"""Holds a folder for each data set that comes with the package."""

CHECKSUMS = "SHA256SUMS"
CARD = "README.md"
REMEDY = "put back the file that came with the data set, or make it anew"

_LINE = re.compile(r"([0-9a-f]{64})  ([\w.-]+)")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Trainings as tidy tables; ``columns`` says what each column means.

    Attributes:
        name: of the data set.
        runs: a row for each training: its settings, and its error after b loops.
        loops: a row for each training, weights and evaluated loop.
        steps: a row for each training and sample of its curve.
        card: what it is, how it was made, its licence and limits, as Markdown.
    """

    name: str
    runs: "pd.DataFrame"
    loops: "pd.DataFrame"
    steps: "pd.DataFrame"
    card: str

    @property
    def columns(self) -> dict[str, str]:
        """What each column means, with its unit, by ``table.column``.

        Example:
            >>> from looped import datasets
            >>> datasets.load("h100-joint").columns["loops.bits"]
            '1/2 log2(1 / nmse), in bits'
        """
        return {
            f"{name}.{column.name}": column.meaning
            for name, columns in TABLES.items()
            for column in columns
        }


def names() -> list[str]:
    """Name the data sets that come with the package.

    Example:
        >>> from looped import datasets
        >>> "h100-joint" in datasets.names()
        True
    """
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{CHECKSUMS}"))


def load(name: str | os.PathLike[str]) -> Dataset:
    """Read a data set.

    Its tables are tidy: every row says which training it is of (``run``, ``size``, ``n_params``,
    ``b``, ``seed``, ``prompt``, ``task``, ``loss_window``). Errors (``nmse``) are in units of
    Var(y), ``bits`` are 1/2 log2(1 / nmse), and the standard errors are over prompts, not over
    seeds. Missing values are NaN.

    Args:
        name: one of ``names()``, or a folder that ``python -m entrypoints.datasets`` wrote.

    Returns:
        ``runs`` of shape (training, 53), ``loops`` of shape (training x weights x loop, 19) and
        ``steps`` of shape (training x sample, 13), as pandas' data frames, and the ``card``.

    Raises:
        ValueError: there is no such data set; the message lists those that there are.
        DamagedFileError: a file is missing, or is not the one whose checksum was written.
        ModuleNotFoundError: pandas is not installed.

    Example:
        >>> from looped import datasets
        >>> study = datasets.load("h100-joint")
        >>> study.runs.shape, study.loops.shape, study.steps.shape
        ((36, 53), (1800, 19), (10836, 13))
        >>> tiny = study.loops.query("size == 'tiny' and b == 15 and seed == 42")
        >>> tiny[["loop", "nmse", "bits"]].iloc[[0, 14, 49]].round(4).to_numpy().tolist()
        [[1.0, 0.0665, 1.9553], [15.0, 0.0043, 3.9237], [50.0, 0.0045, 3.9048]]
    """
    folder = _folder_of(name)
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise ModuleNotFoundError("data sets need pandas: pip install pandas") from None
    checksums = _read_checksums(folder / CHECKSUMS)
    tables = {}
    for table, columns in TABLES.items():
        path = folder / f"{table}.csv"
        _verify(path, checksums)
        tables[table] = _read_table(pd, path, columns)
    _verify(folder / CARD, checksums)
    card = (folder / CARD).read_text("utf-8")
    return Dataset(name=folder.name, card=card, **tables)


def _folder_of(name: str | os.PathLike[str]) -> Path:
    if name in names():
        return FOLDER / name
    folder = Path(name)
    there = ", ".join(names()) or (
        "none, for this installation has no data sets, nor has the code that a loaded model "
        "brings: import looped before one is loaded"
    )
    rule = f"name must be a data set's ({there}), or a folder that holds one with its {CHECKSUMS}"
    require((folder / CHECKSUMS).is_file(), rule, name)
    return folder.resolve()


def _read_checksums(path: Path) -> dict[str, str]:
    """Read a file as ``sha256sum`` writes it, whose comments begin with #."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    matches = [_LINE.fullmatch(line) for line in lines]
    if not all(matches):
        raise DamagedFileError(path, "a line holds no checksum and name", REMEDY)
    return {match[2]: match[1] for match in matches if match}


def _verify(path: Path, checksums: dict[str, str]) -> None:
    """Raise DamagedFileError unless a file is the one whose checksum was written."""
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(path, error, REMEDY) from error
    digest = hashlib.sha256(blob).hexdigest()
    expected = checksums.get(path.name, "none")
    if digest != expected:
        reason = f"its SHA-256 is {digest[:12]}, and {CHECKSUMS} says {expected[:12]}"
        raise DamagedFileError(path, reason, REMEDY)


def _read_table(pd, path: Path, columns: tuple[Column, ...]) -> "pd.DataFrame":  # type: ignore[no-untyped-def]
    texts = pd.read_csv(path, dtype=str)  # Python reads every digit, older pandas does not
    if list(texts.columns) != [column.name for column in columns]:
        raise DamagedFileError(path, "it has other columns than this version reads", REMEDY)
    values = {
        name: texts[name] == "True" if kind == "bool" else texts[name].astype(kind)
        for name, kind, _ in columns
    }
    return pd.DataFrame(values)
