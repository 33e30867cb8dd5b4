"""Train every training of a study; what is finished is left alone, what was killed goes on."""

import logging
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoints import arguments, outcome, terminal
from looped.grid.lists import Lists, cross
from looped.grid.options import GridOptions, GridRunOptions
from looped.grid.places import where_kept
from looped.grid.stopping import StopRequest
from looped.grid.studies import apply_studies

if TYPE_CHECKING:
    from looped.grid.runner import GridRunner

KEPT_RESULTS = Path(__file__).parents[1] / "results"
"""Journals of trained studies, which tell how runs scatter where the store has none."""


@outcome.command("grid")
def main(result: outcome.Outcome) -> int:
    """Train what is left to do; return the exit code."""
    groups = (Lists, GridOptions, GridRunOptions)
    lists, options, run_options = arguments.parse("grid", __doc__, *groups)
    plain, fixed_names = (lists, run_options), arguments.fixed_names(*groups)
    lists, run_options = (apply_studies(options.study, settings, fixed_names) for settings in plain)
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
    arguments.remark(where_kept(run_options.runs_dir), sys.stderr)
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from analysis.answers.lengths.claims import ALL_CLAIMS
    from analysis.claims.rules import rules_digests
    from looped.grid.engines.slurm.queue import SlurmError
    from looped.grid.runner import GridRunner
    from looped.records.damage import UnwritableError
    from looped.records.folder import FolderInUseError
    from looped.records.journal import TrackingError

    words = {name.name: _written(getattr(lists, name.name)) for name in fields(lists)}
    words["study"] = options.study
    for name in ("evaluate", "b_max", "n_prompts", "register"):  # a study changes these too
        words[name] = _written((getattr(run_options, name),))
    try:
        runner = GridRunner(configs, words, options, run_options, rules_digests(ALL_CLAIMS))
    except ValueError as error:
        arguments.complain("grid", error)
        return 2
    except TrackingError as error:
        return arguments.complain("grid", error)
    try:
        if options.dry_run:
            print(runner.forecast(_claims_forecast(runner)))
            return 0
        return runner.run(stop_request)
    except (TrackingError, FolderInUseError, UnwritableError, SlurmError) as error:
        return arguments.complain("grid", error)
    finally:
        _tell(result, runner)


def _tell(result: outcome.Outcome, runner: "GridRunner") -> None:
    """Tell where the trainings stand, and where the grid is in MLflow."""
    result.tell(
        numbers=runner.ledger.counts,
        trainings=[
            {
                "name": entry.config.name,
                **{name: getattr(entry.config, name) for name in ("size", "b", "seed", "task")},
                **{name: getattr(entry, name) for name in ("state", "step", "nmse", "run_id")},
            }
            for entry in runner.ledger.entries.values()
        ],
        files={"folder": runner.root.absolute()},
    )
    if runner.store is not None and result.is_asked:
        from mlflow.exceptions import MlflowException

        from looped.tracking.ui import links

        try:
            pages = links.of_grid(runner.store, runner.parent)
            result.tell_place(runner.store, runner.parent or "", pages)
        except MlflowException:  # which was said where it was to be told
            result.tell(run_id=runner.parent)


def _claims_forecast(runner: "GridRunner") -> str:
    """Say which claims the grid can decide, for each of its tasks; nothing if it evaluates none."""
    from analysis.claims.plan import Pilot, plan_reading
    from analysis.runs.pilots import find_pilot
    from looped.tracking.stores.store import reachable

    n_loops = runner.run_options.loops_to_evaluate
    if n_loops == 0:
        return ""
    texts = []
    for task in dict.fromkeys(config.task_config for config in runner.configs):
        configs = [config for config in runner.configs if config.task_config == task]
        with reachable():
            pilot = Pilot(*find_pilot(configs, runner.store, runner.root, KEPT_RESULTS))
        texts.append(plan_reading(configs, n_loops, pilot))
    return "\n".join(texts)


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
    sys.exit(terminal.run(main))
