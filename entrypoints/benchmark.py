"""Measure what looped takes, training steps in turn with a plain implementation's; print tables."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints import arguments
from entrypoints.benchmarks.options import BenchmarkOptions
from looped.rules import require

if TYPE_CHECKING:
    from entrypoints.benchmarks.report import Report
    from entrypoints.benchmarks.workbench import Workbench


def main() -> int:
    """Measure, print and keep; return the exit code."""
    (options,) = arguments.parse("benchmark", __doc__, BenchmarkOptions)
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from entrypoints.benchmarks import report
    from entrypoints.benchmarks.commands import CommandError
    from looped.journal import TrackingError

    try:
        found = _found(options)
    except (ValueError, CommandError) as error:
        if "MLFLOW_RUN_ID" in os.environ:
            from entrypoints.benchmarks import record

            record.fail_launcher(str(error))
        return arguments.complain("benchmark", error)
    if options.json != "auto":
        report.write_json(found, Path(options.json))
    if options.figure != "auto":
        from entrypoints.benchmarks import drawing

        drawing.draw(found, Path(options.figure))
    if options.log or (options.log is None and "MLFLOW_RUN_ID" in os.environ):
        from entrypoints.benchmarks import record

        try:
            print(f"logged to run {record.log(found)}")
        except TrackingError as error:
            return arguments.complain("benchmark", error)
    return 0


def _found(options: BenchmarkOptions) -> "Report":
    from entrypoints.benchmarks import report
    from entrypoints.benchmarks.workbench import Workbench

    if options.read != "auto":
        found = report.read_json(Path(options.read))
        if options.figure != "auto":
            require("scaling" in found["parts"], "figure needs part scaling", options.read)
        print(report.markdown(found), end="")
        return found
    bench = Workbench.set_up(options)
    return _measure(bench)


def _measure(bench: "Workbench") -> "Report":
    """Measure part after part, and print each row as it comes."""
    from entrypoints.benchmarks import report
    from entrypoints.benchmarks.parts import measure

    found: Report = {"about": bench.about, "options": asdict(bench.options), "parts": {}}
    print(report.preface(found["about"]), flush=True)
    for part in bench.options.chosen_parts:
        print(f"\n### {part}\n\n{report.header(part)}", flush=True)
        rows = found["parts"].setdefault(part, [])
        for row in measure(part, bench):
            rows.append(row)
            print(report.line(part, row), flush=True)
        if bench.options.json != "auto":  # what is measured outlives a part that fails
            report.write_json(found, Path(bench.options.json))
    return found


if __name__ == "__main__":
    sys.exit(main())
