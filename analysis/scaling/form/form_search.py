"""Finds a form's parameters: many starts, a misfit that widens the scale, and how it ended."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.scaling.form.fitted_form import FitStatus
from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.form.forms import Form
from analysis.scaling.form.shapes import Floats
from analysis.scaling.form.sized_form import SizedForm
from analysis.scaling.run_table import RunTable
from analysis.scaling.solving.solver import Observations, Solution, solve

PROJECTION_STEPS = 6
_EDGE = 1e-3
"""Share of what is searched within which a parameter is at its edge."""

_ALLOWED_RISE = 4.0  # in squared standard deviations: two of them


def search(
    sized_form: SizedForm, run_table: RunTable, observations: Observations, loss: str
) -> Solution:
    """Fit a form from many starts and keep the best.

    Each start first has its linear parameters (E_M, gains) projected out: solved for with the
    others held.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.form.form_search import search
        >>> fit = example_fit().best
        >>> search(fit.sized_form, fit.run_table, fit.observations, "huber").theta.round(2)
        array([[1. , 2. , 0.5]])
    """
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    is_linear = np.array([parameter.is_linear for parameter in sized_form.parameters])
    starts = sized_form.starts(run_table)
    bounds = (sized_form.lower, sized_form.upper)
    starts = solve(
        model, observations, starts, *bounds, loss=loss, free=is_linear, max_steps=PROJECTION_STEPS
    ).theta
    solution = solve(model, observations, starts, *bounds, loss=loss)
    return solution.take(np.array([np.argmin(solution.loss)]))


def fit_form(
    form: Form, run_table: RunTable, observations: Observations, options: Mapping[str, Any]
) -> FormFit:
    """Fit one form from many starts and say how the search ended.

    Where the form misses the cells' means by more than seeds explain, a run's standard deviation
    is widened to what is left over: else every run would be an outlier of a robust loss.

    Example:
        >>> from analysis.scaling import FORMS
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.form.form_search import fit_form
        >>> fit = example_fit().best
        >>> form = FORMS["logarithmic/of_E_M"]
        >>> fit_form(form, fit.run_table, fit.observations, fit.options).status
        <FitStatus.OK: 'the search converged inside its bounds'>
    """
    sized_form, loss = SizedForm(form, run_table.sizes), options["loss"]
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    widening = _misfit(
        sized_form,
        run_table,
        observations,
        search(sized_form, run_table, observations, "squared").theta,
    )
    widened_observations = replace(observations, scale=observations.scale * widening)
    solution = search(sized_form, run_table, widened_observations, loss)
    widening = _misfit(sized_form, run_table, observations, solution.theta)
    widened_observations = replace(observations, scale=observations.scale * widening)
    solution = solve(
        model, widened_observations, solution.theta, sized_form.lower, sized_form.upper, loss=loss
    )
    status, blamed_parameters = _status(sized_form, run_table, widened_observations, solution, loss)
    loss_in_seeds = float(solution.loss[0]) * widening**2
    return FormFit(
        sized_form=sized_form,
        run_table=run_table,
        observations=widened_observations,
        theta=solution.theta[0],
        loss=loss_in_seeds,
        common_loss=loss_in_seeds,
        common_widening=widening,
        n_units=run_table.independent_units(options["clusters"]),
        widening=widening,
        status=status,
        blamed_parameters=blamed_parameters,
        options=options,
    )


def on_common_scale(fits: Mapping[str, FormFit]) -> dict[str, FormFit]:
    """Compare forms by losses on one scale: that of the form that runs lie closest to.

    A robust loss bends at a number of standard deviations. If each form had its own, a form that
    misses more would bend later, and losses would not compare. The forms keep their own fits. A
    form that holds another as a special case also begins where that one ended.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.form.form_search import on_common_scale
        >>> fits = on_common_scale(example_fit().fits)
        >>> fits["power"].common_loss > fits["logarithmic/shared_gain"].common_loss
        True
    """
    least = min(fit.widening for fit in fits.values())
    compared: dict[str, FormFit] = {}
    thetas: dict[str, Floats] = {}
    for name, own_fit in sorted(fits.items(), key=lambda item: len(item[1].theta)):
        fit = replace(own_fit, common_widening=least)
        starts = [fit.theta] + [
            start
            for smaller, theta in thetas.items()
            if (start := fit.sized_form.begin_at(fits[smaller].sized_form, theta)) is not None
        ]
        model = fit.sized_form.model(fit.run_table.cell_size, fit.run_table.cell_b)
        bounds = (fit.sized_form.lower, fit.sized_form.upper)
        observations = fit.common_observations
        solution = solve(model, observations, np.array(starts), *bounds, loss=fit.options["loss"])
        index = int(np.argmin(solution.loss))
        thetas[name] = solution.theta[index]
        compared[name] = replace(fit, common_loss=float(solution.loss[index]) * least**2)
    return {name: compared[name] for name in fits}


def _misfit(
    sized_form: SizedForm, run_table: RunTable, observations: Observations, theta: Floats
) -> float:
    """How many times wider runs lie about the fit than about their cells' means; at least 1."""
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    z = np.abs(observations.values - model(theta)[0][:, run_table.cells]) / observations.scale
    spare = max(len(run_table.values) - theta.shape[1], 1)
    # 0.6745 is the median size of a Gaussian's values
    return max(1.0, float(np.median(z)) / 0.6745 * math.sqrt(len(run_table.values) / spare))


