"""Make the tidy tables of kept trainings: CSV, Parquet, a card and checksums for each folder."""

import sys
from dataclasses import dataclass
from pathlib import Path

from entrypoints.command_line import arguments, outcome, terminal
from looped.grid.options import require_path
from looped.grid.places import expanded
from looped.rules import require, setting

NAMES = {"h100": "h100-joint"}
"""Of data sets that do not go by the name of their folder."""


@dataclass(frozen=True)
class DatasetOptions:
    """Of what to make tables, and where."""

    path: str | None = setting(
        None, "a folder of trainings; auto: every folder of results that holds some"
    )
    out: str | None = setting(
        None, "a folder, in which each data set gets one; auto: where looped.datasets looks"
    )
    name: str | None = setting(None, "of the data set of that path; auto: the folder's name")

    def __post_init__(self) -> None:
        require_path("path", self.path)
        require_path("out", self.out)
        if self.name is not None:
            is_word = self.name.replace("-", "").replace("_", "").isalnum()
            require(is_word, "name must be letters, digits, - and _", self.name)
            require(self.path is not None, "name must come with the path that it names", self.name)
        rule = "a path of your own must come with out, the folder to write into"
        require(self.path is None or self.out is not None, rule, f"path {self.path} alone")


@outcome.command("datasets")
def main(result: outcome.Outcome) -> int:
    """Make the tables and say what they hold; return the exit code."""
    (options,) = arguments.parse("datasets", __doc__, DatasetOptions)
    # pandas takes a second to load: only once the arguments are known to be good
    from analysis.datasets.files import write_dataset
    from analysis.datasets.tables import FolderError, tables_of
    from looped.datasets.loading import FOLDER
    from looped.records.damage import UnwritableError, writing

    path = Path("results") if options.path is None else expanded(options.path)
    folders = sorted({journal.parent.parent for journal in path.glob("*/*/journal.jsonl")})
    if options.path is not None:
        folders = [path]
    if not folders:
        return arguments.complain("datasets", f"{path} must hold folders of trainings, got none")
    out = FOLDER if options.out is None else expanded(options.out)
    try:
        for folder in folders:
            name = options.name or NAMES.get(folder.name, folder.resolve().name)
            tables = tables_of(folder)
            with writing(out / name):
                files = write_dataset(out / name, name, folder, tables)
            rows = ", ".join(f"{len(table):,} {key}" for key, table in tables.by_name.items())
            left_out = (
                f"; {tables.n_left_out} left out, unfinished or given up"
                if tables.n_left_out
                else ""
            )
            print(f"{name}: {rows}{left_out}; {len(files)} files in {out / name}", flush=True)
            result.tell(files={f"{name}/{file.name}": str(file) for file in files})
    except (FolderError, UnwritableError) as error:
        return arguments.complain("datasets", error)
    return 0


if __name__ == "__main__":
    sys.exit(terminal.run(main))
