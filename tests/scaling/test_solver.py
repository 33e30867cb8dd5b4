"""The batched solver against scipy's, one problem at a time."""

import numpy as np
import planted_study
import pytest
from scipy.optimize import least_squares

from analysis.scaling.form.forms import FORMS
from analysis.scaling.form.sized_form import SizedForm
from analysis.scaling.run_table import read_run_table
from analysis.scaling.solving.solver import (
    HUBER_CORNER,
    LOSSES,
    Observations,
    curvature_parts,
    losses,
    solve,
)

LAW = "saturating_power/of_E_M"


@pytest.fixture(scope="module")
def problems():
    """Twenty noisy studies of one law, in the same cells."""
    tables = [read_run_table(planted_study.table_of_runs(LAW, noise=0.1, rng=i)) for i in range(20)]
    values = np.array([table.values for table in tables])
    weights, scale = np.ones((1, values.shape[1])), np.full(values.shape[1], 0.1)
    return tables[0], Observations(values, weights, scale, tables[0].cells)


@pytest.mark.parametrize("loss", LOSSES)
def test_it_finds_what_scipy_finds(problems, loss):
    run_table, observations = problems
    sized_form = SizedForm(FORMS[LAW], run_table.sizes)
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    start = np.repeat(sized_form.starts(run_table)[:1], 20, axis=0)
    solution = solve(model, observations, start, sized_form.lower, sized_form.upper, loss=loss)
    assert solution.converged.all()
    for index in range(20):

        def residuals(theta, index=index):
            return (model(theta[None])[0][0][run_table.cells] - observations.values[index]) / 0.1

        def slopes(theta):
            return model.layout.dense(model(theta[None])[1])[0][run_table.cells] / 0.1

        name = {"squared": "linear"}.get(loss, loss)
        expected = least_squares(
            residuals, solution.theta[index], slopes, (sized_form.lower, sized_form.upper),
            loss=name, f_scale=HUBER_CORNER, xtol=1e-12, ftol=1e-12,
        )  # fmt: skip
        assert solution.loss[index] <= 2 * expected.cost * (1 + 1e-6)
        assert solution.theta[index] == pytest.approx(expected.x, abs=2e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_losss_weight_and_curvature_are_its_derivatives(loss):
    z = np.array([-7.3, -2.5, -1.1, -0.2, 0.4, 1.7, 3.0, 9.0])
    (high, _), (low, _) = (losses(z + sign * 1e-4, loss) for sign in (1, -1))
    value, weight = losses(z, loss)
    assert weight * z == pytest.approx((high - low) / 4e-4, rel=1e-5)
    assert curvature_parts(z, loss) == pytest.approx((high - 2 * value + low) / 2e-8, abs=1e-3)


def test_a_weight_of_two_is_the_same_run_twice(problems):
    run_table, observations = problems
    sized_form = SizedForm(FORMS[LAW], run_table.sizes)
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    start = sized_form.starts(run_table)[:1]
    weights = np.ones((1, len(run_table.values)))
    weights[0, 4] = 2
    values = observations.values[:1]
    once = solve(model, Observations(values, weights, observations.scale, run_table.cells), start,
                 sized_form.lower, sized_form.upper)  # fmt: skip
    run_indices = np.insert(np.arange(len(run_table.values)), 4, 4)
    twice = solve(
        model,
        Observations(values[:, run_indices], np.ones((1, len(run_indices))),
                     observations.scale[run_indices], run_table.cells[run_indices]),
        start, sized_form.lower, sized_form.upper,
    )  # fmt: skip
    assert once.theta == pytest.approx(twice.theta, abs=1e-6)


def test_bounds_hold_and_the_rest_goes_on():
    """A line through (0, 0), (1, 2) whose slope may be 1 at most."""

    def model(theta):
        expected = theta[:, :1] + theta[:, 1:] * np.array([0.0, 1.0])
        return expected, np.broadcast_to([[1.0, 0.0], [1.0, 1.0]], (len(theta), 2, 2))

    observations = Observations(np.array([[0.0, 2.0]]), np.ones((1, 2)), np.ones(2), np.arange(2))
    lower, upper = np.array([-9.0, -1.0]), np.array([9.0, 1.0])
    solution = solve(model, observations, np.zeros((1, 2)), lower, upper, loss="squared")
    assert solution.theta[0] == pytest.approx([0.5, 1.0])
    assert solution.converged.all()
