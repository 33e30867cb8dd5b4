"""Fits by blocks against their dense twin: same steps, same laws, same intervals."""

from dataclasses import replace

import dense_law
import numpy as np
import planted_study
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.scaling.form.forms import FORMS
from analysis.scaling.form.sized_form import SizedForm
from analysis.scaling.run_table import read_run_table
from analysis.scaling.solving.blocks import Arrow, Layout
from analysis.scaling.solving.resampling import Projection, resample
from analysis.scaling.solving.scales import run_scales
from analysis.scaling.solving.solver import Observations, solve

E_M = {"a": 1.0, "b": 1.7, "c": 2.4, "d": 2.9, "e": 3.5}
_POWER = FORMS["saturating_power/per_size"]
OWN_EXPONENTS = replace(
    _POWER, parameters=tuple(replace(part, is_per_size=True) for part in _POWER.parameters)
)
SHARED_GAIN = replace(
    OWN_EXPONENTS, parameters=(replace(_POWER.parameters[0], is_per_size=False),
                               OWN_EXPONENTS.parameters[1])
)  # fmt: skip
CASES = {
    "nothing beside E_M is a size's own": FORMS["saturating_power/of_E_M"],
    "gains are": FORMS["stretched_exponential/per_size"],
    "gains and exponents are": OWN_EXPONENTS,
    "exponents are, gains are not": SHARED_GAIN,
}


def dense(model):
    """The same model with derivatives by all parameters."""

    def plain(theta):
        expected, slopes = model(theta)
        return expected, model.layout.dense(slopes)

    return plain


def study(form, noise=0.08, rng=1):
    """A table of five sizes, its model, observations and where to start."""
    run_table = read_run_table(planted_study.table_of_runs(e_m=E_M, noise=noise, rng=rng))
    sized_form = SizedForm(form, run_table.sizes)
    natural = {"E_M": list(E_M.values()), "gain": 2.0, "slope": -0.3, "exponent": 0.6,
               "rate": 0.3, "stretch": 0.7, "phi": 0.3}  # fmt: skip
    start = np.concatenate([
        np.broadcast_to(np.log(natural[part.name]) if part.is_log else natural[part.name],
                        5 if part.is_per_size else 1)
        for part in sized_form.parts
    ])  # fmt: skip
    n_runs = len(run_table.values)
    observations = Observations(
        run_table.values[None], np.ones((1, n_runs)), run_scales(run_table), run_table.cells
    )
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    return run_table, sized_form, model, observations, start


