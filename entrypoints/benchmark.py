"""Measure what looped takes, training steps in turn with a plain implementation's; print tables."""

import os
import sys
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Any

from entrypoints.benchmarks.options import BenchmarkOptions
from entrypoints.command_line import arguments, outcome, terminal
from looped.grid.places import expanded
from looped.names import Variable
from looped.rules import require

if TYPE_CHECKING:
    from entrypoints.benchmarks.results import Results
    from entrypoints.benchmarks.workbench import Workbench


_MODULES = {"logging": "records"}
"""Where a part's module goes by another name than the part."""


@outcome.command("benchmark")
def main(result: outcome.Outcome) -> int:
    """Measure, print and keep; return the exit code."""
    (options,) = arguments.parse("benchmark", __doc__, BenchmarkOptions)
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from entrypoints.benchmarks import results
    from entrypoints.benchmarks.commands import CommandError
    from looped.records.journal import TrackingError

    try:
        measurements = _results(options)
    except (ValueError, CommandError) as error:
        if Variable.RUN_ID in os.environ:
            from entrypoints.benchmarks import log

            log.say_failure(str(error))
        return arguments.complain("benchmark", error)
    result.tell(numbers=measurements["parts"], about=measurements["about"])
    if options.json != "auto":
        results.write_json(measurements, expanded(options.json))
    if options.figure != "auto":
        from entrypoints.benchmarks import drawing

        drawing.draw(measurements, expanded(options.figure))
    if options.log or (options.log is None and Variable.RUN_ID in os.environ):
        from entrypoints.benchmarks import log

        try:
            run_id = log.log(measurements)
            print(f"logged to run {run_id}")
            result.tell(run_id=run_id)
        except TrackingError as error:
            return arguments.complain("benchmark", error)
    return 0


def _results(options: BenchmarkOptions) -> "Results":
    """Measure, or read what was measured earlier; print it."""
    from entrypoints.benchmarks import results
    from entrypoints.benchmarks.workbench import Workbench

    if options.read != "auto":
        earlier_results = results.read_json(expanded(options.read))
        if options.figure != "auto":
            has_scaling = "scaling" in earlier_results["parts"]
            require(has_scaling, "figure needs part scaling", options.read)
        print(results.markdown(earlier_results), end="")
        return earlier_results
    return _measure(Workbench.set_up(options))


def _measure(bench: "Workbench") -> "Results":
    """Measure part after part, and print each row as it comes."""
    from entrypoints.benchmarks import results

    parts: dict[str, Any] = {}
    measurements: Results = {"about": bench.about, "options": asdict(bench.options), "parts": parts}
    print(results.preface(measurements["about"]), flush=True)
    for part in bench.options.part_names:
        print(f"\n### {part}\n\n{results.header(part)}", flush=True)
        rows = parts.setdefault(part, [])
        for row in module_of(part).measure(bench):
            rows.append(row)
            print(results.line(part, row), flush=True)
        if bench.options.json != "auto":  # what is measured outlives a part that fails
            results.write_json(measurements, expanded(bench.options.json))
    return measurements


def module_of(part: str) -> Any:
    """Import the module that measures a part; only what it needs is loaded."""
    return import_module(f"entrypoints.benchmarks.parts.{_MODULES.get(part, part)}")


if __name__ == "__main__":
    sys.exit(terminal.run(main))
