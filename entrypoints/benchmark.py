"""Measure what looped takes, training steps in turn with a plain implementation's; print tables."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints import arguments
from entrypoints.benchmarks.options import BenchmarkOptions

if TYPE_CHECKING:
    from entrypoints.benchmarks.report import Report


def main() -> int:
    """Measure, print and keep; return the exit code."""
    (options,) = arguments.parse("benchmark", __doc__, BenchmarkOptions)
    from entrypoints.benchmarks import report
    from looped.journal import TrackingError

    try:
        if options.read == "auto":
            found = _measure(options)
        else:
            found = report.read_json(Path(options.read))
            print(report.markdown(found), end="")
        if options.json != "auto":
            report.write_json(found, Path(options.json))
        if options.figure != "auto":
            from entrypoints.benchmarks import drawing

            drawing.draw(found, Path(options.figure))
        if options.log or (options.log is None and "MLFLOW_RUN_ID" in os.environ):
            from entrypoints.benchmarks import record

            print(f"logged: run {record.log(found)}")
    except (ValueError, OSError, RuntimeError, TrackingError) as error:
        return arguments.complain("benchmark", error)
    return 0


def _measure(options: BenchmarkOptions) -> "Report":
    """Measure part after part, and print each row as it comes."""
    from entrypoints.benchmarks import report
    from entrypoints.benchmarks.parts import measure
    from entrypoints.benchmarks.workbench import Workbench

    bench = Workbench.set_up(options)
    found: Report = {"about": bench.about, "options": asdict(options), "parts": {}}
    print(report.preface(found["about"]), flush=True)
    for part in options.chosen_parts:
        print(f"\n### {part}\n\n{report.header(part)}", flush=True)
        rows = found["parts"].setdefault(part, [])
        for row in measure(part, bench):
            rows.append(row)
            print(report.line(part, row), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