def _status(
    sized_form: SizedForm,
    run_table: RunTable,
    observations: Observations,
    solution: Solution,
    loss: str,
) -> tuple[FitStatus, tuple[str, ...]]:
    theta, span = solution.theta[0], sized_form.upper - sized_form.lower
    if not solution.converged[0]:
        return FitStatus.NOT_CONVERGED, ()
    # bits within a run's scatter of an end are at it; a gain may be small where runs scatter less
    is_linear = np.array([parameter.is_linear for parameter in sized_form.parameters])
    near = np.where(is_linear, np.minimum(_EDGE * span, observations.scale.min()), _EDGE * span)
    is_at_edge = np.minimum(theta - sized_form.lower, sized_form.upper - theta) < near
    if is_at_edge.any():
        return FitStatus.AT_BOUND, _names_of(sized_form, is_at_edge)
    is_loose = _unbounded(sized_form, run_table, observations, solution, loss)
    if is_loose.any():
        return FitStatus.NOT_IDENTIFIED, _names_of(sized_form, is_loose)
    return FitStatus.OK, ()


def _unbounded(
    sized_form: SizedForm,
    run_table: RunTable,
    observations: Observations,
    solution: Solution,
    loss: str,
) -> npt.NDArray[np.bool_]:
    """Find parameters that could as well lie at an end of what was searched, of shape (P,).

    Each is put there and the others fitted again: the runs speak against it only if the loss
    rises by more than ``_ALLOWED_RISE``. E_M is measured at b = 1 and needs no such proof.
    """
    form_indices = np.flatnonzero([parameter.name != "E_M" for parameter in sized_form.parameters])
    ends = [
        (index, bound[index])
        for bound in (sized_form.lower, sized_form.upper)
        for index in form_indices
    ]
    start = np.repeat(solution.theta, len(ends), axis=0)
    free = np.ones(start.shape, dtype=bool)
    for row, (index, value) in enumerate(ends):
        start[row, index], free[row, index] = value, False
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    refits = solve(
        model,
        observations,
        start,
        sized_form.lower,
        sized_form.upper,
        loss=loss,
        free=free,
        tolerance=1e-6,
    )
    rise = (refits.loss - solution.loss[0]).reshape(2, len(form_indices)).min(axis=0)
    is_loose = np.zeros(len(sized_form.names), dtype=bool)
    is_loose[form_indices] = rise < _ALLOWED_RISE
    return is_loose


def _names_of(sized_form: SizedForm, is_selected: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(
        name for name, is_named in zip(sized_form.names, is_selected, strict=True) if is_named
    )
