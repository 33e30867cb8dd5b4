"""How far the law of all curves is off where it has not seen them, beside simpler guesses.

An error is the mean of |ln(predicted / measured NMSE)| over cells and loops, said in per cent:
100 (exp(mean) - 1), which is the mean per cent where it is small, and a typical factor where it is
large. Loops count by their logarithm, as in the fit. What is predicted is the mean curve of a
cell's seeds.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analysis.answers.loops import loop_curves
from analysis.answers.loops.curve_table import FEWEST_LOOPS, CurveTable
from analysis.answers.loops.law_form import LoopLaw
from analysis.scaling.solving.solver import Floats

FEWEST_SIZES = 4
NATS_PER_BIT = 2 * math.log(2)
"""By how much ln NMSE falls for a bit of E."""

Booleans = npt.NDArray[np.bool_]

LAW, OWN_FIT, FLAT = "law", "own_fit", "last_known_loop"
NEAREST, BETWEEN, NOISE = "nearest", "between", "seeds_noise"
RIVALS = (NEAREST, BETWEEN, OWN_FIT, FLAT)


@dataclass(frozen=True, kw_only=True)
class Split:
    """What is left out of a fit, and what is then predicted.

    Attributes:
        left_out: ``nothing``, ``b``, ``loops`` or ``size``.
        value: which b; the loops beyond which; the size's number of parameters; NaN for nothing.
        is_kept: what is fitted, of shape (C, T).
        is_end: whether what is left out lies beyond all that is kept.
    """

    left_out: str
    value: float
    is_kept: Booleans
    is_end: bool

    @property
    def is_asked(self) -> Booleans:
        """What is predicted, of shape (C, T)."""
        return self.is_kept if self.left_out == "nothing" else ~self.is_kept


def splits(table: CurveTable) -> list[Split]:
    """List what is left out in turn: nothing, each b, late loops, each size of four or more.

    The loops beyond 10, 20, 50, ... are left out, as long as these are half of all or more and
    twice the second smallest b is kept: of two b at least the decline has then been seen.

    Args:
        table: of the curves.
    """
    n_cells, n_loops = table.shape
    everything = np.ones((n_cells, n_loops), dtype=bool)
    parts = [Split(left_out="nothing", value=math.nan, is_kept=everything, is_end=False)]
    bs, sizes = np.unique(table.bs), np.unique(table.n_params)
    for b in bs:
        is_kept = everything & (table.bs != b)[:, None]
        parts.append(Split(left_out="b", value=b, is_kept=is_kept, is_end=b in (bs[0], bs[-1])))
    for last in _marks(n_loops // 2):
        if last >= max(FEWEST_LOOPS, 2 * bs[1]):
            is_kept = everything & (table.loops <= last)
            parts.append(Split(left_out="loops", value=last, is_kept=is_kept, is_end=True))
    for size in sizes if len(sizes) >= FEWEST_SIZES else ():
        is_kept = everything & (table.n_params != size)[:, None]
        is_end = size in (sizes[0], sizes[-1])
        parts.append(Split(left_out="size", value=size, is_kept=is_kept, is_end=is_end))
    return parts


def own_fits(tables: Sequence[CurveTable], parts: Sequence[Split]) -> list[list[Floats | None]]:
    """Fit each curve by itself where a split keeps some of its loops.

    Args:
        tables: of the same cells.
        parts: from ``splits``.

    Returns:
        What they predict, (C, T), by table and split; None where a split keeps nothing of some
        curves.
    """
    pairs = [
        (at, index)
        for at in range(len(tables))
        for index, part in enumerate(parts)
        if part.left_out in ("nothing", "loops")
    ]
    curves = [
        curve[is_kept]
        for at, index in pairs
        for curve, is_kept in zip(tables[at].mean, parts[index].is_kept, strict=True)
    ]
    bs = [int(b) for at, _ in pairs for b in tables[at].bs]
    fitted = loop_curves.fit_curves(curves, bs)[list(loop_curves.PARAMETERS)].to_numpy(float)
    predictions = loop_curves.curve(tables[0].loops, fitted).reshape(len(pairs), *tables[0].shape)
    by_split: list[list[Floats | None]] = [[None] * len(parts) for _ in tables]
    for (at, index), bits in zip(pairs, predictions, strict=True):
        by_split[at][index] = bits
    return by_split


def errors_of(
    table: CurveTable, part: Split, law: LoopLaw, own_fit: Floats | None
) -> dict[tuple[str, bool], float]:
    """Measure each way to predict what was left out, as means of |ln ratio|.

    Args:
        table: of the curves.
        part: what was left out.
        law: fitted to the rest.
        own_fit: each curve's own fit to the rest, of shape (C, T); None where there is no rest.

    Returns:
        By the way and whether one loop is known (then what is predicted is moved to meet it: loop
        b where a b or a size is left out, else the last one kept).
    """
    means, is_asked = table.mean, part.is_asked
    weights = np.where(is_asked, 1 / table.loops, 0.0)

    def error(bits: Floats) -> float:
        off = np.where(is_asked, np.abs(bits - means), 0.0)
        return NATS_PER_BIT * float((weights * off).sum() / weights.sum())

    known_loop = part.value if part.left_out == "loops" else table.bs
    at_known = np.arange(len(table.bs)), np.broadcast_to(known_loop, table.bs.shape).astype(int) - 1
    predictions = {LAW: law.predict(table.n_params, table.bs, table.loops)}
    if part.left_out in ("b", "size"):
        positions = np.log(table.bs if part.left_out == "b" else table.n_params)
        groups = table.n_params if part.left_out == "b" else table.bs
        for way, of_neighbours in ((NEAREST, _nearest), (BETWEEN, _between)):
            predictions[way] = _by_neighbours(table, positions, groups, part, of_neighbours)
    errors = {(way, False): error(bits) for way, bits in predictions.items()}
    if part.left_out != "nothing":
        for way, bits in predictions.items():
            errors[way, True] = error(bits + (means - bits)[at_known][:, None])
    if part.left_out == "loops":
        errors[FLAT, True] = error(np.broadcast_to(means[at_known][:, None], means.shape))
    if own_fit is not None:
        errors[OWN_FIT, part.left_out == "loops"] = error(own_fit)
    if part.left_out != "loops" and table.seeds_se is not None:
        # the mean size of a Gaussian error of that standard deviation
        errors[NOISE, False] = error(means + math.sqrt(2 / math.pi) * table.seeds_se)
    return errors


def _marks(most: int) -> Iterator[int]:
    power = 10
    while power <= most:
        yield from (factor * power for factor in (1, 2, 5) if factor * power <= most)
        power *= 10


def _by_neighbours(
    table: CurveTable,
    positions: Floats,
    groups: Floats,
    part: Split,
    of_neighbours: Callable[[float, Floats, Floats], Floats],
) -> Floats:
    """Predict each cell that is left out from those of its group that are not; NaN without any."""
    predicted, is_kept = np.full(table.shape, np.nan), part.is_kept[:, 0]
    for cell in np.flatnonzero(~is_kept):
        other_cells = np.flatnonzero(is_kept & (groups == groups[cell]))
        if len(other_cells):
            order = other_cells[np.argsort(positions[other_cells])]
            predicted[cell] = of_neighbours(positions[cell], positions[order], table.mean[order])
    return predicted


def _nearest(position: float, positions: Floats, curves: Floats) -> Floats:
    return np.asarray(curves[np.abs(positions - position).argmin()])


def _between(position: float, positions: Floats, curves: Floats) -> Floats:
    """Take the line between the neighbours; beyond the ends, the end."""
    for (low, high), (below, above) in zip(pairwise(positions), pairwise(curves), strict=True):
        if low < position < high:
            share = (position - low) / (high - low)
            return np.asarray((1 - share) * below + share * above)
    return _nearest(position, positions, curves)