@st.composite
def arrows(draw):
    """Cells of some blocks with their derivatives, weights and pull, and what is held."""
    n_blocks, n_own, n_shared = (draw(st.integers(*ends)) for ends in ((1, 4), (0, 3), (0, 3)))
    n_problems = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    blocks = np.repeat(np.arange(n_blocks), rng.integers(1, 6, n_blocks))
    n_parameters = n_own * n_blocks + n_shared
    if not n_parameters:
        n_shared = n_parameters = 1
    order = rng.permutation(n_parameters)  # where in theta they stand is all the same
    own_columns = blocks[:, None] * n_own + np.arange(n_own)
    shared_columns = np.broadcast_to(
        n_own * n_blocks + np.arange(n_shared), (len(blocks), n_shared)
    )
    layout = Layout(
        order[np.concatenate([own_columns, shared_columns], axis=1)], n_own, blocks, n_parameters
    )
    slopes = rng.normal(size=(n_problems, len(blocks), n_own + n_shared))
    weights = rng.uniform(0, 2, size=slopes.shape[:2])
    is_held = rng.random((n_problems, n_parameters)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    return layout, slopes, weights, rng.normal(size=slopes.shape[:2]), is_held


@given(arrows())
def test_a_step_by_blocks_is_that_of_the_whole_matrix(case):
    layout, slopes, weights, pull, is_held = case
    damping = np.linspace(0.1, 1, len(slopes))
    arrow = Arrow.of(layout, slopes, weights, pull)
    step = arrow.step(is_held, damping)
    for index, rows in enumerate(layout.dense(slopes)):
        gradient = rows.T @ pull[index]
        assert arrow.gradient[index] == pytest.approx(gradient)
        curvature = rows.T @ (weights[index][:, None] * rows)
        diagonal = np.diagonal(curvature)
        damped = curvature + np.diag(damping[index] * diagonal + 1e-12 * diagonal.max())
        free, expected = np.flatnonzero(~is_held[index]), np.zeros(layout.n_parameters)
        expected[free] = np.linalg.solve(damped[np.ix_(free, free)], gradient[free])
        assert step[index] == pytest.approx(expected, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("loss", ["huber", "squared"])
def test_a_law_fitted_by_blocks_is_that_of_its_dense_twin(case, loss):
    _, sized_form, model, observations, start = study(CASES[case])
    bounds = sized_form.lower, sized_form.upper
    by_blocks = solve(model, observations, start[None], *bounds, loss=loss, tolerance=1e-12)
    theta = dense_law.solve(dense(model), observations, start, *bounds, loss=loss)
    assert by_blocks.theta[0] == pytest.approx(theta, abs=1e-4)


def clusters_of(kind, run_table):
    if kind == "seed of all sizes":  # over the blocks
        return np.unique(run_table.rows["seed"], return_inverse=True)[1].astype(np.intp)
    return run_table.clusters(kind)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["run", "seed", "seed of all sizes"])
def test_intervals_by_blocks_are_those_of_the_dense_twin(case, kind):
    run_table, sized_form, model, observations, start = study(CASES[case], noise=0.04)
    bounds = sized_form.lower, sized_form.upper
    theta = solve(model, observations, start[None], *bounds, tolerance=1e-12).theta[0]
    clusters, loss = clusters_of(kind, run_table), "huber"
    options = {"bounds": bounds, "loss": loss, "clusters": clusters, "n_resamples": 20, "seed": 3}
    by_blocks = resample(model, observations, theta, **options)
    whole = dense_law.Projection(dense(model), observations, theta, loss, clusters)
    enlarged = by_blocks.projection.enlarge(whole.z[:, None])[:, 0]
    assert enlarged == pytest.approx(whole.residuals(), rel=1e-6, abs=1e-8)
    gradients = np.concatenate([
        np.eye(len(theta)), model.layout.dense(model(theta[None])[1])[0]
    ])  # fmt: skip
    degrees = by_blocks.degrees_of_freedom(gradients)
    expected = [whole.degrees_of_freedom(gradient) for gradient in gradients]
    assert degrees == pytest.approx(expected, rel=1e-5)
    plain = resample(dense(model), observations, theta, **options)
    assert by_blocks.draws == pytest.approx(plain.draws, abs=2e-3)


def test_many_quantities_have_the_degrees_of_freedom_of_each_alone(monkeypatch):
    _, _, model, observations, start = study(CASES["gains are"])
    monkeypatch.setattr("analysis.scaling.solving.resampling._BATCH", 1)
    clusters = np.arange(len(observations.cells))
    rows = model(start[None])[1][0][observations.cells]
    layout = model.layout.of_runs(observations.cells)
    projection = Projection.of(rows, layout, clusters)
    eye = np.eye(len(start))
    assert projection.degrees_of_freedom(eye) == pytest.approx(
        [projection.degrees_of_freedom(row[None]).item() for row in eye]
    )
    assert len(projection.degrees_of_freedom(eye[:0])) == 0


def test_a_size_without_gain_leaves_its_exponent_unknown_and_the_rest_as_it_is():
    """A gain of 0 makes the slope along its exponent 0: a singular curvature."""
    _, sized_form, model, observations, start = study(OWN_EXPONENTS)
    start[sized_form.names.index("gain[a]")] = 0.0
    clusters = np.arange(len(observations.cells))
    rows = model(start[None])[1][0][observations.cells]
    projection = Projection.of(rows, model.layout.of_runs(observations.cells), clusters)
    degrees = dict(zip(sized_form.names, projection.degrees_of_freedom(np.eye(15)), strict=True))
    assert degrees["exponent[a]"] == np.inf
    assert 1 <= degrees["E_M[b]"] < 60
    assert 1 <= degrees["E_M[a]"] < 60
