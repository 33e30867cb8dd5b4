"""A law as text: every line of it, with numbers that may differ in their last digits."""

import pandas as pd
import planted_study
import pytest
from golden import require_text

from analysis.scaling.example import example_fit
from analysis.scaling.fit import fit_scaling
from analysis.scaling.words.form_text import number
from analysis.scaling.words.text import WIDTH, section


def with_everything():
    """Clusters of seeds, rows said twice, a ceiling, a correlation, a form left out, a bound."""
    shape = "saturating_power/shared_gain"
    table = planted_study.table_of_runs(shape, (1.0, 0.7), noise=0.02, bs=(1, 5, 10))
    table = pd.concat([table, table.iloc[:2]])
    names = [shape, "logarithmic/of_E_M", "stretched_exponential/shared_gain", "power"]
    return fit_scaling(table, forms=names, form=shape, clusters="seed", resamples=200)


def at_its_bound():
    """Looping hurts; one seed a cell in places, so that nothing is known of lone runs."""
    table = planted_study.table_of_runs("saturating_power/shared_gain", (0.0, 0.7), noise=0.01)
    table = table[(table["seed"] != 1984) | (table["b"] > 1)]
    table["expressivity"] -= 0.05 * table["b"]
    return fit_scaling(table, forms=["power"], loss="squared", resamples=100)


@pytest.mark.parametrize("study", [example_fit, with_everything, at_its_bound])
def test_the_text_is_as_it_was_when_somebody_read_it(study):
    require_text(study().report(), f"law_{study.__name__}.txt")


def test_numbers_have_four_digits_and_gaps_are_said():
    assert [number(value) for value in (12345.6, 0.00012344, -2, float("nan"))] == [
        "1.235e+04", "0.0001234", "-2", "-",
    ]  # fmt: skip


def test_running_text_is_wrapped_and_tables_are_not():
    long_line = "word " * 40
    assert max(map(len, section("T", [long_line], wrap=True).splitlines())) <= WIDTH + 4
    assert section("T", [long_line]) == f"[[T]]\n    {long_line}"


@pytest.mark.parametrize(
    ("clusters", "change", "words"),
    [
        ("auto", {}, "seeds: one draws the same weights and prompts at every b of a size"),
        ("auto", {"seed": range(40)}, "runs: no seed stands at two b"),
        ("auto", {"few": 1}, "runs: with one seed a size, what it does to all b is in no interval"),
        ("run", {}, "runs, as asked: too narrow, since a seed's runs err alike"),
        ("seed", {}, "seeds, as asked"),
    ],
)
def test_the_text_says_which_runs_err_together_and_why(clusters, change, words):
    table = planted_study.table_of_runs(
        "power", bs=(1, 2, 4, 8), seeds=range(5), e_m={"tiny": 1.8, "small": 2.5}, noise=0.02
    )
    table["expressivity"] += 0.1 * (table["seed"] - 2)  # a seed that helps helps at every b
    if "few" in change:
        table = table[table["seed"] == 2]
    elif change:
        table = table.assign(**change)
    fit = fit_scaling(table, forms=["power"], clusters=clusters, resamples=100)
    lines = dict(
        line.strip().split(" = ", 1) for line in fit.report().splitlines() if " = " in line
    )
    assert {name.strip(): text for name, text in lines.items()}["clusters"] == words
