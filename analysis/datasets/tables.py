"""Makes tidy tables of a folder of trainings: its runs, their loops, their steps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.runs.expressivity import expressivity, standard_error
from analysis.runs.journals import DAMAGE, evaluation_of, read_training
from analysis.runs.logged_run import LoggedRun
from looped.datasets.columns import TABLES
from looped.names import Metric, Weights
from looped.records.damage import one_line
from looped.records.journal import Record
from looped.rules import require

Row = dict[str, Any]

DECIMALS = 9
"""Of what is computed here: a logarithm's last digits are not the same on every processor."""

PREFIXES = {Weights.LAST: "", Weights.TAIL: Metric.TAIL}
"""What the names of a curve begin with, by the weights that it is of."""


class FolderError(ValueError):
    """No tables can be made of a folder; the message states the rule, then what came."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables of a data set.

    Attributes:
        by_name: ``runs``, ``loops`` and ``steps``; see ``looped.datasets.columns``.
        n_left_out: trainings of the folder that have not finished, or were given up as diverged,
            which are in none of them.
    """

    by_name: Mapping[str, pd.DataFrame]
    n_left_out: int = 0

    @property
    def runs(self) -> pd.DataFrame:
        """A row for each training."""
        return self.by_name["runs"]


def tables_of(folder: Path) -> Tables:
    """Read every finished training of a folder into tables, the smallest models first.

    Nothing is thinned: each sample of a curve and each evaluated loop is a row.

    Args:
        folder: holds a folder for each training, as ``runs`` and ``results/h100`` do.

    Raises:
        FolderError: it holds no finished training, or one that is not as it was left.
    """
    trainings, n_left_out = [], 0
    for journal in sorted(folder.glob("*/journal.jsonl")):
        try:
            run, evaluation = read_training(journal.parent), evaluation_of(journal.parent)
        except DAMAGE as error:
            rule = "every training must be as it was left"
            raise FolderError(f"{rule}, got {journal.parent}: {one_line(error)}") from error
        if run is None or evaluation is None:
            n_left_out += 1
        else:
            trainings.append((run, evaluation))
    _check(bool(trainings), "the folder must hold finished, evaluated trainings", folder)
    trainings.sort(key=lambda training: _order(training[0]))
    rows: dict[str, list[Row]] = {name: [] for name in TABLES}
    for run, evaluation in trainings:
        key = _key(run)
        rows["runs"].append(_settings(run) | key | _outcome(run))
        rows["loops"] += [key | row for row in _loops(evaluation)]
        rows["steps"] += [key | row for row in _steps(run)]
    by_name = {name: _table(name, rows[name]) for name in TABLES}
    return Tables(by_name=by_name, n_left_out=n_left_out)


def _table(name: str, rows: Sequence[Row]) -> pd.DataFrame:
    kinds = {column.name: column.kind for column in TABLES[name]}
    return pd.DataFrame(rows, columns=list(kinds)).astype(kinds)


def _order(run: LoggedRun) -> tuple[Any, ...]:
    config = run.config
    return config.model_config.n_params(), config.size, config.b, config.seed, run.run_id


def _key(run: LoggedRun) -> Row:
    config = run.config
    return {
        "run": run.run_id,
        "size": config.size,
        Metric.N_PARAMS: config.model_config.n_params(),
        "b": config.b,
        "seed": config.seed,
        "prompt": config.prompt,
        "task": run.task,
        "loss_window": config.windows.loss,
    }


def _settings(run: LoggedRun) -> Row:
    config = run.config
    size, shape = config.model_config.size, config.model_config
    declared = {column.name for column in TABLES["runs"]}
    settings = {name: value for name, value in vars(config).items() if name in declared}
    task_settings = dict(config.task_config.settings)
    of_other_tasks = ("noise_std", "sparsity", "tree_depth", "n_hidden")
    settings |= {name: nan for name in of_other_tasks if name not in task_settings}
    return settings | {
        "n_params_without_positions": shape.n_params(position_embedding=False),
        "identity": config.identity,
        "recipe": config.recipe_identity,
        **{name: getattr(size, name) for name in ("n_layer", "n_head", "n_embd", "n_mlp")},
        "learning_rate": config.rate,
        "tied": not config.is_untied,
        "b_draw_unit": "prompt" if config.draws_by_prompt else "step",
        "grad_window": config.windows.grad,
        "step_flops": config.step_flops,
        "train_flops": config.steps * config.step_flops,
        "infer_flops": shape.forward_flops(config.b),
    }


def _outcome(run: LoggedRun) -> Row:
    nmse, nmse_se, n_prompts = run.final
    tail_nmse = run.metrics.get(Metric.TAIL_NMSE, nan)
    tail_nmse_se = run.metrics.get(Metric.TAIL_NMSE_SE, nan)
    return {
        "n_prompts": n_prompts,
        "nmse": nmse,
        "nmse_se": nmse_se,
        **_in_bits(nmse, nmse_se),
        "tail_nmse": tail_nmse,
        "tail_nmse_se": tail_nmse_se,
        **_in_bits(tail_nmse, tail_nmse_se, Metric.TAIL),
        "escape_step": run.metrics.get(Metric.ESCAPE_STEP, nan),
        "plateau": run.is_plateau,
        "diverged": run.is_diverged,
        "convergence": run.convergence,
        "late_slope": round(run.metrics.get(Metric.LATE_SLOPE, nan), DECIMALS),
        "late_slope_se": round(run.metrics.get(Metric.LATE_SLOPE_SE, nan), DECIMALS),
    }


def _loops(evaluation: Record) -> Iterator[Row]:
    curves = evaluation["loops"]
    names = ("nmse", "nmse_se", "nmse_median", "nmse_q05", "nmse_q95")
    for weights, prefix in PREFIXES.items():
        missing = [nan] * len(curves.get(f"{prefix}nmse", ()))
        columns = {name: curves.get(f"{prefix}{name}", missing) for name in names}
        columns["state_change"] = [nan, *curves.get(f"{prefix}state_change", missing[1:])]
        for at, nmse in enumerate(columns["nmse"]):
            row = {name: column[at] for name, column in columns.items()}
            bits = _in_bits(nmse, row["nmse_se"])
            place = {"weights": weights, "loop": at + 1, "n_prompts": evaluation["n_prompts"]}
            yield place | row | bits


def _steps(run: LoggedRun) -> Iterator[Row]:
    training = run.training
    steps = pairwise([0, *training["step"]])
    curves = zip(steps, training["query_error"], training["loss"], strict=True)
    for (before, step), nmse, loss in curves:
        n_prompts = int(step - before) * run.config.batch_size
        bits = round(float(expressivity(nmse)), DECIMALS)
        yield {"step": step, "n_prompts": n_prompts, "nmse": nmse, "bits": bits, "loss": loss}


def _in_bits(nmse: float, nmse_se: float, prefix: str = "") -> Row:
    numbers = {"bits": expressivity(nmse), "bits_se": standard_error(nmse, nmse_se)}
    return {f"{prefix}{name}": round(float(bits), DECIMALS) for name, bits in numbers.items()}


def _check(holds: bool, rule: str, came: object) -> None:
    try:
        require(holds, rule, came)
    except ValueError as error:
        raise FolderError(str(error)) from None
