"""Train every training of a study; what is finished is left alone, what was killed goes on."""

import logging
import sys
from collections.abc import Container, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoints.command_line import arguments, outcome, readers, terminal
from looped.config import TrainConfig
from looped.grid.inputs.cells_table import read_cells
from looped.grid.inputs.input_file import InputFile, read_input
from looped.grid.inputs.study_file import given_studies, read_study, study_files, with_studies
from looped.grid.lists import PLURALS, Cell, Lists, cross
from looped.grid.options import GridOptions, GridRunOptions
from looped.grid.places import where_kept
from looped.grid.stopping import StopRequest
from looped.grid.studies import apply_studies
from looped.rules import require

if TYPE_CHECKING:
    from looped.grid.runner import GridRunner

Words = dict[str, str]

OF_STUDIES = ("study", "pair", "cells", "budget")
OF_RUNS = ("evaluate", "b_max", "n_prompts", "register")
STUDY_SETTINGS = (*(setting.name for setting in fields(Lists)), *OF_STUDIES, *OF_RUNS)
"""What a study file may set; where and with how many processes is the command's to say."""

KEPT_RESULTS = Path(__file__).parents[1] / "results"
"""Journals of trained studies, which tell how runs scatter where the store has none."""


@outcome.command("grid")
def main(result: outcome.Outcome) -> int:
    """Train what is left to do; return the exit code."""
    groups = (Lists, GridOptions, GridRunOptions)
    words = arguments.words_given()
    try:
        inputs = study_files(given_studies(words))
        words = with_studies(words, inputs, STUDY_SETTINGS)
        lists, options, run_options = arguments.parse("grid", __doc__, *groups, argv=words)
        plain, fixed_names = (lists, run_options), arguments.fixed_names(*groups, argv=words)
        lists, run_options = (
            apply_studies(options.study, settings, fixed_names) for settings in plain
        )
        cells, tables = cells_of(options, fixed_names)
        configs = cross(lists, arguments.words("pair", options.pair) or (), cells)
    except ValueError as error:
        arguments.complain("grid", error)
        return 2
    if options.study != "full":
        changes = [*_set_by(inputs), *_changes(plain[0], lists), *_changes(plain[1], run_options)]
        print(f"study {options.study}: {' '.join(changes)}", flush=True)
    stop_request = StopRequest()
    logging.basicConfig(format="%(message)s")
    arguments.remark(where_kept(run_options.runs_dir), sys.stderr)
    # torch and MLflow take seconds to load: only once the arguments are known to be good
    from analysis.answers.lengths.claims import ALL_CLAIMS
    from analysis.claims.rules import rules_digests
    from looped.grid.engines.slurm.queue import SlurmError
    from looped.grid.runner import GridRunner
    from looped.grid.timing.budget import BudgetError
    from looped.records.damage import UnwritableError
    from looped.records.folder import FolderInUseError
    from looped.records.journal import TrackingError

    asked_lists = _asked(lists, options, run_options, cells)
    inputs += tables
    try:
        runner = GridRunner(
            configs, asked_lists, options, run_options, rules_digests(ALL_CLAIMS), inputs
        )
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
    except (TrackingError, FolderInUseError, UnwritableError, SlurmError, BudgetError) as error:
        return arguments.complain("grid", error)
    finally:
        _tell(result, runner)


def cells_of(
    options: GridOptions, fixed_names: Container[str] = ()
) -> tuple[list[Cell], list[InputFile]]:
    """Read the table of cells, where there is one; return the file as well, to be kept.

    Raises:
        ValueError: it cannot be read, or one of its columns is given as a list too.
    """
    if options.cells is None:
        return [], []
    table = read_input("cells", options.cells)
    cells = read_cells(table, readers.readers_of(TrainConfig))
    for name in cells[0].settings:
        plural = PLURALS.get(name, name)
        rule = f"{table.name} must have no column that is given as a list too"
        require(plural not in fixed_names, rule, plural)
    return cells, [table]


def _asked(lists: Any, options: GridOptions, run_options: Any, cells: Sequence[Cell]) -> Words:
    """Write what was asked for, by name: the lists, and what else a study may change."""
    asked_lists = {
        setting.name: _written(getattr(lists, setting.name)) for setting in fields(lists)
    }
    columns = cells[0].settings if cells else ()
    asked_lists |= {PLURALS.get(name, name): "as in cells" for name in columns}
    asked_lists |= {name: _written((getattr(options, name),)) for name in OF_STUDIES}
    asked_lists |= {name: _written((getattr(run_options, name),)) for name in OF_RUNS}
    return asked_lists


def _tell(result: outcome.Outcome, runner: "GridRunner") -> None:
    """Tell where the trainings stand, what MLflow lacks, and where the grid is there."""
    for line in runner.shortfalls:
        outcome.note_problem(line)
    result.tell(
        numbers=runner.ledger.counts,
        trainings=[
            {
                "name": entry.config.name,
                "title": entry.title,
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
    from analysis.claims.pilot import Pilot
    from analysis.claims.plan import plan_reading
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


def _set_by(studies: Sequence[InputFile]) -> list[str]:
    """Write what study files set."""
    return [
        f"{name}={text}"
        for study in studies
        for name, text in read_study(study, STUDY_SETTINGS).items()
        if name != "study"
    ]


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
