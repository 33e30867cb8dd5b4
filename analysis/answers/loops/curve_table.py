"""The curves of all runs in one table: E after every loop, by size, trained b and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.runs.expressivity import expressivity, standard_error
from analysis.runs.logged_run import LoggedRun
from analysis.scaling.solving.scales import SHARED_RUNS
from analysis.scaling.solving.solver import Floats

FEWEST_LOOPS = 10
FEWEST_BS = 3


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """E after every loop of C cells, the mean over the seeds of each.

    Attributes:
        sizes: name of each cell's size, C of them; cells stand by size, then by b.
        n_params: of each cell, of shape (C,).
        bs: trained b of each cell, of shape (C,).
        by_seed: E in bits after loop 1, 2, ..., by the seed of the training, of shape (C, T);
            NaN in the cells that have no such seed.
        prompts_se: standard error of E over prompts, in bits, of shape (C, T); 0 where unknown.
    """

    sizes: tuple[str, ...]
    n_params: Floats
    bs: Floats
    by_seed: dict[int, Floats]
    prompts_se: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """How many cells, and after how many loops they are known."""
        return self.prompts_se.shape[0], self.prompts_se.shape[1]

    @property
    def loops(self) -> Floats:
        """1, 2, ..., of shape (T,)."""
        return np.arange(1.0, self.shape[1] + 1)

    @cached_property
    def n_seeds(self) -> Floats:
        """Seeds of each cell, of shape (C,)."""
        return np.asarray(np.isfinite(self._stack[:, :, 0]).sum(axis=0), float)

    @cached_property
    def n_runs(self) -> int:
        """How many runs."""
        return int(self.n_seeds.sum())

    @cached_property
    def mean(self) -> Floats:
        """Mean over the seeds of each cell, in bits, of shape (C, T)."""
        return np.asarray(np.nanmean(self._stack, axis=0))

    def without(self, *seeds: int) -> "CurveTable | None":
        """Leave seeds out of all cells; None where a cell has no other."""
        rest = {name: curves for name, curves in self.by_seed.items() if name not in seeds}
        if not rest or not np.isfinite(np.stack(list(rest.values()))[:, :, 0]).any(axis=0).all():
            return None
        return CurveTable(
            sizes=self.sizes,
            n_params=self.n_params,
            bs=self.bs,
            by_seed=rest,
            prompts_se=self.prompts_se,
        )

    @cached_property
    def seeds_se(self) -> Floats | None:
        """Standard error of ``mean`` over seeds, in bits, of shape (C, T); None without pairs.

        A cell's own variance is drawn towards the median one of all cells, which counts as
        ``SHARED_RUNS`` further runs.
        """
        spare = self.n_seeds - 1
        if not (spare > 0).any():
            return None
        squares = np.nansum((self._stack - self.mean) ** 2, axis=0)
        with_pairs = spare > 0
        common = np.median(squares[with_pairs] / spare[with_pairs, None])
        variance = (squares + SHARED_RUNS * common) / (spare + SHARED_RUNS)[:, None]
        return np.asarray(np.sqrt(variance / self.n_seeds[:, None]))

    @cached_property
    def scale(self) -> Floats:
        """Standard deviation that each mean is weighed by, of shape (C, T)."""
        if self.seeds_se is None:
            return np.full(self.shape, 0.1)
        return np.asarray(np.hypot(self.seeds_se, self.prompts_se))

    @cached_property
    def _stack(self) -> Floats:
        return np.stack(list(self.by_seed.values()))


def tabulate_curves(runs: Sequence[LoggedRun]) -> CurveTable | str:
    """Gather the curves of runs, up to the loops that all of them ran, or say what is missing.

    Args:
        runs: of one recipe. Those without a curve of finite errors are left out.

    Example:
        >>> tabulate_curves([])
        'needs the curves of 3 trained b or more, got 0'
    """
    curves = [run for run in runs if _is_whole(run)]
    bs = {run.config.b for run in curves}
    if len(bs) < FEWEST_BS:
        return f"needs the curves of {FEWEST_BS} trained b or more, got {len(bs)}"
    n_loops = min(len(run.loops["nmse"]) for run in curves)
    least = max(FEWEST_LOOPS, *bs)
    if n_loops < least:
        return f"needs curves of {least} loops or more, got one of {n_loops}"
    sizes = {run.config.size: run.config.model_config.n_params() for run in curves}
    cells = sorted({(sizes[run.config.size], run.config.size, run.config.b) for run in curves})
    index = {(size, b): at for at, (_, size, b) in enumerate(cells)}
    shape = len(cells), n_loops
    by_seed = {seed: np.full(shape, np.nan) for seed in sorted({run.config.seed for run in curves})}
    squares, counts = np.zeros(shape), np.zeros((len(cells), 1))
    for run in curves:
        cell = index[run.config.size, run.config.b]
        nmse = np.array(run.loops["nmse"][:n_loops], float)
        by_seed[run.config.seed][cell] = expressivity(nmse)
        nmse_se = np.array(run.loops.get("nmse_se", ())[:n_loops], float)
        if len(nmse_se) == n_loops:
            squares[cell] += standard_error(nmse, np.nan_to_num(nmse_se)) ** 2
        counts[cell] += 1
    return CurveTable(
        sizes=tuple(size for _, size, _ in cells),
        n_params=np.array([n_params for n_params, _, _ in cells], float),
        bs=np.array([b for _, _, b in cells], float),
        by_seed=by_seed,
        prompts_se=np.sqrt(squares / counts),
    )


def _is_whole(run: LoggedRun) -> bool:
    nmse = np.array(run.loops["nmse"], float)
    return len(nmse) > 0 and bool((np.isfinite(nmse) & (nmse > 0)).all())
