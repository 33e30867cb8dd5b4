"""What of a grid a budget holds, and in which order the rest is left out."""

from dataclasses import replace

import pytest
from simulated_grid import plan_of
from small_trainings import TINY

from entrypoints import grid
from looped.grid.records.standing import TO_DO, Standing
from looped.grid.timing import speeds as timing_speeds
from looped.grid.timing.budget import BudgetError, fit_budget
from looped.grid.timing.duration import budget_seconds, written
from looped.grid.timing.plan import OTHER_SECONDS, Speed

CONFIGS = [
    replace(TINY, size=size, b=b, seed=seed, steps=1000).resolved("cpu", "fp32")
    for size in ("nano", "tiny") for b in (1, 2) for seed in (5, 6, 7)
]  # fmt: skip
SPEEDS = {size: Speed(1e6, 1e9) for size in ("nano", "tiny")}


def fit(budget, configs=CONFIGS, before=None):
    def plan_of_part(part):
        return plan_of(part, 1, before, b_max=2, n_prompts=2)

    return fit_budget(configs, plan_of_part, SPEEDS, budget), plan_of_part


def whole_seconds(configs=CONFIGS):
    return plan_of(configs, 1, b_max=2, n_prompts=2).seconds(SPEEDS)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.4, 0.6, 0.7, 0.9, 1.1])
def test_what_is_chosen_fits_and_every_cell_keeps_equally_many_seeds(share):
    budget = f"{share * whole_seconds():.0f}s"
    choice, plan_of_part = fit(budget)
    assert plan_of_part(choice.to_train).seconds(SPEEDS) <= budget_seconds(budget)
    assert sorted(c.name for c in [*choice.to_train, *choice.left_out]) == sorted(
        c.name for c in CONFIGS
    )
    seeds = {(c.size, c.b): 0 for c in choice.to_train}
    for config in choice.to_train:
        seeds[config.size, config.b] += 1
    assert len(set(seeds.values())) == 1
    if len(seeds) < 4:  # cells are left out only once there is one seed
        assert set(seeds.values()) == {1}
        most_flops = max(c.step_flops for c in choice.to_train)
        assert all(c.step_flops > most_flops for c in choice.left_out if (c.size, c.b) not in seeds)


def test_it_says_what_is_left_out_and_in_which_order():
    assert fit("9d")[0].lines == [
        f"budget 9d: all that is left to train fits, 12 trainings, about {written(whole_seconds())}"
    ]
    lines = fit(f"{0.2 * whole_seconds():.0f}s")[0].lines
    assert lines[1] == "left out first: seeds 6, 7, in every cell"
    assert lines[2] == "left out next, the longest first: tiny-b2"


def test_what_is_finished_costs_nothing_and_what_was_begun_costs_its_rest():
    half_done = {config.identity: 500 for config in CONFIGS}
    budget = f"{0.55 * whole_seconds() + len(CONFIGS) * OTHER_SECONDS:.0f}s"
    assert fit(budget)[0].left_out
    assert not fit(budget, before=half_done)[0].left_out
    assert not fit(budget, configs=CONFIGS[:6])[0].left_out


def test_what_a_longer_training_begins_with_stays_as_long_as_that_one():
    """The longer one takes but a step more, so that the shorter is the costlier of the two."""
    short, long = (replace(CONFIGS[0], steps=steps) for steps in (1000, 1001))

    def plan_of_part(part):
        standings = {short.identity: Standing(state=TO_DO),
                     long.identity: Standing(state=TO_DO, first_step=1000)}  # fmt: skip
        plan = plan_of(part, 1, b_max=2, n_prompts=2)
        return replace(plan, standings=standings, after={long.identity: short.identity})

    seconds = plan_of_part([short, long]).seconds(SPEEDS)
    choice = fit_budget([short, long], plan_of_part, SPEEDS, f"{seconds - 0.5}s")
    assert (choice.to_train, choice.left_out) == ([short], [long])


def test_and_no_longer_than_that():
    """The longest goes first; the one that it began with is then the costliest of those left."""
    short, long, cheap = (replace(CONFIGS[0], steps=steps) for steps in (1000, 1200, 100))

    def plan_of_part(part):
        standings = {each.identity: Standing(state=TO_DO) for each in (short, cheap)}
        standings |= {long.identity: Standing(state=TO_DO, first_step=1000)}
        plan = plan_of(part, 1, b_max=2, n_prompts=2)
        return replace(plan, standings=standings, after={long.identity: short.identity})

    seconds = plan_of_part([cheap]).seconds(SPEEDS)
    choice = fit_budget([short, long, cheap], plan_of_part, SPEEDS, f"{seconds + 0.5}s")
    assert (choice.to_train, choice.left_out) == ([cheap], [short, long])


def test_a_budget_that_holds_nothing_is_refused_in_a_line():
    with pytest.raises(
        BudgetError, match=r"at least one training, got 1s \(the shortest .*, nano-b1-s5,"
    ):
        fit("1s")


@pytest.mark.parametrize("text", ["8", "h", "", "-1h", "1h1h", "1 h", "nan", "0s", "9999d", "1m1h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="budget must be a time as 8h"):
        budget_seconds(text)


def test_a_dry_run_says_what_the_budget_leaves_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(timing_speeds, "measure_speed", lambda *_: 1e6)
    monkeypatch.setattr(timing_speeds, "measure_evaluation", lambda *_: 1e9)
    monkeypatch.setattr(grid, "StopRequest", lambda: None)
    words = ["--sizes", "nano", "--bs", "1,2", "--seeds", "5,6", "--n_dims", "2", "--steps", "1000"]
    words += ["--n_examples", "5", "--batch_size", "4", "--warmup", "5", "--workers", "1"]
    words += ["--evaluate", "false", "--dry_run", "true", "--tracking", "offline"]
    words += ["--budget", "20m", "--runs_dir", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", ["grid", *words])
    assert grid.main() == 0
    lines = capsys.readouterr().out.splitlines()
    states = [line.split("  ")[2] for line in lines[:4]]
    assert states == ["to do", "left out", "to do", "left out"]
    assert "does not fit into the budget of 20m" in lines[1]
    assert lines[4] == "4 trainings: 2 to do, 2 left out"
    assert lines[5].startswith("budget 20m: 2 trainings, about ")
    assert lines[6] == "left out first: seeds 6, in every cell"
    assert lines[7].startswith("to train: 2 trainings, ")
