from itertools import combinations, product

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import standard_errors_off
from strategies import seeds, steps, task_configs

from looped.draws import Draws
from looped.tasks import TASKS, from_config, make_task
from looped.tasks.kinds import TASK_KINDS
from looped.tasks.task_config import TaskConfig

CHANCE = 5.0
"""Standard errors that no honest draw is off by."""

OPTIONS = {
    "linear": [{}],
    "noisy_linear": [{"noise_std": 0.25}, {"noise_std": 2.0}],
    "sparse_linear": [{"sparsity": 1}, {"sparsity": 2}],
    "decision_tree": [{"tree_depth": 1}, {"tree_depth": 4}],
    "relu_network": [{"n_hidden": 1}, {"n_hidden": 20}],
}
CASES = [
    TaskConfig(name, n_dims, **options)
    for name in OPTIONS
    for options in OPTIONS[name]
    for n_dims in (2, 7)
]
CONTINUOUS = sorted(set(TASKS) - {"parity"})
"""Tasks of which no two draws are equal by chance."""
STREAMS = list(product([0, 1, 42, 2**30, 2**31 - 1], [0, 1, 2, 2**31, 2**32 - 1], [False, True]))


def case_name(config):
    return "-".join(map(str, config.content.values()))


def batch(config, stream=(0, 0, False), batch_size=3, n_points=4):
    seed, step, held_out = stream
    return from_config(config).batch(seed, step, batch_size, n_points, held_out=held_out)


def functions(config, seed, batch_size=3, n_points=4):
    """The xs of a training batch and the parameters of its functions."""
    draws = Draws(seed, 0)
    xs = draws.normal(batch_size, n_points, config.n_dims)
    return xs, from_config(config).draw(draws, batch_size)


def same(first, second):
    return all(torch.equal(part, its) for part, its in zip(first, second, strict=True))


@given(task_configs(), st.lists(st.tuples(seeds, steps, st.booleans()), max_size=4), st.data())
def test_a_batch_is_a_function_of_task_seed_and_step(config, streams, data):
    first = {stream: batch(config, stream) for stream in streams}
    torch.manual_seed(data.draw(seeds))
    assert all(same(batch(config, s), first[s]) for s in data.draw(st.permutations(streams)))


@given(
    task_configs(CONTINUOUS),
    st.lists(st.sampled_from(STREAMS), min_size=2, max_size=2, unique=True),
)
def test_another_seed_step_or_held_out_draws_other_prompts(config, streams):
    (xs, ys), (other_xs, other_ys) = (batch(config, stream) for stream in streams)
    assert (xs != other_xs).any(dim=2).all()
    assert (ys != other_ys).any()


def test_no_two_streams_share_a_number():
    draws = [set(Draws(*stream).normal(10).tolist()) for stream in STREAMS]
    assert all(first.isdisjoint(second) for first, second in combinations(draws, 2))


@pytest.mark.parametrize("stream", [(3, 8, False), (4, 7, False), (3, 7, True), (2, 7, True)])
def test_neighbouring_streams_are_uncorrelated(stream):
    xs, ys = batch(TaskConfig("linear", 3), (3, 7, False), 20_000, 1)
    other_xs, other_ys = batch(TaskConfig("linear", 3), stream, 20_000, 1)
    assert standard_errors_off(xs * other_xs, 0.0) < CHANCE
    assert standard_errors_off(ys * other_ys, 0.0) < CHANCE


def test_xs_are_standard_normal():
    prompts = batch(TaskConfig("linear", 3), (1, 0, False), 20_000, 2)[0].flatten(1)
    covariance = prompts.unsqueeze(1) * prompts.unsqueeze(2)
    assert standard_errors_off(prompts, 0.0) < CHANCE
    assert standard_errors_off(covariance, torch.eye(6)) < CHANCE
    assert standard_errors_off(prompts**4, 3.0) < CHANCE


@pytest.mark.parametrize("config", CASES, ids=case_name)
def test_ys_have_mean_0_and_variance_1_over_prompts(config):
    _, ys = batch(config, (2, 0, False), 40_000, 2)
    assert standard_errors_off(ys, 0.0) < CHANCE
    assert standard_errors_off(ys**2, 1.0) < CHANCE


@pytest.mark.parametrize("config", CASES, ids=case_name)
def test_prompts_have_functions_of_their_own(config):
    _, ys = batch(config, (5, 0, False), 20_000, 1)
    assert standard_errors_off(ys[::2] * ys[1::2], 0.0) < CHANCE


