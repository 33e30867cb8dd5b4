"""Expressivity E = 1/2 log2(Var(y) / MSE) in bits, and how well it is known.

This is our definition. The study calls a model's expressivity its limiting efficiency, the most
that it can hold and approximate, and gives no formula for that limit; here E is what a training
reached at its b, not the limit: a run that was still learning could have reached more.

One bit more is a quarter of the error. Two things make it uncertain and are kept apart: the
prompts that a model is measured on, which are the same for every model, so that their error does
not shrink with seeds; and the seed, which another training would have had differently.
"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

DEFINITION = (
    "E = 1/2 log2(Var(y) / MSE), in bits, is our definition: what trainings reached, "
    "where the study speaks of a limit"
)
"""For those who read a number of bits and not this file."""

EXACT_BELOW = 1e-9
"""A Bayes predictor with less error than this is exact: there is no ceiling to speak of."""


def expressivity(nmse: npt.ArrayLike) -> Floats:
    """Return E in bits from the mean squared error in units of Var(y)."""
    return np.asarray(-0.5 * np.log2(np.asarray(nmse, float)))


def standard_error(nmse: npt.ArrayLike, nmse_se: npt.ArrayLike) -> Floats:
    """Return the standard error of E, in bits, from that of the NMSE (delta method)."""
    relative = np.asarray(nmse_se, float) / np.asarray(nmse, float)
    return np.asarray(relative / (2 * math.log(2)))


def prompt_influence(errors: npt.ArrayLike) -> Floats:
    """Return by how much each prompt moves E, in bits, of shape (prompt,).

    Their squares sum to that of ``standard_error``. What runs err by on a prompt they err by
    together: a difference of two E is moved by the difference of these, prompt by prompt.

    Args:
        errors: squared error on each of two prompts or more.

    Example:
        >>> prompt_influence([0.1, 0.3]).round(2)
        array([ 0.36, -0.36])
    """
    squares = np.asarray(errors, float)
    n_prompts = len(squares)
    relative = squares / squares.mean() - 1
    return np.asarray(-relative / (2 * math.log(2) * math.sqrt(n_prompts * (n_prompts - 1))))


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds.

    Args:
        table: ``size``, ``b``, ``expressivity`` and, where known, ``standard_error``.

    Returns:
        A row per (size, b): ``seeds``, ``expressivity`` (mean over seeds), ``se_seeds`` (missing
        with one seed), ``se_prompts`` (the same for all seeds, so not divided by their number)
        and the means of those of the columns ``expressivity_median``, ``bayes`` and
        ``below_bayes`` that there are.
    """
    groups = table.groupby(["size", "b"], sort=False)
    averages = groups["expressivity"].agg(seeds="size", expressivity="mean", se_seeds="sem")
    if "standard_error" in table:
        averages["se_prompts"] = groups["standard_error"].mean()
    for name in ("expressivity_median", "bayes", "below_bayes"):
        if name in table:
            averages[name] = groups[name].mean()
    return averages.reset_index()
