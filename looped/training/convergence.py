"""Whether a training still learns when it ends: the slope of its error, and how sure it is.

At a constant rate the error after a step is that of one set of weights, which wanders: two averages
of it differ by chance, the more the larger the model. So its logarithm is fitted by a line in
log step over the last ``SHARE`` of the steps, and the line's slope is given with its error.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from looped.names import Convergence, Metric, Tag
from looped.records.journal import Record

Floats = npt.NDArray[np.float64]

SHARE = 0.4
N_BLOCKS = 8
T_OF_BLOCKS = 2.447
"""Student's t of 95 % with the ``N_BLOCKS`` - 2 degrees of freedom of the line's residuals."""

LEAST_SAMPLES = 2 * N_BLOCKS
LITTLE = 0.2
"""Size of a slope by which doubling the steps adds a tenth of a bit to E."""


class LateSlope(NamedTuple):
    """Slope of log error on log step, and its standard error; NaN where the samples are few."""

    slope: float
    standard_error: float

    @property
    def convergence(self) -> str:
        """One of ``Convergence``, from the slope's 95 % interval.

        ``learning``: it lies below 0, the error surely falls. ``settled``: it does not, and lies
        above -``LITTLE``, doubling the steps would add less than a tenth of a bit. Else neither is
        shown, and nobody can tell.
        """
        half_width = T_OF_BLOCKS * self.standard_error
        if self.slope + half_width < 0:
            return Convergence.LEARNING
        is_settled = self.slope - half_width > -LITTLE
        return Convergence.SETTLED if is_settled else Convergence.CANNOT_TELL


def late_slope(steps: npt.ArrayLike, errors: npt.ArrayLike) -> LateSlope:
    """Fit a line to log error against log step over the last ``SHARE`` of the steps.

    The error is averaged in ``N_BLOCKS`` blocks of equally many samples, and the line fitted to
    those means. Neighbouring samples err alike: what of that is left between neighbouring blocks,
    were the samples an autoregression of first order, widens the standard error.

    Args:
        steps: of the samples of a training's curve, rising.
        errors: at the query, the mean from each sample to the next.

    Example:
        >>> steps = range(25, 7501, 25)
        >>> slope = late_slope(steps, [step**-0.5 for step in steps])
        >>> f"{slope.slope:.2f}", slope.convergence
        ('-0.50', 'learning')
    """
    all_steps, all_errors = np.asarray(steps, float), np.asarray(errors, float)
    is_late = all_steps > (1 - SHARE) * (all_steps[-1] if len(all_steps) else 0)
    late_steps, late_errors = all_steps[is_late], all_errors[is_late]
    if len(late_steps) < LEAST_SAMPLES or not (late_errors > 0).all():
        return LateSlope(math.nan, math.nan)
    blocks = np.array_split(np.arange(len(late_steps)), N_BLOCKS)
    xs = np.array([np.log(late_steps[block]).mean() for block in blocks])
    ys = np.array([np.log(late_errors[block].mean()) for block in blocks])
    slope, residuals = _line(xs, ys)
    _, residuals_of_samples = _line(np.log(late_steps), np.log(late_errors))
    variance = residuals @ residuals / (N_BLOCKS - 2) / np.square(xs - xs.mean()).sum()
    alike = _likeness_of_blocks(residuals_of_samples, len(late_steps) // N_BLOCKS)
    return LateSlope(slope, math.sqrt(variance * (1 + alike) / (1 - alike)))


def with_convergence(outcome: Record, records: Sequence[Record]) -> Record:
    """Return a journal's outcome with its convergence, judged from the samples if it lacks it.

    Args:
        outcome: the record.
        records: of the journal, without what was computed again.
    """
    if Tag.CONVERGENCE in outcome["tags"]:
        return outcome
    values, tags = conclude_curve(*samples_of(records))
    return {**outcome, "values": outcome["values"] | values, "tags": outcome["tags"] | tags}


def samples_of(records: Sequence[Record]) -> tuple[list[int], list[float]]:
    """Return the steps and the query errors of a journal's samples."""
    errors = {
        record["step"]: record["values"][Metric.QUERY_ERROR]
        for record in records
        if record["kind"] == "metrics" and Metric.QUERY_ERROR in record["values"]
    }
    return list(errors), list(errors.values())


def conclude_curve(
    steps: Sequence[int], errors: Sequence[float]
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics and tags that say whether a training still learned; see ``late_slope``."""
    slope = late_slope(steps, errors)
    values = {Metric.LATE_SLOPE: slope.slope, Metric.LATE_SLOPE_SE: slope.standard_error}
    is_learning = slope.convergence == Convergence.LEARNING
    tags = {Tag.CONVERGENCE: slope.convergence, Tag.UNCONVERGED: str(is_learning).lower()}
    return {name: value for name, value in values.items() if math.isfinite(value)}, tags


def _line(xs: Floats, ys: Floats) -> tuple[float, Floats]:
    """Return the slope of the least-squares line, and its residuals."""
    centred = xs - xs.mean()
    slope = float(centred @ ys / (centred @ centred))
    return slope, ys - ys.mean() - slope * centred


def _likeness_of_blocks(residuals: Floats, n_per_block: int) -> float:
    """Return the correlation of neighbouring blocks' means, were the samples of first order.

    That of neighbouring samples comes out too small, by what a fitted line takes of it: about
    (2 + 4 r) / n (Marriott and Pope 1954, for a mean: (1 + 3 r) / n).
    """
    total = residuals @ residuals
    found_r = residuals[:-1] @ residuals[1:] / total if total > 0 else 0.0
    r = min(max(0.0, found_r + (2 + 4 * found_r) / len(residuals)), 0.99)
    places = np.arange(2 * n_per_block)
    correlations = r ** np.abs(places[:, None] - places)
    of_one = correlations[:n_per_block, :n_per_block].sum()
    return float(correlations[:n_per_block, n_per_block:].sum() / of_one)
