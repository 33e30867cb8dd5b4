"""The table of what is lost beyond b, on runs whose loss is planted."""

import re

import pytest
from planted_runs import World

from analysis.findings.beyond import beyond_table
from analysis.findings.recipes import Recipe

LOST = {"tiny": 0.5, "small": 1.0}


def test_it_says_the_planted_loss_with_an_interval_and_a_dash_where_nothing_was_trained():
    world = World(lost=lambda config: LOST[config.size], noise=0.01)
    runs = world.study(("tiny",), (5, 10)) + world.study(("small",), (10,))
    recipe = Recipe(letter="A", folder="kept", weights="last", runs=runs)
    title, _, columns, _, tiny, small = beyond_table([recipe])
    assert title == "*A: kept, joint, last weights, after 50 loops*"
    assert columns == "|  | b = 5 | b = 10 |"
    assert small.startswith("| small | - | ")
    for row, size in ((tiny, "tiny"), (small, "small")):
        for estimate, low, high in re.findall(r"([\d.]+) \[([\d.]+), ([\d.]+)\]", row):
            assert float(low) < float(estimate) < float(high)
            assert float(estimate) == pytest.approx(4 ** LOST[size], rel=0.1)
