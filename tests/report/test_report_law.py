"""The law of a report: of which sizes, and what it says of the others."""

import pytest
from planted_report import run, runs, subject_of

from analysis.report.figures import law
from analysis.scaling.fit import fit_scaling


@pytest.mark.parametrize("is_on_plateau", [False, True])
def test_a_size_without_a_run_that_learned_at_b_1_is_left_out_and_named(is_on_plateau):
    """Its E_M is not measured, whether it was not trained or stayed on the plateau."""
    unmeasured = [each for each in runs() if (each.config.size, each.config.b) != ("small", 1)]
    if is_on_plateau:
        unmeasured += [run("small", 1, seed, plateau=True) for seed in (1, 2, 3)]
    fit, words = law.fit(subject_of(unmeasured), 100)
    assert words == "left out, as they have no run at b = 1: small"
    of_tiny = subject_of([each for each in runs() if each.config.size == "tiny"]).learned_rows
    assert fit.best.theta.tolist() == fit_scaling(of_tiny, resamples=100).best.theta.tolist()
    assert law.exhibit(subject_of(unmeasured), law.FitOrReason(fit, words)).lacks == (
        f"law: {words}",
    )


def test_where_no_size_has_any_the_law_says_what_it_takes():
    fit, words = law.fit(subject_of([each for each in runs() if each.config.b > 1]), 100)
    assert fit is None and "b = 1" in words
