"""Every form against its formula, and the table of what is searched: bounds, starts, units."""

import math

import numpy as np
import planted_study
import pytest

from analysis.scaling.form.form_search import search
from analysis.scaling.form.forms import FORMS
from analysis.scaling.form.sized_form import SizedForm
from analysis.scaling.run_table import read_run_table
from analysis.scaling.solving.solver import Observations, solve

RISES = {
    "logarithmic": ("log2(b)", math.log2),
    "saturating_power": ("1 - b^-exponent", lambda b, exponent: 1 - b**-exponent),
    "saturating_exponential": (
        "1 - exp(-rate (b - 1))", lambda b, rate: 1 - math.exp(-rate * (b - 1)),
    ),
    "stretched_exponential": (
        "1 - exp(-(rate (b - 1))^stretch)",
        lambda b, rate, stretch: 1 - math.exp(-((rate * (b - 1)) ** stretch)),
    ),
    "rise_and_fall": (
        "log2(b) (1 - bend log2(b))", lambda b, bend: math.log2(b) - bend * math.log2(b) ** 2,
    ),
}  # fmt: skip
OF_SHAPE = {
    "logarithmic": (),
    "saturating_power": ("exponent",),
    "saturating_exponential": ("rate",),
    "stretched_exponential": ("rate", "stretch"),
    "rise_and_fall": ("bend",),
}
WITHOUT_CEILING = ("logarithmic", "rise_and_fall")
VALUES = {
    "bend": 0.15,
    "exponent": 0.7,
    "rate": 0.3,
    "stretch": 0.6,
    "gain": 1.3,
    "slope": -0.4,
    "ceiling": 4.5,
}

SEARCHED = {
    # lower, upper, starts, unit, logarithmic, linear
    "phi": (0, 3, (0.05, 0.3, 1.0), "", False, False),
    "gain": (0, 50, (1.0,), "bits", False, True),
    "slope": (-5, 5, (-1.0, 0.0, 0.5), "per bit of E_M", False, False),
    "ceiling": (-20, 60, (), "bits", False, True),
    "exponent": (0.01, 10, (0.1, 0.5, 2.0), "", True, False),
    "rate": (0.001, 10, (0.02, 0.1, 0.4, 1.5), "per loop", True, False),
    "stretch": (0.1, 2, (0.4, 0.9), "", True, False),
    "bend": (0, 2, (0.02, 0.15, 0.5), "per doubling", False, False),
    "E_M": (-20, 60, (), "bits", False, True),
}


def test_there_are_these_forms():
    variants = ["shared_gain", "of_E_M", "per_size", "all_per_size", "shared_ceiling"]
    names = [f"{shape}/{variant}" for shape in RISES for variant in variants]
    for shape in WITHOUT_CEILING:
        names.remove(f"{shape}/shared_ceiling")
    names.remove("logarithmic/all_per_size")  # its shape has no parameter
    names.remove("stretched_exponential/all_per_size")  # its has two
    assert list(FORMS) == ["power", "power/per_size", *names]
    assert FORMS["power"](2.0, 4, 0.5) == 4.0
    assert (FORMS["power"].family, FORMS["power"].formula) == ("power", "E_M b^phi")
    assert not FORMS["power"].has_ceiling


@pytest.mark.parametrize("name", [name for name in FORMS if not name.startswith("power")])
@pytest.mark.parametrize("e_m", [1.0, 2.0, 3.5, 5.5])
def test_a_form_is_its_formula(name, e_m):
    form, (shape, variant) = FORMS[name], name.split("/")
    shape_formula, rise = RISES[shape]
    gain, formula, leading = {
        "shared_gain": (1.3, "E_M + gain ({})", ("gain",)),
        "per_size": (1.3, "E_M + gain ({})", ("gain",)),
        "all_per_size": (1.3, "E_M + gain ({})", ("gain",)),
        "of_E_M": (1.3 * math.exp(-0.4 * (e_m - 2)), "E_M + gain exp(slope (E_M - 2)) ({})",
                   ("gain", "slope")),
        "shared_ceiling": (max(4.5 - e_m, 0), "E_M + (ceiling - E_M)+ ({})", ("ceiling",)),
    }[variant]  # fmt: skip
    assert form.formula == formula.format(shape_formula)
    assert (form.name, form.family) == (name, shape)
    assert form.has_ceiling is (shape not in WITHOUT_CEILING)
    assert form.may_fall is (shape == "rise_and_fall")
    names = (*leading, *OF_SHAPE[shape])
    assert tuple(parameter.name for parameter in form.parameters) == names
    assert [parameter.is_per_size for parameter in form.parameters] == [
        variant == "all_per_size" or (variant == "per_size" and name == "gain") for name in names
    ]
    shape_values = [VALUES[name] for name in OF_SHAPE[shape]]
    for b in (1, 1.5, 4, 30):
        expected = e_m + gain * rise(b, *shape_values)
        assert form(e_m, b, *(VALUES[name] for name in names)) == pytest.approx(expected)
    assert form.least_bs == 1 + len(names) - ("slope" in names)
    ceiling = e_m + gain if form.has_ceiling else math.inf
    assert form.ceiling(e_m, *(VALUES[name] for name in names)) == pytest.approx(ceiling)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_searched_is_as_stated(name):
    for parameter in SizedForm(FORMS[name], ("tiny", "small")).parameters:
        if (FORMS[name].family, parameter.name) == ("rise_and_fall", "gain"):
            assert parameter.lower == -50  # it may fall
            continue
        assert (
            parameter.lower, parameter.upper, parameter.starts, parameter.unit, parameter.is_log,
            parameter.is_linear,
        ) == SEARCHED[parameter.name]  # fmt: skip


