"""A run for each cell: the mean over its seeds after each loop, with its band.

MLflow draws the curves of runs and knows no mean of several: so the mean is a run of its own, of
the kind ``cell``. It is made from what the store holds, by whichever command ends a grid or makes
a report; where its trainings change it is made anew, and the older one is deleted.
"""

import logging
import math
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from mlflow import entities
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from looped.config import TrainConfig
from looped.counting import counted
from looped.names import Kind, Metric, Param, Tag
from looped.tracking.logged import curves_of
from looped.tracking.presence import claim, one_at_a_time, release
from looped.tracking.runs import find_run, list_runs, list_trainings, log_in_batches, of_kind
from looped.tracking.stores.store import Store, reason_of
from looped.tracking.ui.cell import TAGS, Cell, cells_of, chosen

LEVEL = 0.95
logger = logging.getLogger("looped")

Floats = npt.NDArray[np.float64]
NOTHING: Mapping[str, TrainConfig] = MappingProxyType({})


def band_over_seeds(curves: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Average errors over seeds on a logarithmic scale, which is that of bits.

    Args:
        curves: positive, of shape (seed, loop).

    Returns:
        The geometric mean, and the lower and upper end of its 95 % t interval, each of shape
        (loop,); the interval of one seed is NaN.

    Example:
        >>> mean, lower, upper = band_over_seeds([[0.1], [0.4]])
        >>> f"{mean[0]:.3f}, {lower[0]:.1g}, {upper[0]:.2g}"
        '0.200, 3e-05, 1.3e+03'
    """
    logs = np.log(np.asarray(curves, float))
    n_seeds = len(logs)
    mean, half = logs.mean(axis=0), np.full(logs.shape[1], np.nan)
    if n_seeds > 1:
        from scipy.special import stdtrit  # SciPy would delay every command that shows cells

        t = stdtrit(n_seeds - 1, (1 + LEVEL) / 2)
        half = t * logs.std(axis=0, ddof=1) / math.sqrt(n_seeds)
    with np.errstate(over="ignore"):  # two seeds far apart: their interval has no end
        return np.exp(mean), np.exp(mean - half), np.exp(mean + half)


def show_cells(
    store: Store,
    configs: Iterable[TrainConfig] | None = None,
    known_configs: Mapping[str, TrainConfig] = NOTHING,
) -> None:
    """Summarise cells at the end of a command, which does not depend on it.

    Args:
        store: where the trainings are.
        configs: of the trainings whose cells are summarised; None means all that there are.
        known_configs: see ``summarise_cells``.
    """
    keys = None if configs is None else {config.cell_identity for config in configs}
    try:
        summarise_cells(store, keys, known_configs)
    except (MlflowException, OSError, ValueError) as error:
        logger.warning("the cells were not summarised (%s)", reason_of(error))


def summarise_cells(
    store: Store,
    keys: Container[str] | None = None,
    known_configs: Mapping[str, TrainConfig] = NOTHING,
) -> int:
    """See to it that each cell of the experiment has one summary, of the trainings that it has now.

    One process of a machine does so at a time, and looks again after it has written, so that
    processes of several machines leave one summary too. Which trainings there are, and how they
    ended, is therefore read here, whatever the command listed before.

    Args:
        store: where the trainings are, and where the summaries go.
        keys: of the cells that are summarised, with those whose names may change with theirs;
            None means all.
        known_configs: what runs trained, by their ids, as far as the command has read it: a run
            keeps its parameters for ever, so that they are read of the other runs alone.

    Returns:
        How many summaries were made; 0 where all were as they should be.

    Raises:
        MlflowException: MLflow cannot be reached.
    """
    client, experiment_id = store
    n_made = 0
    with one_at_a_time(client, f"cells-{experiment_id}"):
        runs = list(list_trainings(client, experiment_id, only_tags=TAGS))
        cells = chosen(cells_of(client, runs, known_configs), keys)
        summaries = _summaries(store)
        for cell in cells:
            newest, *_ = [*_finished(summaries.get(cell.key, [])), None]
            is_made = newest is not None and newest.data.tags.get(Tag.TRAININGS) == cell.content
            if not is_made:
                n_made += _write(store, cell)
        summaries = _summaries(store)
        for cell in cells:
            _keep_the_newest(client, summaries.get(cell.key, []), has_trainings=bool(cell.runs))
    return n_made


def _summaries(store: Store) -> dict[str, list[Run]]:
    """List the summaries that there are by cell, whatever became of them."""
    by_cell: dict[str, list[Run]] = {}
    for run in list_runs(*store, of_kind(Kind.CELL)):
        by_cell.setdefault(run.data.tags.get(Tag.CELL, ""), []).append(run)
    return by_cell


def _finished(summaries: Iterable[Run]) -> list[Run]:
    """Return the finished ones, the newest first, in an order that all processes agree on."""
    finished = [run for run in summaries if run.info.status == "FINISHED"]
    return sorted(finished, key=lambda run: (run.info.start_time, run.info.run_id), reverse=True)


def _keep_the_newest(client: MlflowClient, summaries: Sequence[Run], has_trainings: bool) -> None:
    """Delete what a newer summary supersedes, and what processes that died left."""
    kept_runs = _finished(summaries)[:1] if has_trainings else []
    kept_ids = {run.info.run_id for run in kept_runs}
    for run in summaries:
        if run.info.run_id not in kept_ids and run.info.status != "RUNNING":
            try:
                client.delete_run(run.info.run_id)
            except MlflowException:
                if find_run(client, run.info.run_id) is not None:  # unless another process did
                    raise


def _write(store: Store, cell: Cell) -> bool:
    """Write a summary; tell whether there was anything to say."""
    client = store.client
    name = f"{Metric.LOOPS}nmse"
    curves_by_run = curves_of(client, [run.info.run_id for run in cell.runs], [name])
    curves = [curves[name] for curves in curves_by_run.values()]
    curves = [curve for curve in curves if len(curve) >= cell.config.b]
    if not curves:
        return False
    loops = sorted(set.intersection(*(set(curve) for curve in curves)))
    errors = np.array([[curve[loop] for loop in loops] for curve in curves])
    is_drawn = (np.isfinite(errors) & (errors > 0)).all(axis=0)
    loops = [loop for loop, is_good in zip(loops, is_drawn, strict=True) if is_good]
    mean, lower, upper = band_over_seeds(errors[:, is_drawn])
    series = {
        loop: (float(mean[i]), float(lower[i]), float(upper[i])) for i, loop in enumerate(loops)
    }
    config = cell.config
    tags = {
        Tag.KIND: Kind.CELL,
        Tag.CELL: cell.key,
        Tag.TRAININGS: cell.content,
        Tag.SIZE: config.size,
        Tag.B: config.b,
        Tag.TASK: config.task_config.word,
        Tag.RECIPE: config.recipe_identity,
        Tag.NOTE: _note(cell, len(curves), series),
    }
    params = {Param.SIZE: config.size, Param.B: config.b, Param.TASK: config.task_config.word}
    run_id = client.create_run(store.experiment_id, run_name=cell.name).info.run_id
    try:
        claim(client, run_id)
        client.log_batch(
            run_id,
            params=[entities.Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, str(value)) for name, value in tags.items()],
        )
        log_in_batches(client, run_id, _metrics(config, len(curves), series), [])
        client.set_terminated(run_id, "FINISHED")
    finally:
        release(run_id)
    return True


def _metrics(
    config: TrainConfig, n_seeds: int, series: Mapping[int, tuple[float, float, float]]
) -> list[entities.Metric]:
    now = round(time.time() * 1000)
    plain: dict[str, float] = {
        Metric.B: config.b,
        Metric.N_PARAMS: config.model_config.n_params(),
        f"{Metric.CELL}seeds": n_seeds,
    }
    if config.b in series:
        plain[Metric.CELL_NMSE_AT_B] = series[config.b][0]
    metrics = [entities.Metric(name, float(value), now, 0) for name, value in plain.items()]
    for loop, values in series.items():
        metrics += [
            entities.Metric(f"{Metric.CELL_NMSE}{end}", value, now, loop)
            for end, value in zip(("", "_lower", "_upper"), values, strict=True)
        ]
    return [metric for metric in metrics if math.isfinite(metric.value)]


def _note(cell: Cell, n_seeds: int, series: Mapping[int, tuple[float, float, float]]) -> str:
    config = cell.config
    loops = counted(config.b, "loop")
    lines = []
    if config.b in series:
        mean, lower, upper = series[config.b]
        band = "" if math.isnan(lower) else f" [{lower:.2g}, {upper:.2g}]"
        lines += [f"**{cell.name}: NMSE {mean:.3g}{band} after {loops}.**", ""]
    interval = "one seed has no interval" if n_seeds == 1 else "with its 95 % t interval"
    lines += [
        f"- The geometric mean over {n_seeds} {'seed' if n_seeds == 1 else 'seeds'}, {interval}; "
        f"`{Metric.CELL_NMSE}` and the ends of its band have the loop as their step.",
        "- Each interval is for one loop by itself; the seeds share their held-out prompts, whose "
        "error is not in it.",
        "- A summary of trainings, no training: no law and no report reads it, and it is made "
        "anew when its trainings change.",
    ]
    if cell.n_left_out:
        lines.append(f"- Left out: {cell.n_left_out} that stayed on the plateau or diverged.")
    lines += ["", *(f"- [{run.info.run_name}](#/experiments/{run.info.experiment_id}/runs/"
                    f"{run.info.run_id})" for run in cell.runs)]  # fmt: skip
    return "\n".join(lines)[:7_500]
