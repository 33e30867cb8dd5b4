"""The evaluation-time curve of one trained model: E after each loop, approach, plateau, decay.

    E(t) = start + rise (1 - exp(-(rate (t - 1))^stretch)) - fall (1 - exp(-decay (t - onset)+))

t is the loop that is evaluated, (x)+ is max(x, 0). This is not the law over trained b: a model
trained at b = 15 and run once is not the base model. The approach is a stretched exponential: if
loops act as steps of gradient descent, averaging over prompts makes it slower than exponential.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.scaling.solving.solver import Floats, Model, Observations, solve

PARAMETERS = ("start", "rise", "rate", "stretch", "fall", "decay", "onset")
LEAST_FALL = 0.05
"""In bits: a curve that loses less than this beyond its peak keeps what it has."""

_SCALE = 0.02  # bits; curves are smoother than this, so that Huber's corner is for kinks
_LOGS = np.array([False, False, True, True, False, True, False])
_FEWEST_LOOPS = 10


def fit_curves(
    curves: Sequence[Sequence[float]],
    bs: Sequence[int],
    loops: Sequence[Sequence[int]] | None = None,
) -> pd.DataFrame:
    """Fit every model's curve.

    Args:
        curves: E in bits after each evaluated loop, one sequence per model.
        bs: what each model was trained at; the decay is looked for around it first.
        loops: those evaluated, ascending, for each model; 1, 2, ... if left out.

    Returns:
        A row per model: the ``PARAMETERS``; ``rmse`` (bits); ``peak_loop`` and ``peak_bits`` (of
        the fitted curve, among all loops up to the last evaluated); ``plateau_from``, the first
        loop within 0.05 bits of the peak; ``lost``, what the curve falls below its peak in the end
        (bits); ``half_life``, loops beyond the peak after which half of that is gone, infinite
        where less than ``LEAST_FALL`` is lost. All but ``rmse`` are missing for a curve of fewer
        than ten loops.
    """
    rows: list[dict[str, float]] = [{"rmse": math.nan} for _ in curves]
    places = [range(1, len(curve) + 1) for curve in curves] if loops is None else loops
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, evaluated_loops in enumerate(places):
        alike.setdefault(tuple(evaluated_loops), []).append(index)
    for evaluated_loops, indices in alike.items():
        if len(evaluated_loops) < _FEWEST_LOOPS:
            continue
        values = np.array([list(curves[i]) for i in indices], dtype=np.float64)
        fits = _fit(values, [bs[i] for i in indices], np.array(evaluated_loops, float))
        for index, row in zip(indices, fits, strict=True):
            rows[index] = row
    columns = [*PARAMETERS, "rmse", "peak_loop", "peak_bits", "plateau_from", "lost", "half_life"]
    return pd.DataFrame(rows, columns=columns)


def curve(loops: Floats, parameters: Floats) -> Floats:
    """Return E after some loops, (R, loops), from parameters in the order named, (R, 7)."""
    theta = np.where(_LOGS, np.log(np.where(_LOGS, parameters, 1.0)), parameters)
    return _model(loops)(theta)[0]


def _model(loops: Floats) -> Model:
    def model(theta: Floats) -> tuple[Floats, Floats]:
        natural = np.where(_LOGS, np.exp(np.where(_LOGS, theta, 0.0)), theta)
        start, rise, rate, stretch, fall, decay, onset = natural.T[:, :, None]
        scaled_loops = rate * (loops - 1)
        power = scaled_loops**stretch
        share_to_come = np.exp(-power)
        since = np.maximum(loops - onset, 0)
        share_kept = np.exp(-decay * since)
        slopes = [
            np.ones_like(share_to_come),
            1 - share_to_come,
            rise * share_to_come * power * stretch,
            rise
            * share_to_come
            * power
            * stretch
            * np.log(np.where(scaled_loops > 0, scaled_loops, 1.0)),
            share_kept - 1,
            -fall * share_kept * decay * since,
            np.where(since > 0, fall * share_kept * decay, 0.0),
        ]
        jacobian = np.stack(np.broadcast_arrays(*slopes), axis=-1)
        return start + rise * (1 - share_to_come) - fall * (1 - share_kept), jacobian

    return model


def _fit(values: Floats, bs: Sequence[int], loops: Floats) -> list[dict[str, float]]:
    n_models, n_loops = values.shape
    last = float(loops[-1])
    lower = np.array([-20, 0, np.log(1e-3), np.log(0.1), 0, np.log(1e-3), 1.0])
    upper = np.array([60, 60, np.log(10), np.log(2), 60, np.log(10), last])
    starts = np.array(
        [
            [v[0], max(v.max() - v[0], 0.1), np.log(rate), np.log(0.8), fall,
             np.log(decay), min(onset, last - 1)]
            for v, b in zip(values, bs, strict=True)
            for fall in [max(v.max() - v[-1], 0.05)]
            for rate, decay, onset in itertools.product(
                (0.1, 0.6, 2.0), (0.03, 0.3), (float(loops[v.argmax()]), b, 2 * b)
            )
        ]
    )  # fmt: skip
    per_model = len(starts) // n_models
    observations = Observations(
        np.repeat(values, per_model, axis=0),
        np.ones((1, n_loops)),
        np.full(n_loops, _SCALE),
        np.arange(n_loops),
    )
    solution = solve(
        _model(loops), observations, starts, lower, upper, max_steps=300, tolerance=1e-7
    )
    best = solution.loss.reshape(n_models, per_model).argmin(axis=1)
    theta = solution.theta[np.arange(n_models) * per_model + best]
    natural = np.where(_LOGS, np.exp(np.where(_LOGS, theta, 0.0)), theta)
    fitted_values = _model(loops)(theta)[0]
    fitted_curves = _model(np.arange(1, last + 1))(theta)[0]
    return [
        dict(zip(PARAMETERS, map(float, row), strict=True))
        | {"rmse": float(np.sqrt(((fitted - value) ** 2).mean()))}
        | _landmarks(row, fitted_curve)
        for row, fitted, fitted_curve, value in zip(
            natural, fitted_values, fitted_curves, values, strict=True
        )
    ]


def _landmarks(parameters: Floats, fitted_curve: Floats) -> dict[str, float]:
    """Say where a fitted curve peaks and how it falls beyond that."""
    peak = int(fitted_curve.argmax())
    start, rise, _, _, fall, _, _ = parameters
    later_loops = np.arange(peak + 1, 40 * len(fitted_curve) + 1.0)
    bits_lost = fitted_curve[peak] - (start + rise - fall)
    half_life = math.inf
    if bits_lost >= LEAST_FALL:
        is_below_half = (
            curve(later_loops, parameters[None])[0] <= fitted_curve[peak] - bits_lost / 2
        )
        half_life = float(np.argmax(is_below_half)) if is_below_half.any() else math.inf
    return {
        "peak_loop": peak + 1.0,
        "peak_bits": float(fitted_curve[peak]),
        "plateau_from": float(np.argmax(fitted_curve >= fitted_curve[peak] - LEAST_FALL)) + 1,
        "lost": max(float(bits_lost), 0.0) if bits_lost >= LEAST_FALL else 0.0,
        "half_life": half_life,
    }


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Take the median over seeds of each (size, b), and the least and greatest.

    Args:
        table: ``fit_curves`` with the columns ``size`` and ``b`` beside it.
    """
    landmarks = ["peak_loop", "peak_bits", "lost", "half_life", "rmse"]
    groups = table.groupby(["size", "b"], sort=False)[landmarks]
    parts = [groups.median()]
    for name, part in (("least", groups.min()), ("greatest", groups.max())):
        parts.append(part[["peak_loop", "half_life"]].add_suffix(f"_{name}"))
    return pd.concat(parts, axis=1).reset_index()