def test_a_gain_that_depends_on_e_m_stays_finite():
    assert math.isfinite(FORMS["logarithmic/of_E_M"](60.0, 2, 1.0, 5.0))
    assert FORMS["logarithmic/of_E_M"](-58.0, 2, 1.0, 1.0) == pytest.approx(-58 + math.exp(-50))
    assert FORMS["logarithmic/of_E_M"](52.1, 2, 1.0, 1.0) == pytest.approx(52.1 + math.exp(50))


@pytest.fixture(scope="module")
def run_table():
    return read_run_table(planted_study.table_of_runs("saturating_power/of_E_M", noise=0.02))


def test_a_search_begins_at_the_means_and_at_every_combination_of_starts(run_table):
    means = run_table.cell_means().reshape(3, 4)
    gains = means.max(axis=1) - means[:, 0]
    starts = SizedForm(FORMS["saturating_power/of_E_M"], run_table.sizes).starts(run_table)
    assert starts.shape == (3 * 3, 3 + 3)
    assert (starts[:, :3] == means[:, 0]).all()
    assert starts[:, 3] == pytest.approx([gains.mean()] * 9)
    assert sorted(map(tuple, starts[:, 4:].round(9))) == sorted(
        (slope, round(math.log(exponent), 9))
        for slope in (-1.0, 0.0, 0.5) for exponent in (0.1, 0.5, 2.0)
    )  # fmt: skip
    per_size = SizedForm(FORMS["logarithmic/per_size"], run_table.sizes).starts(run_table)
    assert per_size[0] == pytest.approx([*means[:, 0], *gains])
    one_ceiling = SizedForm(FORMS["saturating_power/shared_ceiling"], run_table.sizes)
    assert one_ceiling.starts(run_table)[0, 3] == pytest.approx(means.max())


def test_gains_that_are_not_there_begin_at_a_twentieth_of_a_bit():
    table = planted_study.table_of_runs("power", (0.0,), noise=0.0)
    flat = read_run_table(table)
    (start,) = SizedForm(FORMS["logarithmic/per_size"], flat.sizes).starts(flat)
    assert list(start[3:]) == [0.05] * 3


@pytest.mark.parametrize("name", FORMS)
def test_predictions_and_slopes_of_sizes_are_those_of_the_form(run_table, name):
    sized_form = SizedForm(FORMS[name], run_table.sizes)
    names = [parameter.name for parameter in sized_form.parameters]
    values = {"phi": 0.2, **VALUES}
    natural = [1.9, 2.8, 3.3, *(values[part] for part in names[3:])]
    theta = [
        math.log(value) if parameter.is_log else value
        for value, parameter in zip(natural, sized_form.parameters, strict=True)
    ]
    theta = np.array([theta])
    assert sized_form.natural(theta)[0] == pytest.approx(natural)
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    expected, slopes = model(theta)
    slopes = model.layout.dense(slopes)
    of_form = [values[part] for part in dict.fromkeys(names[3:])]
    for index, (size, b) in enumerate(zip(run_table.cell_size, run_table.cell_b, strict=True)):
        assert expected[0, index] == pytest.approx(FORMS[name](natural[size], b, *of_form))
    for column in range(len(names)):
        step = np.zeros_like(theta)
        step[0, column] = 1e-6
        high, low = (model(theta + sign * step)[0][0] for sign in (1, -1))
        assert slopes[0, :, column] == pytest.approx((high - low) / 2e-6, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", [name for name in FORMS if FORMS[name].is_general])
def test_predictions_of_an_e_m_are_those_of_a_size_that_has_it(run_table, name):
    sized_form = SizedForm(FORMS[name], run_table.sizes)
    theta = sized_form.starts(run_table)[:2]
    size, bs = np.full(3, 1, dtype=np.intp), np.array([1.0, 4.0, 9.0])
    models = [sized_form.model_from_e_m(np.full(3, theta[0, 1]), bs), sized_form.model(size, bs)]
    (expected, slopes), (of_size, slopes_of_size) = (
        (values, model.layout.dense(derivatives))
        for model in models
        for values, derivatives in [model(theta)]
    )
    assert expected == pytest.approx(of_size)
    assert slopes[:, :, 3:] == pytest.approx(slopes_of_size[:, :, 3:])
    assert (slopes[:, :, :3] == 0).all()


def test_the_best_of_all_starts_is_kept(run_table):
    name = "stretched_exponential/of_E_M"
    sized_form = SizedForm(FORMS[name], run_table.sizes)
    n_runs = len(run_table.values)
    observations = Observations(
        run_table.values[None], np.ones((1, n_runs)), np.full(n_runs, 0.02), run_table.cells
    )
    solution = search(sized_form, run_table, observations, "huber")
    assert solution.theta.shape == (1, 7)
    for start in sized_form.starts(run_table)[::5]:
        model = sized_form.model(run_table.cell_size, run_table.cell_b)
        alone = solve(model, observations, start[None], sized_form.lower, sized_form.upper)
        assert solution.loss[0] <= alone.loss[0] * (1 + 1e-4)
