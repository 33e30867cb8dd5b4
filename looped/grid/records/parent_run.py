"""The MLflow run of a grid, under which its trainings are nested."""

import csv
import io
import math
import time
from contextlib import suppress

from mlflow.entities import Metric as RunMetric
from mlflow.entities import Param as RunParam
from mlflow.entities import Run, RunTag
from mlflow.tracking import MlflowClient

from looped.grid.records.folder import DamagedGridError, GridFacts, GridFolder
from looped.grid.records.ledger import DONE, UNTOLD
from looped.names import Kind, Metric, Param, Tag
from looped.records.machine import this_machine
from looped.tracking.dead_runs import end_lost_runs, is_of_this_machine, mark_dead_runs
from looped.tracking.launcher import discard_launched, launched_run, run_to_take
from looped.tracking.runs import end_run, find_run, list_runs, of_kind
from looped.tracking.stores.store import Store, reachable
from looped.tracking.ui.introduction import source_tags

LONGEST_TAG, LONGEST_PARAM = 5_000, 6_000  # characters that MLflow keeps
LONGEST_NAME, MOST_LISTS = 200, 100
FROM_ORIGIN = (Tag.COMMIT, Tag.DIRTY, Tag.SOURCES, Tag.HOST, Tag.MACHINE, Tag.CLAIM_RULES)
"""Tags that the folder of a grid may set; it may come from anybody."""


def open_parent(store: Store, folder: GridFolder, may_take_launched: bool = True) -> str:
    """Make the run of a grid, or take the one that ``mlflow run`` made; return its id.

    The runs of grids and trainings whose process died are marked KILLED first.

    Args:
        store: to tell.
        folder: of the grid, which has begun.
        may_take_launched: whether to take the run that ``mlflow run`` made for this process.

    Raises:
        DamagedGridError: its folder does not say what it is.
        TrackingError: MLflow cannot be reached.
    """
    client, experiment_id = store
    facts = facts_of(folder)
    # the host comes last: whoever finds it looks at the lock, which is signed by then
    about = {
        Tag.KIND: Kind.GRID,
        Tag.GRID: folder.identity,
        Tag.FOLDER: str(folder.path.resolve()),
    }
    about |= {Tag.MACHINE: this_machine()} if may_take_launched else {}
    origin = {
        name: facts.origin[name][:LONGEST_TAG] for name in FROM_ORIGIN if name in facts.origin
    }
    name = facts.name[:LONGEST_NAME]
    with reachable():
        to_take = run_to_take(client, {Tag.GRID: folder.identity})
        launched_run_id = to_take if may_take_launched else None
        if launched_run_id is None:
            about |= source_tags("grid", origin.get(Tag.COMMIT, ""), runs_here=may_take_launched)
        if may_take_launched and to_take is None and launched_run():
            about[Tag.PARENT] = str(launched_run())
        run_id = launched_run_id or str(
            client.create_run(experiment_id, facts.begun_at, about, name).info.run_id
        )
        try:
            folder.remember(run_id)
            tags = {Tag.NAME: name, **about, **origin}
            client.log_batch(
                run_id,
                tags=[RunTag(tag, value) for tag, value in tags.items()],
                params=[RunParam(Param.GRID + tag, words) for tag, words in _lists(facts).items()],
            )
            for file_name, text in folder.inputs.items():
                client.log_text(run_id, text, f"inputs/{file_name}")
        except BaseException as error:
            if launched_run_id is None:  # mlflow run ends the one that it made
                end_run(client, run_id, "FAILED", " ".join(str(error).split()) or repr(error))
            raise
        mark_dead_runs(client, experiment_id)
        earlier_ids = {run.info.run_id for run in _told_runs(client, folder)}
        lost_ids = {*earlier_ids, *_unsigned_runs(store, folder, run_id)} - {run_id}
        end_lost_runs(client, lost_ids, folder.path)
    return run_id


def parent_to_go_on(store: Store, folder: GridFolder) -> str | None:
    """Find the run of the command before this one, to tell it further; None where it is gone.

    The run that ``mlflow run`` made for this command goes to the trash once that ended it.

    Raises:
        TrackingError: MLflow cannot be reached.
    """
    with reachable():
        run_id = known_parent(store, folder)
    if run_id is not None:
        note = f"It looked how the trainings of run {run_id} stand."
        discard_launched(store.client, "grid, a look", note, "a look: the grid has a run")
        folder.sign(run_id)
    return run_id


