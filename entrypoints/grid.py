"""Train every training of a study; what is finished is left alone, what was killed goes on."""

import logging
import sys
from dataclasses import fields
from typing import Any

from entrypoints import arguments
from looped.grid.lists import Lists, cross
from looped.grid.options import GridOptions, RunOptions
from looped.grid.stopping import StopRequest
from looped.grid.studies import apply_studies


def main() -> int:
    """Train what is left to do; return the exit code."""
    lists, options, run_options = arguments.parse("grid", __doc__, Lists, GridOptions, RunOptions)
    plain = (lists, run_options)
    lists, run_options = (apply_studies(options.study, settings) for settings in plain)
    try:
        configs = cross(lists)
    except ValueError as error:
        arguments.complain("grid", error)
        return 2
    if options.study != "full":
        changes = [*_changes(plain[0], lists), *_changes(plain[1], run_options)]
        print(f"study {options.study}: {' '.join(changes)}", flush=True)
    stop_request = StopRequest()
    logging.basicConfig(format="%(message)s")
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from looped.grid.runner import GridRunner
    from looped.records.folder import FolderInUseError
    from looped.records.journal import TrackingError

    words = {name.name: _written(getattr(lists, name.name)) for name in fields(lists)}
    words["study"] = options.study
    try:
        runner = GridRunner(configs, words, options, run_options)
    except ValueError as error:
        arguments.complain("grid", error)
        return 2
    except TrackingError as error:
        return arguments.complain("grid", error)
    if options.dry_run:
        print(runner.forecast())
        return 0
    try:
        return runner.run(stop_request)
    except (TrackingError, FolderInUseError) as error:
        return arguments.complain("grid", error)


def _changes(before: Any, after: Any) -> list[str]:
    """Write the settings that a study changed."""
    names = [setting.name for setting in fields(before)]
    values = {name: getattr(after, name) for name in names}
    return [
        f"{name}={_written(value if isinstance(value, tuple) else (value,))}"
        for name, value in values.items()
        if value != getattr(before, name)
    ]


def _written(values: tuple[object, ...]) -> str:
    return ",".join("auto" if value is None else str(value) for value in values)


if __name__ == "__main__":
    sys.exit(main())
