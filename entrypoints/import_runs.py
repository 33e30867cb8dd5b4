"""Tell MLflow of runs that it missed: trained offline, or while its server was away."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from entrypoints.command_line import arguments, outcome, terminal
from looped.counting import counted
from looped.grid.options import require_path
from looped.grid.places import runs_folder
from looped.rules import setting

if TYPE_CHECKING:
    from looped.tracking.stores.store import Store


@dataclass(frozen=True)
class ImportOptions:
    """What to tell."""

    path: str | None = setting(
        None, "a folder of runs, or one run's folder; auto: where train keeps them"
    )
    register: bool = setting(True, "register the trained models")

    def __post_init__(self) -> None:
        require_path("path", self.path)


@outcome.command("import_runs")
def main(result: outcome.Outcome) -> int:
    """Tell MLflow of every run of a folder; return the exit code, 1 where not all was done."""
    (options,) = arguments.parse("import_runs", __doc__, ImportOptions)
    logging.basicConfig(format="%(message)s")
    path = runs_folder(options.path).absolute()
    is_one = (path / "journal.jsonl").exists()
    journals = sorted(path.glob("*/journal.jsonl"))
    folders = [path] if is_one else [journal.parent for journal in journals]
    if not folders:
        return arguments.complain("import_runs", f"path must hold runs, got {options.path or path}")
    if not any(os.access(folder, os.W_OK) for folder in folders):
        rule = "path must be where this process can write, to keep there what MLflow was told"
        remedy = f"`cp -r {quote(str(path))} copy` makes such a folder"
        return arguments.complain("import_runs", f"{rule}, got {options.path or path}; {remedy}")
    # MLflow takes seconds to load: only once there is something to tell
    from looped.grid.records.imported_grids import end_parents, open_parents
    from looped.records.damage import one_line
    from looped.records.folder import FolderInUseError
    from looped.records.journal import TrackingError
    from looped.tracking import importer
    from looped.tracking.stores.store import open_store

    lines_left_out = []

    def leave_out(line: str) -> None:
        lines_left_out.append(line)
        arguments.complain("import_runs", line)

    results = []
    try:
        store = open_store()
        parents = open_parents(store, folders[0].parent, leave_out)
        for folder in folders:
            try:
                imported = importer.import_run(store, folder, parents, options.register)
            except TrackingError:  # MLflow is away, for the others too
                raise
            except Exception as error:  # whatever is in a folder, it stops no other
                is_said = isinstance(error, ValueError | OSError | FolderInUseError)
                leave_out(f"{folder} is left out: {one_line(error if is_said else repr(error))}")
                continue
            results.append(imported)
            print(imported.line, flush=True)
        end_parents(store, folders[0].parent, parents, leave_out)
    except TrackingError as error:
        return arguments.complain("import_runs", error)
    reasons = [imported.unregistered for imported in results if imported.unregistered]
    _complain_of_unregistered(reasons)
    n_new = sum(imported.is_new for imported in results)
    numbers = {
        "told": n_new,
        "told_before": len(results) - n_new,
        "left_out": len(lines_left_out),
        "unregistered": len(reasons),
    }
    summary = _summary(len(folders), numbers)
    print(summary)
    result.tell(numbers=numbers, trainings=[each.run_id for each in results])
    is_noted = _note(store, result, "\n\n".join([summary, *lines_left_out[:20]]))
    return 0 if is_noted and not (lines_left_out or reasons) else 1


def _note(store: "Store", result: outcome.Outcome, note: str) -> bool:
    """Say on the run that ``mlflow run`` made what came; tell whether MLflow took it."""
    from looped.records.journal import TrackingError
    from looped.tracking.launcher import note_on_launched
    from looped.tracking.stores.store import reachable

    try:
        with reachable():
            result.tell_place(store)
            note_on_launched(store.client, "import_runs", note)
    except TrackingError as error:
        arguments.complain("import_runs", error)
        return False
    return True


def _summary(n_folders: int, numbers: Mapping[str, int]) -> str:
    """Say how many runs were told, and what was not done."""
    parts = [f"{numbers['told']:,} of {counted(n_folders, 'run')} told"]
    parts.append(f"{numbers['told_before']:,} were told before")
    if numbers["left_out"]:
        parts.append(f"{numbers['left_out']:,} left out")
    if numbers["unregistered"]:
        parts.append(f"{counted(numbers['unregistered'], 'model')} not registered")
    return "; ".join(parts)


def _complain_of_unregistered(reasons: Sequence[str]) -> None:
    """Say how many models were refused, and why the first one was."""
    if reasons:
        models = counted(len(reasons), "model")
        line = f"{models} could not be registered, which the same command does later"
        arguments.complain("import_runs", f"{line}; the first: {reasons[0]}")


if __name__ == "__main__":
    sys.exit(terminal.run(main))
