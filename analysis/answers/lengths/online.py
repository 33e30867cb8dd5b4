"""What a training had reached after some of its steps, read from its curve.

After the warm-up the rate is constant, so that a training's first steps *are* the shorter training:
its curve holds all of them. Their error is measured on the prompts of the training itself, each of
which is fresh when it is seen, so that it is an error on held-out prompts too: that of the weights
of one step, averaged over the last ``WINDOW`` of the steps, and over ``LEAST_SAMPLES`` at least.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.runs.expressivity import expressivity, standard_error
from analysis.runs.logged_run import LoggedRun
from analysis.runs.selection import n_once

WINDOW = 0.1
"""Share of the steps, up to the one asked for, whose error is averaged."""

LEAST_SAMPLES = 4
"""Samples of the curve that are averaged at least, all of them after the warm-up."""

Floats = npt.NDArray[np.float64]


def has_lengths(run: LoggedRun) -> bool:
    """Say whether a run's curve tells of shorter trainings: it is there, and at one b."""
    return bool(run.training.get("query_error")) and run.config.b_draw == "fixed"


def whole_flops(run: LoggedRun) -> float:
    """FLOPs of a training up to the end of its curve."""
    return float(run.config.step_flops * run.training["step"][-1])


def error_at(run: LoggedRun, steps: float) -> tuple[float, float]:
    """Return the NMSE over the window that ends at some step, and its standard error.

    The standard error takes the samples of the window as independent. What seeds differ by is not
    in it.

    Args:
        run: with its training curve.
        steps: length of the shorter training; need not be a sample of the curve.

    Returns:
        NaN, NaN where the steps are beyond the curve, or the window reaches into the warm-up.
    """
    at = np.asarray(run.training["step"], float)
    if not run.config.warmup < steps <= at[-1]:
        return math.nan, math.nan
    n_samples = max(int(((at > (1 - WINDOW) * steps) & (at <= steps)).sum()), LEAST_SAMPLES)
    end = int((at <= steps).sum())
    if end < n_samples or at[end - n_samples] <= run.config.warmup:
        return math.nan, math.nan
    in_window = np.asarray(run.training["query_error"], float)[end - n_samples : end]
    return float(in_window.mean()), float(in_window.std(ddof=1) / math.sqrt(len(in_window)))


def tabulate(runs: Sequence[LoggedRun], lengths: Sequence[float]) -> pd.DataFrame:
    """Tabulate what trainings of some lengths reached.

    Args:
        runs: with their training curves; those of which ``has_lengths`` is false are left out.
        lengths: in gradient steps.

    Returns:
        A row per run and length that its curve tells of: ``size``, ``b``, ``seed``, ``steps``,
        ``flops`` (of the training up to there), ``nmse``, ``expressivity`` and its
        ``standard_error`` (bits), ``n_once`` and ``n_rec``, the smallest model first.
    """
    rows = [row for run in filter(has_lengths, runs) for row in rows_of(run, lengths)]
    rows.sort(key=lambda row: (row["n_rec"], row["size"], row["b"], row["seed"], row["steps"]))
    return pd.DataFrame(rows)


def rows_of(run: LoggedRun, lengths: Sequence[float]) -> list[dict[str, Any]]:
    """Say what trainings of some lengths reached, of one run that has them; see ``tabulate``."""
    config, rows = run.config, []
    once = n_once(config)
    n_rec = config.model_config.n_params(position_embedding=False) - once
    for steps in lengths:
        nmse, nmse_se = error_at(run, steps)
        if math.isnan(nmse):
            continue
        rows.append(
            {
                "size": config.size,
                "b": config.b,
                "seed": config.seed,
                "steps": steps,
                "flops": steps * config.step_flops,
                "nmse": nmse,
                "expressivity": float(expressivity(nmse)),
                "standard_error": float(standard_error(nmse, nmse_se)),
                "n_once": once,
                "n_rec": n_rec,
            }
        )
    return rows


def halvings(runs: Sequence[LoggedRun], parts: int = 1) -> list[float]:
    """Return the length of the shortest training and its halves, the shortest first.

    Only those that every run's curve tells of.

    Args:
        runs: with their training curves.
        parts: lengths to a halving, equally far apart on a logarithmic scale.

    Example:
        >>> halvings([])
        []
    """
    with_curves = list(filter(has_lengths, runs))
    whole = min((float(run.training["step"][-1]) for run in with_curves), default=0.0)
    lengths: list[float] = []
    steps = whole
    while whole and not any(math.isnan(error_at(run, steps)[0]) for run in with_curves):
        lengths.append(steps)
        steps = whole / 2 ** (len(lengths) / parts)
    return lengths[::-1]
