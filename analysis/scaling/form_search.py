"""Finds a form's parameters: many starts, a misfit that widens the scale, and how it ended."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.scaling.form_fit import FitStatus, FormFit
from analysis.scaling.forms import Floats, Form
from analysis.scaling.points import Points
from analysis.scaling.sized_form import Law
from analysis.scaling.solver import Observations, Solution, solve

PROJECTION_STEPS = 6
_ALLOWED_RISE = 4.0  # in squared standard deviations: two of them


def search(law: Law, points: Points, seen: Observations, loss: str) -> Solution:
    """Fit a law from many starts and keep the best.

    Each start first has its linear parameters (E_M, gains) projected out: solved for with the
    others held.
    """
    model = law.model(points.cell_size, points.cell_b)
    linear = np.array([parameter.is_linear for parameter in law.parameters])
    found = law.starts(points)
    bounds = (law.lower, law.upper)
    found = solve(model, seen, found, *bounds, loss, linear, PROJECTION_STEPS).theta
    solution = solve(model, seen, found, *bounds, loss)
    return solution.take(np.array([np.argmin(solution.loss)]))


def fit_form(form: Form, points: Points, seen: Observations, options: Mapping[str, Any]) -> FormFit:
    """Fit one form from many starts and say how the search ended.

    Where the form misses the cells' means by more than seeds explain, a run's standard deviation
    is widened to what is left over: else every run would be an outlier of a robust loss.
    """
    law, loss = Law(form, points.sizes), options["loss"]
    model = law.model(points.cell_size, points.cell_b)
    widened = _misfit(law, points, seen, search(law, points, seen, "squared").theta)
    own = replace(seen, scale=seen.scale * widened)
    solution = search(law, points, own, loss)
    widened = _misfit(law, points, seen, solution.theta)
    own = replace(seen, scale=seen.scale * widened)
    solution = solve(model, own, solution.theta, law.lower, law.upper, loss)
    status, blamed = _status(law, points, own, solution, loss)
    in_seeds = float(solution.loss[0]) * widened**2
    return FormFit(law, points, own, solution.theta[0], in_seeds, widened, status, blamed, options)


def _misfit(law: Law, points: Points, seen: Observations, theta: Floats) -> float:
    """How many times wider runs lie about the law than about their cells' means; at least 1."""
    model = law.model(points.cell_size, points.cell_b)
    z = np.abs(seen.values - model(theta)[0][:, points.cells]) / seen.scale
    spare = max(len(points.values) - theta.shape[1], 1)
    # 0.6745 is the median size of a Gaussian's values
    return max(1.0, float(np.median(z)) / 0.6745 * math.sqrt(len(points.values) / spare))


def _status(
    law: Law, points: Points, seen: Observations, solution: Solution, loss: str
) -> tuple[FitStatus, tuple[str, ...]]:
    theta, span = solution.theta[0], law.upper - law.lower
    if not solution.converged[0]:
        return FitStatus.NOT_CONVERGED, ()
    edge = np.minimum(theta - law.lower, law.upper - theta) < 1e-3 * span
    if edge.any():
        return FitStatus.AT_BOUND, _named(law, edge)
    loose = _unbounded(law, points, seen, solution, loss)
    if loose.any():
        return FitStatus.NOT_IDENTIFIED, _named(law, loose)
    return FitStatus.OK, ()


def _unbounded(
    law: Law, points: Points, seen: Observations, solution: Solution, loss: str
) -> npt.NDArray[np.bool_]:
    """Find parameters that could as well lie at an end of what was searched, of shape (P,).

    Each is put there and the others fitted again: the runs speak against it only if the loss
    rises by more than ``_ALLOWED_RISE``. E_M is measured at b = 1 and needs no such proof.
    """
    own = np.flatnonzero([parameter.name != "E_M" for parameter in law.parameters])
    ends = [(index, bound[index]) for bound in (law.lower, law.upper) for index in own]
    start = np.repeat(solution.theta, len(ends), axis=0)
    free = np.ones(start.shape, dtype=bool)
    for row, (index, value) in enumerate(ends):
        start[row, index], free[row, index] = value, False
    model = law.model(points.cell_size, points.cell_b)
    again = solve(model, seen, start, law.lower, law.upper, loss, free, tolerance=1e-6)
    rise = (again.loss - solution.loss[0]).reshape(2, len(own)).min(axis=0)
    loose = np.zeros(len(law.names), dtype=bool)
    loose[own] = rise < _ALLOWED_RISE
    return loose


def _named(law: Law, which: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, is_meant in zip(law.names, which, strict=True) if is_meant)
