"""The runs that claims compare, by size, b and seed, and the numbers that they come to.

Seeds are few, so intervals are Student's t on the per-seed numbers, on the scale of bits: half the
binary logarithm of an error, so that a factor becomes a difference. Cells of one seed share their
data (and, at one size, their initial weights), so differences are taken within a seed first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np

from analysis.claims.by_seed import BySeed, less, mean_of, needs
from analysis.claims.measured import Measured, mean_influence
from analysis.runs.expressivity import Floats, expressivity, prompt_influence
from analysis.runs.logged_run import ENOUGH_BY_PROMPT, LoggedRun, are_on_all_prompts

Result = TypeVar("Result")

FARTHEST_LOOP, STUDIED_B = 50, 15
"""The farthest loop and the largest b of the study."""

STUDIED_SIZES, STUDIED_BS = ("tiny", "small", "medium"), (1, 5, 10, STUDIED_B)

_LEAST_NMSE, _GREATEST_NMSE = 1e-12, 1e12  # a model that diverged counts, with a finite error


def _kept(measure: Callable[..., Result]) -> Callable[..., Result]:
    """Keep what cells were measured by: claims ask for the same numbers again and again."""

    @wraps(measure)
    def measure_once(cells: "Cells", *arguments: Any, **options: Any) -> Result:
        key = measure.__name__, arguments, tuple(options.items())
        if key not in cells._kept_numbers:
            cells._kept_numbers[key] = measure(cells, *arguments, **options)
        return cast(Result, cells._kept_numbers[key])

    return measure_once


@dataclass(frozen=True)
class Cells:
    """Runs that compare, by size, b and seed.

    Attributes:
        runs: that learned and are evaluated, one for each configuration.
        reach: the farthest loop that claims look at, whatever single runs were evaluated to.
        is_on_all_prompts: whether E is from all prompts, or from those of the curves over loops.
    """

    runs: Sequence[LoggedRun]
    reach: int
    is_on_all_prompts: bool = False

    @classmethod
    def of(cls, runs: Sequence[LoggedRun]) -> "Cells":
        """Take runs, and the loop that half of them were evaluated to."""
        lengths = sorted(len(run.loops["nmse"]) for run in runs)
        return cls(runs, lengths[len(lengths) // 2] if lengths else 0, are_on_all_prompts(runs))

    @cached_property
    def sizes(self) -> list[str]:
        """Names of the sizes, the smallest model first."""
        models = {run.config.size: run.config for run in self.runs}
        weights = {
            size: config.model_config.n_params(position_embedding=False)
            for size, config in models.items()
        }
        return sorted(weights, key=lambda size: (weights[size], size))

    @cached_property
    def _kept_numbers(self) -> dict[object, object]:
        return {}

    @property
    def largest(self) -> str:
        """Name of the largest size."""
        return self.sizes[-1]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Neighbouring sizes, the smaller one first."""
        needs(len(self.sizes) > 1, "2 sizes")
        return list(pairwise(self.sizes))

    @property
    def farthest_loop(self) -> int:
        """The farthest loop that the study looked at, or that there is."""
        return min(FARTHEST_LOOP, self.reach)

    def bs(self, size: str | None = None) -> list[int]:
        """Return the trained b of a size, or of all."""
        return sorted({b for cell_size, b in self._by_cell if size in (None, cell_size)})

    def beyond(self, size: str | None = None) -> list[int]:
        """Return the b from 2 on that were evaluated to twice their loops or more."""
        return [b for b in self.bs(size) if 1 < b <= self.farthest_loop // 2]

    def where(self, keep: Callable[[LoggedRun], bool]) -> "Cells":
        """Return those cells whose runs are to be kept."""
        return replace(self, runs=[run for run in self.runs if keep(run)])

    @cached_property
    def _by_cell(self) -> dict[tuple[str, int], dict[int, LoggedRun]]:
        cells: dict[tuple[str, int], dict[int, LoggedRun]] = {}
        for run in sorted(self.runs, key=lambda run: run.config.seed):
            cells.setdefault((run.config.size, run.config.b), {})[run.config.seed] = run
        return cells

    def of_cell(self, size: str, b: int) -> Mapping[int, LoggedRun]:
        """Return the runs of a cell by seed."""
        return self._by_cell.get((size, b), {})

    def numbers_by_seed(self, size: str, b: int, number: Callable[[LoggedRun], float]) -> BySeed:
        """Return a number of each run of a cell, without those that have none."""
        numbers = {seed: number(run) for seed, run in self.of_cell(size, b).items()}
        return {seed: value for seed, value in numbers.items() if not math.isnan(value)}

    @_kept
    def bits(self, size: str, b: int, loop: int | None = None) -> BySeed:
        """Return the expressivity after some loops, by seed.

        Without a loop it is E, after b, from all prompts if all runs were measured on as many; with
        one it is the curve's over loops, whose prompts are the same at every loop. Where the errors
        by prompt were kept, the numbers know what prompts do to them: of all runs, or of
        ``ENOUGH_BY_PROMPT``, whose mean then stands for the others.
        """
        if loop is None and not self.is_on_all_prompts:
            loop = b
        bits = self.numbers_by_seed(size, b, lambda run: bits_after(run, loop))
        runs = self.of_cell(size, b)
        influences = {seed: prompts_of(runs[seed], loop) for seed in bits}
        streams = {
            errors.prompts for seed in bits if (errors := runs[seed].prompt_errors) is not None
        }
        known_influences = {
            seed: influence for seed, influence in influences.items() if influence is not None
        }
        n_known = len(known_influences)
        if not n_known or n_known < min(len(bits), ENOUGH_BY_PROMPT) or len(streams) != 1:
            return bits
        if n_known < len(bits):
            mean_of_known = mean_influence(list(known_influences.values()))
            known_influences = {seed: known_influences.get(seed, mean_of_known) for seed in bits}
        return Measured(bits, streams.pop(), known_influences)

    def bits_lost(self, size: str, b: int, loop: int | None = None) -> BySeed:
        """Return the bits lost from loop b to another, the farthest unless told, by seed.

        This is what extrapolation means in every claim: half the binary logarithm of the error
        there over that at b; below zero where the model improves.
        """
        return less(self.bits(size, b, b), self.bits(size, b, loop or self.farthest_loop))

    def mean_bits_lost(self, size: str) -> BySeed:
        """Return the mean of the bits lost over b, by seed."""
        return mean_of([self.bits_lost(size, b) for b in self.beyond(size)])

    @_kept
    def loss(self, size: str, b: int, end: bool) -> BySeed:
        """Return the training loss in bits at the first sample or over the last tenth, by seed."""

        def number(run: LoggedRun) -> float:
            curve = loss_bits(run)
            if not len(curve):
                return math.nan
            return float(curve[-max(len(curve) // 10, 1) :].mean() if end else curve[0])

        return self.numbers_by_seed(size, b, number)

    def gap(self, size: str, low: int, high: int) -> BySeed:
        """Return the bits that a larger b adds to the loss at the end of training, by seed."""
        return less(self.loss(size, high, True), self.loss(size, low, True))

    @_kept
    def parting(self, size: str, b: int) -> tuple[BySeed, BySeed]:
        """Follow the loss at b over that at b = 1, in bits, after the escape, by seed.

        That is from a tenth of the steps on, once both are below half of what they began with.

        Returns:
            The slope per doubling of the steps, and the scatter about that line.
        """
        base = self.of_cell(size, 1)
        lines = {
            seed: _line(run, base[seed])
            for seed, run in self.of_cell(size, b).items()
            if seed in base
        }
        known_lines = {seed: line for seed, line in lines.items() if line is not None}
        slopes = {seed: slope for seed, (slope, _) in known_lines.items()}
        return slopes, {seed: scatter for seed, (_, scatter) in known_lines.items()}


def bits_after(run: LoggedRun, loop: int | None) -> float:
    """Return a run's expressivity after some loops; NaN where nobody evaluated it.

    Without a loop it is E, after b; see ``LoggedRun.final``.
    """
    nmse = run.loops["nmse"]
    if len(nmse) < (loop or run.config.b):
        return math.nan
    error = run.final.nmse if loop is None else nmse[loop - 1]
    finite_error = _GREATEST_NMSE if math.isnan(error) else error
    return float(expressivity(min(max(finite_error, _LEAST_NMSE), _GREATEST_NMSE)))


def prompts_of(run: LoggedRun, loop: int | None) -> Floats | None:
    """Return by how much each prompt moves ``bits_after``; None where their errors were not kept.

    The curve's prompts are the first of those that were kept.
    """
    errors = run.errors_after(loop or run.config.b)
    if errors is None:
        return None
    n_prompts = run.final.n_prompts if loop is None else run.prompts
    influence = prompt_influence(errors[:n_prompts])
    return influence if np.isfinite(influence).all() else None


def loss_bits(run: LoggedRun) -> Floats:
    """Return a run's training loss in bits at each logged step; empty where it is not known."""
    return _bits(run.training.get("loss", ()))


def _bits(errors: Sequence[float]) -> Floats:
    finite_errors = np.nan_to_num(np.asarray(errors, float), nan=_GREATEST_NMSE)
    return expressivity(np.clip(finite_errors, _LEAST_NMSE, _GREATEST_NMSE))


def _line(run: LoggedRun, base: LoggedRun) -> tuple[float, float] | None:
    """Return slope and scatter of the ratio of two losses; None where too little is known."""
    steps, run_indices, base_indices = np.intersect1d(
        run.training.get("step", ()), base.training.get("step", ()), return_indices=True
    )
    if not len(steps):
        return None
    bits, base_bits = loss_bits(run)[run_indices], loss_bits(base)[base_indices]
    has_fallen = [curve - curve[0] > 0.5 for curve in (bits, base_bits)]  # half the error
    if not all(curve.any() for curve in has_fallen):
        return None
    since = max(
        *(int(curve.argmax()) for curve in has_fallen), int((steps > steps[-1] / 10).argmax())
    )
    if len(steps) - since < 10:
        return None
    doublings, ratio = np.log2(steps[since:]), (bits - base_bits)[since:]
    slope, height = np.polyfit(doublings, ratio, 1)
    return float(slope), float(np.std(ratio - slope * doublings - height))
