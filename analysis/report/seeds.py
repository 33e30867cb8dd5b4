"""Means over seeds and how sure they are: a t interval, as wide as few seeds make it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from analysis.scaling.figures import MOST_DRAWN

LEVEL = 0.95
WHAT = "95 % t interval over seeds"


def over_seeds(table: pd.DataFrame, by: Sequence[str], column: str) -> pd.DataFrame:
    """Average a column over seeds.

    Returns:
        A row per group, in the order of the table: ``seeds``, ``mean``, and ``lower`` and
        ``upper`` of its interval, which one seed does not have.
    """
    groups = table.groupby(list(by), sort=False)[column]
    means = groups.agg(seeds="size", mean="mean", sem="sem").reset_index()
    half = means["sem"] * stdtrit(np.maximum(means["seeds"] - 1, 1), (1 + LEVEL) / 2)
    means["lower"], means["upper"] = means["mean"] - half, means["mean"] + half
    return means.drop(columns="sem")


def geometric_over_seeds(table: pd.DataFrame, by: Sequence[str], column: str) -> pd.DataFrame:
    """Average a positive column over seeds on a logarithmic scale; see ``over_seeds``."""
    logs = table.assign(**{column: np.log(table[column])})
    means = over_seeds(logs, by, column)
    ends = ["mean", "lower", "upper"]
    return means.assign(**{name: np.exp(means[name]) for name in ends})


def drawn(table: pd.DataFrame, most: int = MOST_DRAWN) -> pd.DataFrame:
    """Keep the rows of the first so many seeds of each (size, b).

    Example:
        >>> table = pd.DataFrame({"size": "tiny", "b": [1, 1, 5], "seed": [9, 7, 9]})
        >>> drawn(table, most=1)["seed"].tolist()
        [7, 9]
    """
    places = table.groupby(["size", "b"])["seed"].rank(method="dense")
    return table[places <= most]


def drawn_account(table: pd.DataFrame, most: int = MOST_DRAWN) -> str:
    """Say how many seeds of a cell are drawn one by one, where there are more; else nothing."""
    n_seeds = table.groupby(["size", "b"])["seed"].nunique().max() if len(table) else 0
    if n_seeds <= most:
        return ""
    return f" Of a cell's seeds, up to {n_seeds:,}, the first {most} are drawn one by one."


def with_interval(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """Write a mean with its interval, if it has one: ``0.00078 [0.0005, 0.0011]``."""
    text = f"{value:.{digits}g}"
    return text if np.isnan(lower) else f"{text} [{lower:.{digits}g}, {upper:.{digits}g}]"
