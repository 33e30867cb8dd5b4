"""Do the training curves of two b differ by a factor, or by a stretch of time?

A factor says L_b(t) = c L_1(t): loops lower the loss as much early as late. A stretch says
L_b(t) = L_1(t / tau): loops make the same descent at another pace. Both at once is c L_1(t / tau).
Time is counted in steps at the full rate (the sum of the rate so far over the rate after the
warm-up), since a step of the warm-up moves the weights less; curves are compared after it.

Each is fitted by least squares to logarithms on all of a curve but one of ``PARTS`` stretches of
log time, and its error measured on the one left out, each in turn: so a parameter more is no
advantage by itself. A power law stretched is a power law times a factor, so that curves without a
bend cannot tell the two apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from analysis.runs.logged_run import LoggedRun

Floats = npt.NDArray[np.float64]

PARTS = 5
POINTS = 60
TAUS = (1 / 50, 50.0)
LEAST_SHARE = 0.5
"""Of the points that the stretched base must still reach, for the curves to be compared."""

ERRORS = ("factor_error", "stretch_error", "both_error")
GRID, ZOOMS = 81, 3
"""Values of log tau that are tried, and how often a finer grid is laid about the best of them."""

_ENDS = math.log(TAUS[0]), math.log(TAUS[1])

KINDS = ("factor", "stretch", "both")


@dataclass(frozen=True)
class _Curve:
    """The logarithm of a loss, base 4 and negated, so that it is in bits, over log time."""

    log_times: Floats
    bits: Floats

    def at(self, log_times: Floats) -> Floats:
        """Interpolate; NaN outside."""
        return np.interp(log_times, self.log_times, self.bits, left=math.nan, right=math.nan)


def differences(runs: Sequence[LoggedRun]) -> pd.DataFrame:
    """Fit both to the curves of each b beside b = 1, by seed.

    Args:
        runs: of one recipe, with their training curves.

    Returns:
        A row per size, b and seed that has a curve at b = 1 beside it: ``size``, ``b``, ``seed``,
        ``factor`` (c of the factor alone), ``tau`` (of the stretch alone), ``factor_error``,
        ``stretch_error`` and ``both_error`` (root mean square on the parts left out, in bits, over
        the points that all three reach; NaN where those are too few).
    """
    curves = {
        (run.config.size, run.config.b, run.config.seed): _curve(run)
        for run in runs
        if run.training.get("loss") and run.config.b_draw == "fixed"
    }
    rows = []
    for (size, b, seed), curve in curves.items():
        base = curves.get((size, 1, seed))
        if b == 1 or base is None or len(curve.bits) < PARTS or len(base.bits) < PARTS:
            continue
        low = max(curve.log_times[0], base.log_times[0])
        high = min(curve.log_times[-1], base.log_times[-1])
        log_times = np.linspace(low, high, POINTS)
        errors = np.array([_left_out(kind, base, curve, log_times) for kind in KINDS])
        is_reached = ~np.isnan(errors).any(axis=0)
        sizes_of_error = np.full(len(KINDS), math.nan)
        if is_reached.mean() >= LEAST_SHARE:
            sizes_of_error = np.sqrt(np.square(errors[:, is_reached]).mean(axis=1))
        everything = np.ones(POINTS, dtype=bool)
        shift, _ = _fit("factor", base, curve, log_times, everything)
        _, log_tau = _fit("stretch", base, curve, log_times, everything)
        rows.append(
            {
                "size": size,
                "b": b,
                "seed": seed,
                "factor": 4.0**-shift,
                "tau": math.exp(log_tau),
            }
            | dict(zip(ERRORS, map(float, sizes_of_error), strict=True))
        )
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame) -> str:
    """Say in a sentence which of the two is nearer, and how surely over seeds."""
    rows = table.dropna() if len(table) else table
    if not len(rows):
        return "No curve can be compared with that at b = 1 of its seed."
    factor, stretch, both = (math.sqrt((rows[name] ** 2).mean()) for name in ERRORS)
    n_apart = len(table) - len(rows)
    by_seed = (rows["stretch_error"] - rows["factor_error"]).groupby(rows["seed"]).mean()
    middle, nearer, span = float(by_seed.mean()), "neither is shown to be nearer", "one seed"
    if len(by_seed) > 1:
        half = float(stdtrit(len(by_seed) - 1, 0.975) * by_seed.sem())
        span = f"[{middle - half:+.2f}, {middle + half:+.2f}]"
        if abs(middle) > half:
            nearer = "the factor is nearer" if middle > 0 else "the stretch is nearer"
    return (
        f"On parts of the curves that were left out, a factor misses the curve of a larger b by "
        f"{factor:.2f} bits, a stretch of time by {stretch:.2f} and both at once by {both:.2f}: "
        f"{nearer} (stretch less factor {middle:+.2f} {span}, {len(rows)} curves"
        + (f"; {n_apart} reach too little of each other)." if n_apart else ").")
    )


def _curve(run: LoggedRun) -> _Curve:
    steps = np.asarray(run.training["step"], float)
    warmup = run.config.warmup
    bits = -0.5 * np.log2(np.asarray(run.training["loss"], float))
    is_used = steps > warmup
    return _Curve(np.log(steps[is_used] - warmup / 2), _smoothed(bits[is_used]))


def _smoothed(bits: Floats) -> Floats:
    """Average neighbours, so that the noise of single samples is not what is compared."""
    half = len(bits) // POINTS // 2
    return np.asarray(
        pd.Series(bits).rolling(2 * half + 1, center=True, min_periods=1).mean(), dtype=float
    )


def _fit(
    kind: str, base: _Curve, curve: _Curve, log_times: Floats, is_fitted: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Fit on some of the points; return the shift in bits and log tau."""
    times = log_times[is_fitted]
    log_taus = np.zeros(1) if kind == "factor" else np.linspace(*_ENDS, GRID)
    for _ in range(ZOOMS):
        errors = curve.at(times) - base.at(times - log_taus[:, None])
        is_reached = ~np.isnan(errors)
        counts = is_reached.sum(axis=1)
        errors = np.where(is_reached, errors, 0.0)
        shifts = errors.sum(axis=1) / np.maximum(counts, 1) * (kind != "stretch")
        squares = np.where(is_reached, errors - shifts[:, None], 0.0) ** 2
        losses = squares.sum(axis=1) / np.maximum(counts, 1)
        best = int(np.argmin(np.where(counts >= LEAST_SHARE * len(times), losses, np.inf)))
        result = float(shifts[best]), float(log_taus[best])
        ends = log_taus[max(best - 1, 0)], log_taus[min(best + 1, len(log_taus) - 1)]
        log_taus = np.linspace(*ends, len(log_taus))
    return result


def _left_out(kind: str, base: _Curve, curve: _Curve, log_times: Floats) -> Floats:
    """Errors in bits at all points, each from a fit without its part; NaN where not reached."""
    errors = np.full(len(log_times), math.nan)
    for part in np.array_split(np.arange(len(log_times)), PARTS):
        is_fitted = np.ones(len(log_times), dtype=bool)
        is_fitted[part] = False
        shift, log_tau = _fit(kind, base, curve, log_times, is_fitted)
        times = log_times[part]
        errors[part] = curve.at(times) - base.at(times - log_tau) - shift
    return errors
