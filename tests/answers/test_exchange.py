"""What a law says of exchange and cost, against a law whose answers are known by hand."""

import math

import numpy as np
import pandas as pd
import planted_report
import planted_study
import pytest

from analysis.answers import costs, exchange
from analysis.answers.flops import length_of
from analysis.scaling.fit import fit_scaling
from looped.config import TrainConfig
from looped.sizes import STUDY_SIZES

EXPONENTIAL = "saturating_exponential/shared_gain"


@pytest.fixture(scope="module")
def fit():
    """E_LM = E_M + 1.8 (1 - exp(-0.25 (b - 1))), nearly without noise."""
    table = planted_study.table_of_runs(EXPONENTIAL, noise=0.002)
    return fit_scaling(table, form=EXPONENTIAL)


def test_the_exchange_rate_is_where_the_law_crosses(fit):
    crossing = exchange.exchange_rate(fit, "tiny", "small")
    true = 1 - math.log(1 - (2.9 - 1.85) / 1.8) / 0.25
    assert crossing.b == pytest.approx(true, rel=0.01)
    assert crossing.lower < true < crossing.upper
    assert str(crossing).startswith(f"b = {crossing.b:.3g} [")


def test_a_ceiling_below_the_target_is_never():
    e_m = {"tiny": 1.0, "medium": 3.4}
    table = planted_study.table_of_runs(EXPONENTIAL, e_m=e_m, noise=0.02)
    crossing = exchange.exchange_rate(fit_scaling(table, form=EXPONENTIAL), "tiny", "medium")
    assert math.isinf(crossing.b) and math.isinf(crossing.upper)
    assert str(crossing) == "never"


def test_a_ceiling_that_may_reach_the_target_is_left_open():
    e_m = {"tiny": 1.85, "medium": 3.65}
    table = planted_study.table_of_runs(EXPONENTIAL, e_m=e_m, noise=0.1, rng=2)
    crossing = exchange.exchange_rate(fit_scaling(table, form=EXPONENTIAL), "tiny", "medium")
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
    configs = {size: TrainConfig(size=size) for size in STUDY_SIZES}
    table = costs.costs(fit, configs, range(1, 31))
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


def test_an_exchange_in_flops_is_that_of_its_loops():
    configs = {size: TrainConfig(size=size) for size in ("tiny", "small")}
    at_one = TrainConfig(size="small", b=1)
    crossing = exchange.Crossing(4.25, 2.0, math.inf)
    ratio = exchange.cost_ratio(crossing, configs["tiny"], configs["small"], "infer")
    four, five = (TrainConfig(size="tiny").model_config.forward_flops(b) for b in (4, 5))
    value = (0.75 * four + 0.25 * five) / at_one.model_config.forward_flops(1)
    assert ratio.value == pytest.approx(value)
    assert math.isinf(ratio.upper)
    assert str(ratio) == f"{value:.2g} [{ratio.lower:.2g}, never] times"
    ratio = exchange.cost_ratio(crossing, configs["tiny"], configs["small"], "train")
    assert ratio.lower == TrainConfig(size="tiny", b=2).step_flops / at_one.step_flops
    never = exchange.Crossing(math.inf, 3.0, math.inf)
    ratio = exchange.cost_ratio(never, configs["tiny"], configs["small"], "train")
    assert str(ratio) == f"{ratio.lower:.2g} times or more"


def test_a_doubling_of_the_flops_buys_what_the_law_sets_between_its_ends(fit):
    configs = {size: TrainConfig(size=size) for size in STUDY_SIZES}
    table = costs.doublings(fit, configs)
    loops = table[table["size"] == table["to_size"]]
    assert list(loops["to_b"]) == list(2 * loops["b"]) and len(loops) == 3 * 4
    upward = table[table["size"] != table["to_size"]]
    assert set(zip(upward["size"], upward["to_size"], strict=True)) == {
        ("tiny", "small"),
        ("small", "medium"),
    }
    assert list(table["beyond"]) == list(table["to_b"] > 15)
    for row in table.to_dict("records"):
        ends = [(row["size"], row["b"]), (row["to_size"], row["to_b"])]
        low, high = fit.predict({"size": [s for s, _ in ends], "b": [b for _, b in ends]})
        cells = [TrainConfig(size=size, b=b) for size, b in ends]
        flops = {
            "train": [cell.step_flops for cell in cells],
            "infer": [cell.model_config.forward_flops(cell.b) for cell in cells],
        }
        for kind, (few, many) in flops.items():
            bits = (high - low) / math.log2(many / few)
            assert row[f"{kind}_bits"] == pytest.approx(bits)
            assert row[f"{kind}_lower"] < bits < row[f"{kind}_upper"]


def test_sizes_as_dear_as_each_other_have_no_doubling(fit):
    configs = dict.fromkeys(("tiny", "small"), TrainConfig(size="tiny"))
    table = costs.doublings(fit, configs)
    assert table.loc[table["size"] != table["to_size"], "train_bits"].isna().all()


def test_the_length_of_trainings_is_said_in_steps():
    runs = [planted_report.run("tiny", 1, steps=steps) for steps in (1500, 7500, 1500)]
    assert length_of(runs) == "1,500 to 7,500 steps"
    assert length_of(runs[:1]) == "1,500 steps"


def test_a_budget_buys_the_cheapest_cell_near_the_best():
    table = pd.DataFrame(
        {
            "size": ["tiny", "tiny", "small", "small"], "b": [1, 5, 1, 5],
            "bits": [1.0, 2.0, 2.005, 3.0], "lower": 0.0, "upper": 9.0, "beyond": False,
            "train_flops": [1.0, 5.0, 8.0, 40.0],
        }
    )  # fmt: skip
    best = costs.best_for(table, "train", [0.5, 4, 10, 100])
    assert list(zip(best["size"], best["b"], strict=True)) == [
        ("tiny", 1),
        ("tiny", 5),
        ("small", 5),
    ]
