"""Every form of b: the identity at b = 1, derivatives, order, ceilings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.scaling.form.forms import FORMS

NAMES = sorted(FORMS)


@st.composite
def parameters_of(draw, form):
    """Parameters anywhere inside a form's bounds."""
    return [draw(st.floats(part.lower, part.upper)) for part in form.parameters]


@st.composite
def interior_of(draw, form):
    """Parameters away from bounds, where values stay in the range of real studies."""
    middle = {
        "phi": (0.05, 1), "gain": (0.1, 5), "ceiling": (7, 12), "slope": (-1, 1),
        "bend": (0.01, 0.5), "exponent": (0.1, 3), "rate": (0.02, 2), "stretch": (0.3, 1.5),
    }  # fmt: skip
    return [draw(st.floats(*middle[part.name])) for part in form.parameters]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), e_m=st.floats(-20, 60))
def test_at_one_loop_every_form_is_the_base_model_exactly(name, data, e_m):
    form = FORMS[name]
    assert form(e_m, 1, *data.draw(parameters_of(form))) == e_m


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), e_m=st.floats(0.1, 6), b=st.floats(1, 60))
def test_jacobians_are_the_slopes(name, data, e_m, b):
    form = FORMS[name]
    parameters = np.array([e_m, *data.draw(interior_of(form))])
    exact = form.jacobian(parameters[0], b, *parameters[1:])
    for index, slope in enumerate(exact):
        step = np.zeros(len(parameters))
        step[index] = 1e-6 * max(1, abs(parameters[index]))
        high, low = (form(*np.insert(parameters + sign * step, 1, b)) for sign in (1, -1))
        assert slope == pytest.approx((high - low) / (2 * step[index]), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if not FORMS[name].may_fall])
@given(data=st.data(), e_m=st.floats(0, 60), bs=st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)))
def test_more_loops_are_never_worse(name, data, e_m, bs):
    form, (low_b, high_b) = FORMS[name], sorted(bs)
    parameters = data.draw(parameters_of(form))
    low, high = form(e_m, low_b, *parameters), form(e_m, high_b, *parameters)
    assert high >= low - 1e-9 * (1 + abs(low))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data(), e_m=st.floats(0, 6))
def test_a_ceiling_is_never_passed_and_reached_in_the_end(name, data, e_m):
    form, parameters = FORMS[name], data.draw(interior_of(FORMS[name]))
    ceiling = form.ceiling(e_m, *parameters)
    if not form.has_ceiling:
        assert ceiling == np.inf
        return
    assert form(e_m, 1e3, *parameters) <= ceiling + 1e-9
    assert form(e_m, 1e60, *parameters) == pytest.approx(ceiling, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_broadcast(name):
    form = FORMS[name]
    parameters = [np.full((3, 1), (*part.starts, 3.0)[0]) for part in form.parameters]
    bs = np.array([1.0, 5.0])
    assert form(np.ones((3, 1)), bs, *parameters).shape == (3, 2)
    slopes = form.jacobian(np.ones((3, 1)), bs, *parameters)
    assert slopes.shape == (3, 2, 1 + len(form.parameters))


def test_a_gain_of_its_own_for_each_size_is_no_function_of_e_m():
    not_general = {name for name in NAMES if not FORMS[name].is_general}
    assert not_general == {name for name in NAMES if name.endswith("per_size")}


@given(gain=st.floats(0.1, 5), bend=st.floats(0.05, 1))
def test_what_rises_and_falls_is_highest_where_its_bend_says(gain, bend):
    form, top = FORMS["rise_and_fall/shared_gain"], 2 ** (1 / (2 * bend))
    height = form(2.0, top, gain, bend)
    assert height == pytest.approx(2 + gain / (4 * bend))
    assert form(2.0, top**2, gain, bend) == pytest.approx(2.0)  # and is back where it began
    for b in (1 + (top - 1) / 2, top * 1.5):
        assert form(2.0, b, gain, bend) < height


@given(e_m=st.floats(0, 6), b=st.floats(1, 100))
def test_a_model_above_the_common_ceiling_gains_nothing(e_m, b):
    form = FORMS["saturating_power/shared_ceiling"]
    assert form(e_m, b, e_m - 0.5, 0.7) == e_m
    assert form(e_m, 1e30, e_m + 0.5, 0.7) == pytest.approx(e_m + 0.5)
