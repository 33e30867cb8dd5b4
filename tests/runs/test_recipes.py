"""Runs by recipe, where a run may be of several."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.runs.logged_run import LoggedRun
from analysis.runs.recipes import by_name, by_recipe, name_of
from looped.config import TrainConfig


def logged(**settings):
    config = TrainConfig(**settings).resolved("cpu", "fp32")
    return LoggedRun(run_id=config.identity, name=config.name, config=config, tags={},
                     loops={"nmse": [0.1] * 50}, prompts=9)  # fmt: skip


def cells(runs):
    return sorted({(run.config.b, run.config.windows.loss, run.config.tied) for run in runs})


def test_a_window_of_15_is_one_recipe_with_what_it_takes_in_whole():
    full = [logged(b=b) for b in (1, 5, 15, 20, 40)]
    former = [logged(b=b, loop_window=15) for b in (20, 40)]
    groups = by_name([*full, *former])
    small = [(1, 1, True), (5, 5, True), (15, 15, True)]
    assert sorted(cells(group) for group in groups.values()) == [
        [*small, (20, 15, True), (40, 15, True)],
        [*small, (20, 20, True), (40, 40, True)],
    ]
    former_name = former[0].config.recipe_identity
    assert cells(groups[former_name])[-1] == (40, 15, True)
    assert former_name == full[0].config.recipe_identity  # as it was before there was a choice
    assert cells(groups[full[-1].config.recipe_identity])[-1] == (40, 40, True)


def test_an_untied_recipe_has_the_looped_model_of_one_loop():
    runs = [logged(b=b, tied=tied) for b in (1, 3) for tied in (True, False)]
    groups = by_recipe(runs).values()
    assert sorted(cells(group) for group in groups) == [
        [(1, 1, False), (1, 1, True), (3, 3, False)],
        [(1, 1, False), (1, 1, True), (3, 3, True)],
    ]
    (together,) = by_recipe(runs, ("tied",)).values()
    assert len(together) == 4


def test_so_many_times_the_sizes_own_rate_is_one_recipe():
    runs = [logged(size=size, learning_rate_factor=factor)
            for size in ("tiny", "small") for factor in (0.5, 1.0)]  # fmt: skip
    runs += [logged(size="small", learning_rate=2.5e-4, seed=7)]  # half of the size's own, too
    groups = by_name(runs)
    halves = [run for run in runs if run.config.rate == run.config.model_config.size.rate(0.5)]
    assert groups[logged(learning_rate_factor=0.5).config.recipe_identity] == halves
    assert len(halves) == 3


@settings(max_examples=30)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"b": st.integers(1, 6), "steps": st.sampled_from([7, 9]),
             "size": st.sampled_from(["tiny", "small"])},
            optional={"loss_window": st.sampled_from([1.0, 0.5, 4.0]),
                      "grad_window": st.sampled_from([1.0, 0.5]), "tied": st.booleans(),
                      "learning_rate_factor": st.sampled_from([0.5, 2.0])},
        ) | st.fixed_dictionaries(
            {"b": st.integers(1, 2), "size": st.sampled_from(["tiny", "small"]),
             "learning_rate": st.sampled_from([5e-4, 1e-3, 2.5e-4])}
        ),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_every_run_of_a_group_is_what_its_recipe_trains(settings):
    runs = [logged(**each) for each in settings]
    groups = by_recipe(runs).values()
    for run in runs:
        assert any(run in group for group in groups)
    for group in groups:
        policy = group[0].config.policy
        for run in group:
            assert run.config.under(policy).identity == run.config.identity
        assert name_of(group) in [run.config.recipe_identity for run in group]
        outside = [run for run in runs if run not in group]
        same_base = [r for r in outside if r.config.base_recipe == group[0].config.base_recipe]
        assert all(r.config.under(policy).identity != r.config.identity for r in same_base)
    assert replace(runs[0].config, seed=9).policy == runs[0].config.policy