def settle_parent(store: Store, folder: GridFolder) -> None:
    """Tell how the grid's process before this one ended, unless MLflow knows.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    facts = folder.facts_if_whole
    run_id = None if facts is None else known_parent(store, folder)
    if facts is None or run_id is None:
        return
    run = find_run(store.client, run_id)
    if run is not None and run.info.status != facts.status:
        show_parent(store.client, run_id, folder.note, folder.table, facts.seconds)
        end_run(store.client, run_id, facts.status, facts.reason[:LONGEST_TAG], facts.ended_at)


def known_parent(store: Store, folder: GridFolder) -> str | None:
    """Find the run that this beginning of the grid was told as, from here or from a copy.

    Raises:
        DamagedGridError: its folder does not say what it is.
        MlflowException: MLflow cannot be reached.
    """
    client, experiment_id = store
    beginning = facts_of(folder).begun_at
    beginnings = folder.told
    runs = [run for run in _told_runs(client, folder) if beginnings[run.info.run_id] == beginning]
    query = f"tags.{Tag.GRID} = '{folder.identity}' and attributes.start_time = {beginning}"
    runs += client.search_runs([experiment_id], f"{query} and {of_kind(Kind.GRID)}")
    return runs[0].info.run_id if runs else None


def _told_runs(client: MlflowClient, folder: GridFolder) -> list[Run]:
    """Find the runs that the folder says it was told as, if they are of this grid indeed."""
    runs = [find_run(client, run_id) for run_id in folder.told]
    expected = (Kind.GRID, folder.identity)
    return [
        run
        for run in runs
        if run is not None
        and (run.data.tags.get(Tag.KIND), run.data.tags.get(Tag.GRID)) == expected
    ]


def show_parent(
    client: MlflowClient, run_id: str, note: str, table: str, seconds: float | None = None
) -> None:
    """Tell where the grid's trainings stand; what is empty was never shown.

    Args:
        client: of the store.
        run_id: of the grid.
        note: Markdown.
        table: CSV, a line for each training.
        seconds: for which its newest process ran.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    figures = figures_of(table) | ({} if seconds is None else {f"{Metric.GRID}seconds": seconds})
    if note or figures:
        now = round(time.time() * 1000)
        client.log_batch(
            run_id,
            metrics=[RunMetric(name, value, now, 0) for name, value in figures.items()],
            tags=[RunTag(Tag.NOTE, note)] if note else [],
        )
    if table:
        client.log_text(run_id, table, "trainings.csv")


def figures_of(table: str) -> dict[str, float]:
    r"""Count in a grid's table what is done, and find the lowest error there.

    A line that is not as we write it counts for nothing: a table may come from anybody.

    Example:
        >>> figures_of("training,state,nmse\ntiny-b5-s1,done,0.5\ntiny-b5-s2,to do,\n")
        {'grid/trainings': 2.0, 'grid/done': 1.0, 'grid/best_nmse': 0.5}
    """
    try:
        rows = list(csv.DictReader(io.StringIO(table)))
    except csv.Error:
        return {}
    rows_done = [row for row in rows if row.get("state") in (*DONE, UNTOLD)]
    errors = []
    for row in rows_done:
        with suppress(ValueError, TypeError):
            errors.append(float(row.get("nmse") or math.nan))
    errors = [error for error in errors if math.isfinite(error)]
    counts = {"trainings": float(len(rows)), "done": float(len(rows_done))} if rows else {}
    figures = counts | ({"best_nmse": min(errors)} if errors else {})
    return {Metric.GRID + name: value for name, value in figures.items()}


def facts_of(folder: GridFolder) -> GridFacts:
    """Read what a grid is.

    Raises:
        DamagedGridError: its folder does not say so.
    """
    facts = folder.facts
    if facts is None:
        raise DamagedGridError(
            f"{folder.path / 'grid.json'} must say what the grid is, got no file"
        )
    return facts


def _lists(facts: GridFacts) -> dict[str, str]:
    """Return what was asked for as MLflow's parameters take it."""
    names = [name for name in facts.lists if name.isidentifier() and len(name) <= LONGEST_NAME]
    return {name: facts.lists[name][:LONGEST_PARAM] for name in names[:MOST_LISTS]}


def _unsigned_runs(store: Store, folder: GridFolder, run_id: str) -> list[str]:
    """List other RUNNING runs of this grid's folder, whose lock is held here.

    Their process died before it signed, or the folder forgot them.
    """
    client, experiment_id = store
    query = (
        f"attributes.status = 'RUNNING' and {of_kind(Kind.GRID)} "
        f"and tags.{Tag.GRID} = '{folder.identity}'"
    )
    place = str(folder.path.resolve())
    return [
        run.info.run_id
        for run in list_runs(client, experiment_id, query)
        if run.info.run_id != run_id
        and run.data.tags.get(Tag.FOLDER) == place
        and (is_of_this_machine(run) or not {Tag.HOST, Tag.MACHINE} & run.data.tags.keys())
    ]
