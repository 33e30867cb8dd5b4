"""Whether E falls with b: seen where it does, seldom said where it does not."""

import numpy as np
import planted_study
import pytest

from analysis.scaling.fall import CHANCE, clearest_fall
from analysis.scaling.fit import fit_scaling
from analysis.scaling.run_table import read_run_table

N_STUDIES = 60
FLAT = ("logarithmic/shared_gain", (0.0,))


def share_that_fall(seeds, spoil=lambda generator, values: None, n_studies=N_STUDIES):
    n_falls = 0
    for rng in range(n_studies):
        table = planted_study.table_of_runs(*FLAT, seeds=range(seeds), noise=0.08, rng=rng)
        values = table["expressivity"].to_numpy(copy=True)
        spoil(np.random.default_rng(rng), values)
        run_table = read_run_table(table.assign(expressivity=values))
        n_falls += clearest_fall(run_table) is not None
    return n_falls / n_studies


def fail_one(generator, values):
    values[generator.integers(len(values))] -= 1.0


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_flat_law_is_seldom_said_to_fall_and_one_failed_run_makes_none(seeds):
    most = CHANCE + 2 * (CHANCE * (1 - CHANCE) / N_STUDIES) ** 0.5  # of so few studies
    assert share_that_fall(seeds) <= most
    assert share_that_fall(seeds, fail_one) <= most


def test_a_fall_is_found_said_first_and_fitted_by_forms_that_may_fall():
    table = planted_study.table_of_runs(*FLAT, noise=0.05)
    rise = np.log2(table["b"]) - 0.2 * np.log2(table["b"]) ** 2
    table = table.assign(expressivity=table["expressivity"] + rise)
    fall = clearest_fall(read_run_table(table))
    assert (fall.b, fall.larger_b) == (5, 15)
    assert fall.bits == pytest.approx(0.46, abs=0.15)
    fit = fit_scaling(table, resamples=100)
    assert fit.verdict.startswith("E falls with b here: ")
    assert fit.best_form.startswith("rise_and_fall/")
    assert fit.status.name == "OK"
    cells = {"size": ["small"] * 3, "b": [3, 7, 12]}
    truth = 2.9 + np.log2(cells["b"]) - 0.2 * np.log2(cells["b"]) ** 2
    assert fit.predict(cells) == pytest.approx(truth, abs=0.15)


def test_without_a_fall_no_form_that_falls_is_fitted_unless_it_is_named():
    table = planted_study.table_of_runs(noise=0.08)
    assert not any(name.startswith("rise_and_fall") for name in fit_scaling(table).fits)
    fit = fit_scaling(table, forms=["rise_and_fall/per_size"], resamples=100)
    assert list(fit.fits) == ["rise_and_fall/per_size"]


def test_of_one_run_a_cell_nothing_is_said():
    table = planted_study.table_of_runs(*FLAT, seeds=(1,))
    assert clearest_fall(read_run_table(table)) is None
