"""Forms of b of one's own: fitted, compared, kept with the law, and asked for again."""

import numpy as np
import pandas as pd
import pytest
from page_blocks import ROOT

from analysis.scaling import FORMS, fit_scaling
from analysis.scaling.form import own_forms
from analysis.scaling.form.shapes import SHAPES, Shape
from analysis.scaling.law_file import load_law, save_law
from looped.plugins import loading

HILL = f"{ROOT}/examples/my_forms.py:hill"
TRUTH = {"gain": 2.0, "half": 3.0, "n": 1.2}


def rise(b):
    return 1 - 1 / (1 + ((b - 1) / TRUTH["half"]) ** TRUTH["n"])


def planted_runs():
    noise = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": size,
            "b": b,
            "seed": seed,
            "expressivity": e_m + TRUTH["gain"] * rise(b) + 0.02 * noise.normal(),
        }
        for size, e_m in (("S", 1.0), ("M", 2.0))
        for b in (1, 2, 4, 8, 16, 32)
        for seed in (1, 2, 3)
    )


@pytest.fixture(scope="module")
def fit():
    return fit_scaling(planted_runs(), form=HILL, forms=["power"], resamples=100)


def test_the_planted_law_is_found_and_predicts_under_the_name_of_its_source(fit):
    assert fit.best_form.startswith("hill-")
    assert fit.best_form.endswith("/shared_gain")
    truth = 1 + TRUTH["gain"] * rise(64)
    assert fit.predict({"size": ["S"], "b": [64]})[0] == pytest.approx(truth, abs=0.03)
    assert set(FORMS).isdisjoint(fit.fits.keys() - {"power"})


def test_the_laws_file_names_the_source_and_cannot_do_without(fit, tmp_path, monkeypatch):
    save_law(tmp_path, fit)
    table = {"size": ["S"], "b": [64]}
    assert load_law(tmp_path).predict(table) == fit.predict(table)
    for name in ("_objects", "_texts"):
        monkeypatch.setattr(loading, name, {})
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "law.json"
    path.write_text(path.read_text().replace(f"{ROOT}/examples/", ""))
    with pytest.raises(ValueError, match="own form must be here, got: hill must be in a file"):
        load_law(tmp_path)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_slopes_by_differences_are_those_that_are_written(shape):
    b = np.array([1.0, 2.0, 9.0, 30.0])
    plain = Shape(shape.name, shape.formula, shape.parameters, shape.rise)
    for parameters in zip(*(parameter.starts for parameter in shape.parameters), strict=False):
        arrays = [np.full(4, value) for value in parameters]
        analytic, numeric = (each.slopes_at(b, *arrays) for each in (shape, plain))
        for slope, difference in zip(analytic, numeric, strict=True):
            np.testing.assert_allclose(difference, slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("text", "word", "message"),
    [
        ("bow = 3", "bow", "bow must be a Shape"),
        ("bow = Shape('power 2', 'b', (), lambda b: b - 1)", "bow", "must be a plain word"),
        ("bow = Shape('bow', 'b', (), lambda b: b)", "bow", "the rise of bow must be 0 at b = 1"),
        ("bow = Shape('bow', 'b', (), lambda b: 1 - 1 / b)", "bow/best", "must be given as one of"),
    ],
)
def test_what_is_no_form_is_refused_in_a_line(tmp_path, text, word, message):
    path = tmp_path / "my_forms.py"
    path.write_text(f"from analysis.scaling.form.shapes import Shape\n{text}\n")
    with pytest.raises(ValueError, match=message):
        own_forms.forms_with(f"{path}:{word}")


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"form must be one of power, .*, or <file>.py:<Name>, got"
    ):
        own_forms.forms_with("hill")