@given(task_configs(), st.integers(1, 5), st.integers(1, 5))
def test_a_batch_is_float32_of_the_shape_asked_for(config, batch_size, n_points):
    n_points = max(n_points, 1 + getattr(config, "hops", 0))
    xs, ys = batch(config, (0, 0, False), batch_size, n_points)
    assert xs.shape == (batch_size, n_points, config.n_dims) and ys.shape == xs.shape[:2]
    assert xs.dtype == ys.dtype == torch.float32


TWINS = {
    "linear": lambda config, *function_and_x: reference.linear(*function_and_x),
    "noisy_linear": lambda config, *function_and_x: reference.noisy_linear(
        config.noise_std, *function_and_x
    ),
    "sparse_linear": lambda config, *function_and_x: reference.linear(*function_and_x),
    "decision_tree": lambda config, *function_and_x: reference.decision_tree(*function_and_x),
    "relu_network": lambda config, *function_and_x: reference.relu_network(*function_and_x),
}


@given(task_configs(sorted(TWINS)), seeds)
def test_every_function_equals_its_slow_twin(config, seed):
    task = from_config(config)
    xs, params = functions(config, seed)
    parts = params if isinstance(params, tuple) else (params,)
    expected = [
        [TWINS[config.name](config, *(part[i].tolist() for part in parts), x) for x in prompt]
        for i, prompt in enumerate(xs.tolist())
    ]
    torch.testing.assert_close(task.evaluate(params, xs), torch.tensor(expected))
    drawn_xs, ys = batch(config, (seed, 0, False))
    assert torch.equal(drawn_xs, xs)
    if task.noise_variance == 0:
        assert torch.equal(ys, task.evaluate(params, xs))


@given(task_configs(["sparse_linear"]), seeds)
def test_sparse_functions_have_exactly_sparsity_weights(config, seed):
    _, weights = functions(config, seed)
    assert (weights.count_nonzero(dim=1) == config.sparsity).all()


def test_sparse_functions_choose_every_weight_equally_often():
    _, weights = functions(TaskConfig("sparse_linear", 5, sparsity=2), 0, batch_size=20_000)
    assert standard_errors_off(weights != 0, 2 / 5) < CHANCE


def test_trees_ask_about_every_coordinate_equally_often():
    _, (coordinates, _) = functions(
        TaskConfig("decision_tree", 3, tree_depth=2), 0, batch_size=20_000
    )
    for coordinate in range(3):
        assert standard_errors_off(coordinates == coordinate, 1 / 3) < CHANCE


@pytest.mark.parametrize("noise_std", [0.1, 0.25, 1.0, 3.0])
def test_least_squares_leaves_the_noise(noise_std):
    n_dims, n_points = 3, 9
    task = make_task("noisy_linear", n_dims, noise_std=noise_std)
    xs, ys = task.batch(0, 0, 20_000, n_points)
    predictions = xs @ torch.linalg.lstsq(xs, ys.unsqueeze(2)).solution
    variances = (ys - predictions.squeeze(2)).square().sum(dim=1) / (n_points - n_dims)
    assert task.noise_variance == pytest.approx(noise_std**2 / (1 + noise_std**2))
    assert standard_errors_off(variances, task.noise_variance) < CHANCE


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"noisy_linear"}))
def test_only_noisy_tasks_have_noise(name):
    settings = {setting.name: setting.default for setting in TASK_KINDS[name].settings}
    assert from_config(TaskConfig(name, 4, **settings)).noise_variance == 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cubic", {}, f"task must be one of {', '.join(TASKS)}, or <file>.py:<Name>, got cubic"),
        ("linear", {"sparsity": 1}, "task linear has no sparsity, got 1"),
        ("decision_tree", {}, "tree_depth must be a whole number of at least 1, got None"),
        ("sparse_linear", {"sparsity": 4}, "sparsity must be at most n_dims=3, got 4"),
    ],
)
def test_make_task_states_the_rule_then_what_came(name, options, message):
    with pytest.raises(ValueError, match="got") as refused:
        make_task(name, 3, **options)
    assert str(refused.value) == message


@given(task_configs())
def test_make_task_is_from_config_by_name(config):
    options = {name: value for name, value in config.content.items() if name != "name"}
    assert make_task(config.name, **options).config == config
