"""The table that a law is fitted to: one row per run, checked and put in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from looped.counting import counted
from looped.rules import require

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

NEEDED = ("size", "b", "seed", "expressivity")
ONE_OF = ("task", "recipe")
"""Columns that may hold a single value: runs that differ in them do not compare."""


class RunTableError(ValueError):
    """A table that no law can be fitted to; the message states the rule, then what came.

    Example:
        >>> from analysis.scaling.run_table import read_run_table
        >>> runs = {"size": ["tiny"], "b": [2], "seed": [1], "expressivity": [1.5]}
        >>> read_run_table(runs)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        analysis.scaling.run_table.RunTableError: every size must have runs at b = 1, ...
    """


@dataclass(frozen=True, kw_only=True)
class RunTable:
    """Runs in a fixed order, whatever order they came in.

    Attributes:
        rows: the rows that are used.
        sizes: names, by rising expressivity at b = 1.
        size: index into ``sizes``, of shape (n,).
        b: loops trained at, of shape (n,).
        values: expressivity in bits, of shape (n,).
        errors: its standard error over prompts, 0 where unknown, of shape (n,).
        cells: (size, b) of each run as an index, ascending, of shape (n,).
        cell_size: size of each cell, of shape (C,).
        cell_b: b of each cell, of shape (C,).
        n_duplicates: rows left out because they say again what another says.
    """

    rows: pd.DataFrame
    sizes: tuple[str, ...]
    size: Indices
    b: Floats
    values: Floats
    errors: Floats
    cells: Indices
    cell_size: Indices
    cell_b: Floats
    n_duplicates: int

    @property
    def bs(self) -> Floats:
        """The values of b, ascending."""
        return np.unique(self.b)

    def cell_means(self) -> Floats:
        """Mean expressivity of each cell, of shape (C,)."""
        return np.bincount(self.cells, self.values) / np.bincount(self.cells)

    @property
    def n_replicates(self) -> int:
        """Runs beyond the first of each cell: what seeds scatter by is measured on these."""
        return len(self.values) - len(self.cell_b)

    def independent_units(self, kind: str) -> float:
        """Say how many independent runs tell as much as these.

        Runs of one seed that err alike at every b tell less than as many runs that do not: n runs
        in clusters of m whose errors correlate by rho count as n / (1 + (m - 1) rho) (Kish 1965,
        Survey Sampling, section 5.4). The correlation is that about the cells' means.

        Args:
            kind: of clusters; see ``clusters``.
        """
        n_runs = len(self.values)
        groups, errors = self.clusters(kind), self.values - self.cell_means()[self.cells]
        counts = np.bincount(groups)
        n_pairs, variance = (counts * (counts - 1)).sum(), (errors**2).mean()
        if n_pairs == 0 or variance == 0:
            return float(n_runs)
        sums = np.bincount(groups, errors)
        correlation = ((sums**2).sum() - (errors**2).sum()) / n_pairs / variance
        cluster_size = (counts**2).sum() / n_runs
        return float(n_runs / (1 + (cluster_size - 1) * min(max(correlation, 0.0), 1.0)))

    @property
    def natural_clusters(self) -> str:
        """Name the clusters that the table calls for: ``seed`` where seeds recur, else ``run``.

        The seed of a training draws its first weights and its prompts, so runs of one size and
        seed share both at every b. Where each size has one seed alone, what that does to all its
        runs cannot be told from its E_M, and no interval can hold it.
        """
        keys = pd.DataFrame({"size": self.size, "seed": self.rows["seed"].to_numpy(), "b": self.b})
        n_bs = keys.groupby(["size", "seed"])["b"].nunique()
        n_seeds = n_bs.groupby(level="size").transform("size")
        return "seed" if ((n_bs > 1) & (n_seeds > 1)).any() else "run"

    def clusters(self, kind: str) -> Indices:
        """Say which runs err together, as indices of shape (n,).

        Args:
            kind: ``run``, each for itself; ``seed``, all b of one size and seed, which start
                from the same weights and see the same prompts; or ``auto``, see
                ``natural_clusters``.
        """
        if kind == "auto":
            kind = self.natural_clusters
        if kind == "run":
            return np.arange(len(self.values))
        pairs = list(zip(self.size, self.rows["seed"], strict=True))
        order = {pair: index for index, pair in enumerate(dict.fromkeys(pairs))}
        return np.array([order[pair] for pair in pairs], dtype=np.intp)


def read_run_table(table: Mapping[str, Any] | pd.DataFrame) -> RunTable:
    """Check a table of runs and put it in order.

    Args:
        table: columns ``size``, ``b``, ``seed`` and ``expressivity`` (bits); and, where known,
            ``standard_error`` (over prompts, bits), ``task`` and ``recipe``.

    Raises:
        RunTableError: the table breaks a rule.

    Example:
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> runs = read_run_table(example_runs())
        >>> runs.sizes, runs.bs, runs.cell_means()[:4].round(2)
        (('tiny', 'small'), array([1., 2., 4., 8.]), array([1. , 1.5, 2. , 2.5]))
    """
    rows = pd.DataFrame(dict(table)).reset_index(drop=True)
    missing_columns = [name for name in NEEDED if name not in rows]
    _rule(
        not missing_columns,
        f"the table must have the columns {', '.join(NEEDED)}",
        list(rows.columns),
    )
    _rule(len(rows) > 0, "the table must have rows", "none")
    for name in ONE_OF:
        if name in rows:
            kinds = sorted(map(str, rows[name].unique()))
            _rule(len(kinds) == 1, f"runs of one law must share their {name}", ", ".join(kinds))
    for name in ("size", "seed"):
        n_missing = int(rows[name].isna().sum())
        _rule(
            n_missing == 0, f"every run must have a {name}", f"{counted(n_missing, 'row')} without"
        )
    rows["size"] = rows["size"].astype(str)
    for name in ("b", "expressivity", "standard_error"):
        if name in rows:
            rows[name] = _numbers(rows[name], name)
    _rule(bool((rows["b"] >= 1).all()), "b must be at least 1", rows["b"].min())
    n_rows = len(rows)
    rows = rows.drop_duplicates(list(NEEDED))
    conflicts = rows[rows.duplicated(["size", "b", "seed"])].rename(columns={"size": "size_"})
    _rule(
        conflicts.empty,
        "each size, b and seed may have one expressivity",
        "several of "
        + "; ".join(f"{row.size_}, b={row.b:g}, seed {row.seed}" for row in conflicts.itertuples()),
    )
    return _in_order(rows, n_rows - len(rows))


def _in_order(rows: pd.DataFrame, n_duplicates: int) -> RunTable:
    at_one = rows[rows["b"] == 1].groupby("size")["expressivity"].mean()
    sizes_without = sorted(set(rows["size"]) - set(at_one.index))
    _rule(
        not sizes_without,
        "every size must have runs at b = 1, which measure its E_M",
        f"none of {', '.join(sizes_without)}",
    )
    _rule(rows["b"].nunique() > 1, "the table must have b beyond 1", "b = 1 alone")
    sizes = tuple(sorted(at_one.index, key=lambda name: (at_one[name], name)))
    rows = rows.assign(_size=[sizes.index(name) for name in rows["size"]])
    rows = rows.sort_values(["_size", "b", "expressivity"]).reset_index(drop=True)
    size = rows.pop("_size").to_numpy(np.intp)
    b = rows["b"].to_numpy(float)
    is_new = np.r_[True, (np.diff(size) != 0) | (np.diff(b) != 0)]
    errors = (
        rows["standard_error"].to_numpy(float) if "standard_error" in rows else np.zeros(len(rows))
    )
    return RunTable(
        rows=rows,
        sizes=sizes,
        size=size,
        b=b,
        values=rows["expressivity"].to_numpy(float),
        errors=errors,
        cells=np.cumsum(is_new) - 1,
        cell_size=size[is_new],
        cell_b=b[is_new],
        n_duplicates=n_duplicates,
    )


def _numbers(column: pd.Series, name: str) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    bad_values = column[~np.isfinite(values)]
    _rule(
        bad_values.empty, f"{name} must be finite numbers", ", ".join(map(str, bad_values.head(3)))
    )
    return values


def _rule(holds: bool, rule: str, value: object) -> None:
    try:
        require(holds, rule, value)
    except ValueError as error:
        raise RunTableError(str(error)) from None
