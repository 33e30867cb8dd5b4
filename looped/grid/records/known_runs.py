"""Which trainings an MLflow store knows to be finished or to have failed."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.search_utils import SearchUtils

from looped.config import TrainConfig
from looped.grid.records.standing import (
    DAMAGE,
    DONE_BEFORE,
    FAILED_BEFORE,
    TO_GO_ON,
    Standing,
    standing_on_disk,
)
from looped.names import Kind, Metric, Tag
from looped.records.files import write_atomically
from looped.records.folder import run_path
from looped.records.origin import UNKNOWN, Code
from looped.rules import digest
from looped.tracking.dead_runs import is_failed_by_launcher
from looped.tracking.runs import list_trainings, of_kind
from looped.tracking.stores.store import Store

BLOCK = 500
"""Runs that are compared with the store at once."""


@dataclass(frozen=True, kw_only=True)
class KnownRun:
    """What is kept of a finished training: when its run began, and where it stands."""

    identity: str
    started: int
    standing: Standing


def finished_runs(store: Store, index: Path) -> dict[str, list[Standing]]:
    """Return by identity the finished trainings that no later run supersedes.

    MLflow takes seconds to list a thousand runs, and milliseconds to count them. Those listed
    are therefore kept in a file, in blocks by their beginning, and each block is compared with
    the store every time: if the store holds as many runs there, and all of those that are
    kept, they are the same runs. Only blocks that differ are listed again.

    Args:
        store: where to look.
        index: folder of that file, which may be deleted at any time.
    """
    experiment = store.client.get_experiment(store.experiment_id)
    place = f"{store.client.tracking_uri} {store.experiment_id} {experiment.creation_time}"
    path = index / f"finished-runs-{digest({'store': place})}.json"
    before = _read(path)
    now: dict[str, KnownRun] = {}
    for block in _blocks(before):
        now |= block.runs if block.is_in(store) else block.list_in(store)
    if now != before and index.is_dir():
        content = {run_id: asdict(run) for run_id, run in now.items()}
        with suppress(OSError):  # it saves time, where it can be kept
            write_atomically(path, json.dumps(content).encode())
    finished: dict[str, list[Standing]] = {}
    for run in now.values():
        finished.setdefault(run.identity, []).append(run.standing)
    return finished


def standings_in_store(
    store: Store, configs: Iterable[TrainConfig], root: Path, code: Code | None = None
) -> dict[str, Standing]:
    """Say how far each training is, by identity.

    Args:
        store: where to look.
        configs: resolved.
        root: folder of all runs, which may hold checkpoints.
        code: count as done only what surely this code trained; None counts all.
    """
    finished = finished_runs(store, root)
    newest: dict[str, Run] = {}
    for status in ("FAILED", "KILLED"):
        for run in list_trainings(store.client, store.experiment_id, status):
            identity = run.data.tags.get(Tag.IDENTITY, "")
            before = newest.get(identity)
            if before is None or before.info.start_time < run.info.start_time:
                newest[identity] = run
    return {config.identity: _choose(config, root, finished, newest, code) for config in configs}


@dataclass(frozen=True)
class _Block:
    """The finished trainings whose runs began in a time: at ``since`` or later, before ``until``.

    A bound of None is none.
    """

    since: int | None
    until: int | None
    runs: dict[str, KnownRun]

    def is_in(self, store: Store) -> bool:
        """Tell whether the store holds these runs there and no other."""
        ids = ", ".join(f"'{run_id}'" for run_id in self.runs)
        # not superseded: ``list_trainings`` looks at that after it has listed
        query = (
            f"attributes.status = 'FINISHED' and {of_kind(Kind.TRAINING)} "
            f"and tags.`{Tag.SUPERSEDED_BY}` IS NULL{self._bounds()}"
        )
        n_runs = len(self.runs)
        if n_runs > 2 * BLOCK:  # that many began at one moment: the query would be too long
            return False
        try:
            if n_runs == 0:
                return not _behind(store, query, 0, 1)
            holds_as_many = len(_behind(store, query, n_runs - 1, 2)) == 1
            query_of_ids = f"{query} and attributes.run_id IN ({ids})"
            return holds_as_many and len(_behind(store, query_of_ids, n_runs - 1, 1)) == 1
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE":
                raise
            return False  # a server that counts in another way: it is asked for all

    def list_in(self, store: Store) -> dict[str, KnownRun]:
        """List what the store holds there."""
        further = self._bounds().removeprefix(" and ")
        return {
            run.info.run_id: KnownRun(
                identity=run.data.tags.get(Tag.IDENTITY, ""),
                started=run.info.start_time,
                standing=_standing(DONE_BEFORE, run),
            )
            for run in list_trainings(store.client, store.experiment_id, further=further)
        }

    def _bounds(self) -> str:
        since = "" if self.since is None else f" and attributes.start_time >= {self.since}"
        until = "" if self.until is None else f" and attributes.start_time < {self.until}"
        return since + until


def _blocks(known_runs: Mapping[str, KnownRun]) -> Iterator[_Block]:
    """Part all time into blocks of about ``BLOCK`` known runs."""
    beginnings = sorted(run.started for run in known_runs.values())
    inner_bounds = list(dict.fromkeys(beginnings[BLOCK::BLOCK]))
    by_beginning = sorted(known_runs.items(), key=lambda item: item[1].started)
    position = 0
    for since, until in pairwise([None, *inner_bounds, None]):
        runs = {}
        while position < len(by_beginning):
            run_id, run = by_beginning[position]
            if until is not None and run.started >= until:
                break
            runs[run_id] = run
            position += 1
        yield _Block(since, until, runs)


def _behind(store: Store, query: str, offset: int, most: int) -> list[Run]:
    """Return at most so many of a query's runs, behind as many as ``offset``."""
    token = SearchUtils.create_page_token(offset).decode()  # type: ignore[no-untyped-call]
    return list(
        store.client.search_runs(
            [store.experiment_id], query, max_results=most, page_token=token if offset else None
        )
    )


def _read(path: Path) -> dict[str, KnownRun]:
    """Read what was kept; a file that is missing or damaged is made anew."""
    try:
        content = json.loads(path.read_bytes())
        return {
            str(run_id): KnownRun(
                identity=str(run["identity"]),
                started=int(run["started"]),
                standing=Standing(**run["standing"]),
            )
            for run_id, run in content.items()
        }
    except DAMAGE:
        return {}


def _choose(
    config: TrainConfig,
    root: Path,
    finished: Mapping[str, list[Standing]],
    newest: Mapping[str, Run],
    code: Code | None,
) -> Standing:
    for standing in finished.get(config.identity, []):
        if code is None or code.is_surely(Code(standing.commit, standing.sources)):
            return standing
    on_disk = standing_on_disk(root, config)
    if on_disk.state == DONE_BEFORE:  # but not known to this store: it needs to be told
        return Standing(state=TO_GO_ON, step=config.steps)
    unfinished = newest.get(config.identity)
    if unfinished is None or unfinished.info.status != "FAILED":
        return on_disk
    if is_failed_by_launcher(unfinished, run_path(root, config)):
        return on_disk
    return _standing(FAILED_BEFORE, unfinished)


def _standing(state: str, run: Run) -> Standing:
    tags: Mapping[str, Any] = run.data.tags
    return Standing(
        state=state,
        run_id=run.info.run_id,
        nmse=run.data.metrics.get(Metric.NMSE),
        reason=tags.get(Tag.REASON, ""),
        commit=tags.get(Tag.COMMIT, ""),
        sources=tags.get(Tag.SOURCES, UNKNOWN),
    )
