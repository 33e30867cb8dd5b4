"""Tell MLflow of runs that it missed: trained offline, or while its server was away."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from entrypoints import arguments
from looped.rules import setting


@dataclass(frozen=True)
class ImportOptions:
    """What to tell."""

    path: str = setting("runs", "a folder of runs, or one run's folder")
    register: bool = setting(True, "register the trained models")


def main() -> int:
    """Tell MLflow of every run of a folder; return the exit code."""
    (options,) = arguments.parse("import_runs", __doc__, ImportOptions)
    logging.basicConfig(format="%(message)s")
    path = Path(options.path)
    is_one = (path / "journal.jsonl").exists()
    journals = sorted(path.glob("*/journal.jsonl"))
    folders = [path] if is_one else [journal.parent for journal in journals]
    if not folders:
        return arguments.complain("import_runs", f"path must hold runs, got {path}")
    # MLflow takes seconds to load: only once there is something to tell
    from looped.grid.parent_run import end_parents, open_parents
    from looped.records.folder import FolderInUseError
    from looped.records.journal import TrackingError
    from looped.tracking import importer
    from looped.tracking.launcher import note_on_launched
    from looped.tracking.store import open_store

    code, results = 0, []
    try:
        store = open_store()
        parents = open_parents(store, folders[0].parent)
        for folder in folders:
            try:
                imported = importer.import_run(store, folder, parents, options.register)
            except (FolderInUseError, ValueError) as error:
                code = arguments.complain("import_runs", f"{folder} is left out: {error}")
                continue
            results.append(imported)
            print(imported.line, flush=True)
        end_parents(store, folders[0].parent, parents)
    except TrackingError as error:
        return arguments.complain("import_runs", error)
    n_new = sum(imported.is_new for imported in results)
    summary = f"{n_new:,} of {len(folders):,} runs told; {len(results) - n_new:,} were told before"
    print(summary)
    note_on_launched(store.client, "import_runs", summary)
    return code


if __name__ == "__main__":
    sys.exit(main())
