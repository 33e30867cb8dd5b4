"""The runs that a joint law is fitted to: checked, in a fixed order, with cells and sizes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.scaling.run_table import Floats, Indices, RunTableError
from analysis.scaling.solving.scales import scales_by_size

NEEDED = ("n_once", "n_rec", "b", "seed", "expressivity")
SPARE_RUNS = 2
"""Runs that it takes beyond the number of parameters."""

Booleans = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class JointRuns:
    """Runs in a fixed order, whatever order they came in.

    Attributes:
        rows: the runs, in order.
        values: expressivity in bits, of shape (n,).
        cells: (size, b, steps) of each run as an index, ascending, of shape (n,).
        firsts: first run of each cell, of shape (C,).
        sizes: names, the smallest first.
        size: index into ``sizes``, of shape (n,).
        with_steps: whether the trainings differ in length, which is a term of the law then.
        with_loops: whether what loops are worth is asked for; else all are of b = 1.
    """

    rows: pd.DataFrame
    values: Floats
    cells: Indices
    firsts: Indices
    sizes: tuple[str, ...]
    size: Indices
    with_steps: bool
    with_loops: bool = True

    @property
    def n_parameters(self) -> int:
        """Of the law."""
        return 3 + self.with_loops + 2 * self.with_steps

    @property
    def counts(self) -> Indices:
        """Runs of each cell, of shape (C,)."""
        return np.bincount(self.cells)

    @property
    def cell_means(self) -> Floats:
        """Mean bits of each cell, of shape (C,)."""
        return np.asarray(np.bincount(self.cells, self.values) / self.counts)

    @property
    def scales(self) -> Floats | None:
        """Standard deviation of a run about its cell, by size, of shape (n,); see ``run_table``."""
        scales = scales_by_size(self.values, self.cells, self.size)
        return None if scales is None else scales[self.size]

    @property
    def seed_clusters(self) -> Indices:
        """All runs of one size and seed as one cluster, of shape (n,)."""
        pairs = pd.DataFrame({"size": self.size, "seed": self.rows["seed"].to_numpy()})
        return np.asarray(pairs.groupby(["size", "seed"], sort=False).ngroup(), dtype=np.intp)

    def shortage(self, is_used: Booleans | None = None) -> str | None:
        """Say what some of the runs lack for a law to be fitted to them; None where nothing.

        Args:
            is_used: which runs, of shape (n,); all if left out.
        """
        is_used = np.ones(len(self.values), dtype=bool) if is_used is None else is_used
        for rule, count, least in (
            ("sizes", len(np.unique(self.size[is_used])), 2),
            ("values of b", self.rows["b"][is_used].nunique(), 1 + self.with_loops),
            ("cells", len(np.unique(self.cells[is_used])), self.n_parameters),
            ("runs", int(is_used.sum()), self.n_parameters + SPARE_RUNS),
        ):
            if count < least:
                return f"the joint law needs {least} {rule} or more, got {count}"
        return None


def read_joint_runs(runs: pd.DataFrame, with_loops: bool = True) -> JointRuns:
    """Put runs in order.

    Args:
        runs: as for ``joint_law.fit_joint``.
        with_loops: whether what loops are worth is asked for.

    Raises:
        RunTableError: columns or runs are missing; the message says which, or how many it takes.
    """
    missing_columns = [name for name in NEEDED if name not in runs]
    if missing_columns:
        rule = f"the joint law needs the columns {', '.join(NEEDED)}"
        raise RunTableError(f"{rule}, got no {missing_columns}")
    order = [name for name in ("n_rec", "n_once", "b", "steps", "expressivity") if name in runs]
    rows = runs.sort_values(order).reset_index(drop=True)
    keys = [name for name in order if name != "expressivity"]
    names, size = _sizes_of(rows)
    joint_runs = JointRuns(
        rows=rows,
        values=rows["expressivity"].to_numpy(float),
        cells=np.cumsum(_is_new(rows, keys)) - 1,
        firsts=np.flatnonzero(_is_new(rows, keys)),
        sizes=names,
        size=size,
        with_steps="steps" in rows and rows["steps"].nunique() > 1,
        with_loops=with_loops,
    )
    shortage = joint_runs.shortage()
    if shortage:
        raise RunTableError(shortage)
    return joint_runs


def _sizes_of(rows: pd.DataFrame) -> tuple[tuple[str, ...], Indices]:
    """Name the sizes, the smallest first, and say which each row is of, as indices of shape (n,).

    A size is what has the same weights; where those of one name depend on b, what has that name.
    """
    shapes = rows.drop_duplicates(["n_rec", "n_once"])
    if "size" in rows and shapes["size"].duplicated().any():
        indices, unique_names = pd.factorize(rows["size"])
        return tuple(map(str, unique_names)), np.asarray(indices, dtype=np.intp)
    names = shapes["size"] if "size" in rows else [f"{n:,.0f} weights" for n in shapes["n_rec"]]
    return tuple(map(str, names)), np.cumsum(_is_new(rows, ["n_rec", "n_once"])) - 1


def _is_new(rows: pd.DataFrame, keys: list[str]) -> Booleans:
    """Say which rows differ from the one before in some of the keys, of shape (n,)."""
    values = rows[keys].to_numpy(float)
    return np.asarray(np.r_[True, (np.diff(values, axis=0) != 0).any(axis=1)])
