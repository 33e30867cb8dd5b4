"""What a law says of exchange and cost, against a law whose answers are known by hand."""

import math

import numpy as np
import pandas as pd
import planted_study
import pytest

from analysis.answers import exchange
from analysis.scaling.fit import fit_scaling
from looped.config import TrainConfig
from looped.sizes import SIZES

EXPONENTIAL = "saturating_exponential/shared_gain"


@pytest.fixture(scope="module")
def fit():
    """E_LM = E_M + 1.8 (1 - exp(-0.25 (b - 1))), nearly without noise."""
    table = planted_study.table_of_runs(EXPONENTIAL, noise=0.002)
    return fit_scaling(table, forms=[EXPONENTIAL]).best


def test_the_exchange_rate_is_where_the_law_crosses(fit):
    crossing = exchange.exchange_rate(fit, "tiny", "small")
    true = 1 - math.log(1 - (2.9 - 1.85) / 1.8) / 0.25
    assert crossing.b == pytest.approx(true, rel=0.01)
    assert crossing.lower < true < crossing.upper
    assert str(crossing).startswith(f"b = {crossing.b:.3g} [")


def test_a_ceiling_below_the_target_is_never():
    e_m = {"tiny": 1.0, "medium": 3.4}
    table = planted_study.table_of_runs(EXPONENTIAL, e_m=e_m, noise=0.02)
    crossing = exchange.exchange_rate(
        fit_scaling(table, forms=[EXPONENTIAL]).best, "tiny", "medium"
    )
    assert math.isinf(crossing.b) and math.isinf(crossing.upper)
    assert str(crossing) == "never"


def test_a_ceiling_that_may_reach_the_target_is_left_open():
    e_m = {"tiny": 1.85, "medium": 3.65}
    table = planted_study.table_of_runs(EXPONENTIAL, e_m=e_m, noise=0.1, rng=2)
    crossing = exchange.exchange_rate(
        fit_scaling(table, forms=[EXPONENTIAL]).best, "tiny", "medium"
    )
    assert math.isfinite(crossing.lower) and math.isinf(crossing.upper)
    assert "never" in str(crossing)


def test_the_last_worthwhile_loop_gains_a_hundredth_of_a_bit(fit):
    crossing = exchange.last_worthwhile(fit, "small")
    gain = np.diff(
        fit.predict({"size": ["small"] * 3, "b": [crossing.b - 1, crossing.b, crossing.b + 1]})
    )
    assert gain[0] >= exchange.WORTHWHILE_BITS > gain[1]
    assert crossing.lower <= crossing.b <= crossing.upper


def test_costs_are_the_projects_own_and_the_front_is_not_beaten(fit):
    configs = {size: TrainConfig(size=size) for size in SIZES}
    table = exchange.costs(fit, configs, range(1, 31))
    row = table[(table["size"] == "small") & (table["b"] == 20)].iloc[0]
    training = TrainConfig(size="small", b=20)
    assert row["train_flops"] == training.steps * training.step_flops
    assert row["infer_flops"] == training.model_config.forward_flops(20)
    assert row["beyond"]
    for kind in ("train", "infer"):
        cost = f"{kind}_flops"
        for _, cell in table.iterrows():
            as_cheap = table[(table[cost] <= cell[cost]) & (table.index != cell.name)]
            is_beaten = (as_cheap["bits"] >= cell["bits"]).any()
            assert cell[f"{kind}_front"] == (not is_beaten)


def test_a_budget_buys_the_cheapest_cell_near_the_best():
    table = pd.DataFrame(
        {
            "size": ["tiny", "tiny", "small", "small"], "b": [1, 5, 1, 5],
            "bits": [1.0, 2.0, 2.005, 3.0], "lower": 0.0, "upper": 9.0, "beyond": False,
            "train_flops": [1.0, 5.0, 8.0, 40.0],
        }
    )  # fmt: skip
    best = exchange.best_for(table, "train", [0.5, 4, 10, 100])
    assert list(zip(best["size"], best["b"], strict=True)) == [
        ("tiny", 1),
        ("tiny", 5),
        ("small", 5),
    ]
    assert exchange.per_flop(table, "train")["b"] == 1
