from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_trainings import DRAWN, SEVERAL, TINY, Witness, same_weights, samples, together

from looped import TrainConfig
from looped.records.journal import read
from looped.training import loop, resolve
from looped.training.curve import DivergedError
from looped.training.groups import can_share, replica_groups
from looped.training.replicas import Replicas
from looped.training.stacked_model import StackedModel

BASE = resolve.resolve(replace(TINY, precision="fp32"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"seed": 7}, True),
        ({"b": 1}, True),
        ({"b": 4, "loop_window": 2}, False),
        ({"b": 20}, True),
        ({"tied": False}, False),
        ({"steps": 24}, False),
        ({"size": "small"}, False),
        ({"task": "noisy_linear"}, False),
        ({"learning_rate": 0.5}, False),
        ({"log_every": 6}, False),
        ({"precision": "bf16"}, False),
    ],
)
def test_only_trainings_of_one_program_share_it(change, expected):
    changed_config = resolve.resolve(
        replace(BASE, **{"loop_window": None, "kernels": "auto", **change})
    )
    assert can_share(BASE, changed_config) is expected
    assert can_share(changed_config, BASE) is expected


@pytest.mark.parametrize("distribution", ["uniform", "poisson_lognormal"])
def test_a_drawn_b_shares_a_program_with_its_own_b_and_distribution_alone(distribution):
    base = resolve.resolve(replace(BASE, b=15, b_draw=distribution, loop_window=None))
    second_distribution = {"uniform": "poisson_lognormal", "poisson_lognormal": "uniform"}[
        distribution
    ]
    for change, expected in [
        ({"seed": 7}, True),
        ({"b": 14}, False),
        ({"b_draw": "fixed"}, False),
        ({"b_draw": second_distribution}, False),
        ({"loop_window": 3}, False),
    ]:
        changed_config = resolve.resolve(replace(base, **change))
        assert can_share(base, changed_config) is can_share(changed_config, base) is expected


@given(
    bs=st.lists(st.integers(1, 4), max_size=6),
    sizes=st.sampled_from([("tiny",), ("tiny", "small")]),
    replicas=st.sampled_from(["auto", "off", "1", "2", "9"]),
)
def test_groups_hold_every_training_once_and_only_what_may_share(bs, sizes, replicas):
    configs = [
        resolve.resolve(replace(BASE, b=b, size=size, loop_window=None, learning_rate=None))
        for size in sizes
        for b in bs
    ]
    groups = replica_groups(configs, replicas)
    assert sorted(map(id, configs)) == sorted(id(config) for group in groups for config in group)
    for group in groups:
        assert len(group) <= {"auto": 1, "off": 1}.get(replicas, 9 if replicas == "9" else 2)
        assert all(can_share(group[0], config) for config in group)
    if replicas == "9" and bs:
        assert len(groups) == len(sizes)


def shares(first, second):
    """The rule as it is said: a pair that is alike, of the same loops or of losses that see all."""
    names = ("model_config", "task_config", "rate", "base_recipe", "policy", "device", "kernels")
    names += ("checkpoint_loops", "log_every", "average")
    if any(getattr(first, name) != getattr(second, name) for name in names):
        return False
    same_loops = (first.b, first.windows) == (second.b, second.windows)
    see_all = all(config.windows == (config.b, config.b) for config in (first, second))
    return same_loops or (first.b_draw == "fixed" and see_all)


def first_fit(configs, group_size):
    """Give each to the first group with room that it may share; the slow twin."""
    groups = []
    for config in configs:
        with_room = (each for each in groups if len(each) < group_size and shares(each[0], config))
        group = next(with_room, None)
        if group is None:
            groups.append([config])
        else:
            group.append(config)
    return groups


@given(
    choices=st.lists(
        st.fixed_dictionaries(
            {
                "b": st.integers(1, 3),
                "seed": st.integers(1, 2),
                "loop_window": st.sampled_from([None, 1, 2]),
                "b_draw": st.sampled_from(["fixed", "uniform"]),
                "steps": st.sampled_from([10, 20]),
                "checkpoint_loops": st.booleans(),
            }
        ),
        max_size=12,
    ),
    group_size=st.sampled_from([1, 2, 3, 12]),
)
def test_groups_are_those_that_a_search_through_all_groups_finds(choices, group_size):
    configs = [replace(BASE, **choice).resolved("cuda", "bf16") for choice in choices]
    assert replica_groups(configs, str(group_size)) == first_fit(configs, group_size)
    for first in configs:
        assert all(can_share(first, second) is shares(first, second) for second in configs)


def test_automatic_groups_are_all_that_may_share_on_a_gpu_and_single_ones_on_a_cpu():
    configs = [replace(BASE, b=b, seed=s, loop_window=None) for b in (1, 2) for s in (1, 2, 3)]
    on_cpu = [config.resolved("cpu", "fp32") for config in configs]
    assert [len(group) for group in replica_groups(on_cpu, "auto")] == [1] * 6
    on_gpu = [config.resolved("cuda", "bf16") for config in configs]
    assert [len(group) for group in replica_groups(on_gpu, "auto")] == [6]
    assert [len(group) for group in replica_groups(on_gpu, "off")] == [1] * 6


def weights_that_matter(model):
    """All but the keys' biases: softmax does not see them, so Adam makes steps of rounding."""
    for name, weight in model.named_parameters():
        width = model.config.size.n_embd
        keeps = torch.ones(len(weight), dtype=torch.bool)
        if name.endswith("qkv.bias"):
            keeps[width : 2 * width] = False
        yield weight[keeps]


def assert_close_to_solo(training, config):
    alone = loop.train(config)
    pairs = zip(weights_that_matter(training.model), weights_that_matter(alone.model), strict=True)
    for weight, expected in pairs:
        torch.testing.assert_close(weight, expected, rtol=1e-3, atol=1e-4)
    assert training.outcome == pytest.approx(alone.outcome, rel=1e-2)
    assert training.config.identity == alone.config.identity


def test_seeds_of_a_drawn_b_train_together_as_each_does_alone(tmp_path):
    configs = [replace(DRAWN, seed=seed) for seed in (1, 2)]
    result, _ = together(tmp_path, configs)
    for training, config in zip(result, configs, strict=True):
        assert_close_to_solo(training, config)


def test_training_together_equals_training_alone(tmp_path):
    """In the order given, each with its own journal, curve and checkpoints."""
    result, folders = together(tmp_path)
    for training, config, folder in zip(result, SEVERAL, folders, strict=True):
        assert_close_to_solo(training, config)
        assert [step for step, _ in samples(folder)] == [1, 5, 10, 15, 20, 23]


def programs_of(folder):
    """The program and the number of its replicas that each start of a training names."""
    records, _ = read(folder.journal_path)
    return [(r["program"], r["replicas"]) for r in records if r["kind"] == "start"]


def test_the_journal_tells_which_trainings_ran_as_one_program(tmp_path):
    with pytest.raises(loop.Stopped):
        together(tmp_path, watcher=Witness(stop_at=12))
    _, pair = together(tmp_path, SEVERAL[:2])
    _, single = together(tmp_path, SEVERAL[2:3])
    _, (alone,) = together(tmp_path / "apart", [SEVERAL[3]])
    of_trainings = [programs_of(folder) for folder in (*pair, *single)]
    program, n_replicas = of_trainings[0][0]
    assert n_replicas == len(SEVERAL)
    assert all(programs[0] == (program, n_replicas) for programs in of_trainings)
    resumed = [programs[1] for programs in of_trainings]
    assert [replicas for _, replicas in resumed] == [2, 2, 1]
    assert resumed[0] == resumed[1]
    assert len({program, *dict(resumed), *dict(programs_of(alone))}) == 4


@pytest.mark.crash
@settings(max_examples=5)
@given(stops=st.lists(st.integers(1, 23), min_size=1, max_size=3))
def test_a_stopped_group_goes_on_as_if_it_had_not_stopped(stops, tmp_path_factory):
    whole, whole_folders = together(tmp_path_factory.mktemp("whole"))
    root = tmp_path_factory.mktemp("stopped")
    for stop in stops:
        try:
            together(root, watcher=Witness(stop))
        except loop.Stopped:
            continue
        break
    again, folders = together(root)
    for training, expected in zip(again, whole, strict=True):
        assert same_weights(training.model, expected.model)
        assert training.outcome == expected.outcome
    assert [samples(f) for f in folders] == [samples(f) for f in whole_folders]


def test_trainings_that_stopped_at_different_steps_all_go_on(tmp_path):
    """One was training alone to its end, one half-way, the others not at all: none begins anew."""
    (complete,), _ = together(tmp_path, SEVERAL[:1])
    with pytest.raises(loop.Stopped):
        together(tmp_path, SEVERAL[1:2], watcher=Witness(stop_at=12))
    witness = Witness()
    result, folders = together(tmp_path, watcher=witness)
    steps = {config: [] for config in map(resolve.resolve, SEVERAL)}
    for config, step, _ in witness.samples:
        steps[config].append(step)
    assert same_weights(result[0].model, complete.model)
    assert [min(of_config, default=None) for of_config in steps.values()] == [None, 15, 1, 1]
    for training, config, folder in zip(result, SEVERAL, folders, strict=True):
        assert_close_to_solo(training, config)
        assert [step for step, _ in samples(folder)] == [1, 5, 10, 15, 20, 23]


def test_a_group_may_lose_one_checkpoint_of_one_training(tmp_path):
    """Killed between two saves of one step: all go on from the step that all have."""
    together(tmp_path, [replace(c, checkpoint_seconds=0.0) for c in SEVERAL])
    newest = max(tmp_path.glob(f"*{SEVERAL[2].name}*/checkpoints/*.json"))
    newest.unlink()
    witness = Witness()
    result, _ = together(tmp_path, watcher=witness)
    assert {step for _, step, _ in witness.samples} == {23}
    for training, config in zip(result, SEVERAL, strict=True):
        assert_close_to_solo(training, config)


def test_a_replica_that_diverges_takes_no_other_along(tmp_path, monkeypatch):
    step = Replicas.step

    def poisoned(self, *prompts_and_loops):
        measurements = step(self, *prompts_and_loops)
        with torch.no_grad():
            self.flat[1] = torch.nan
        return measurements

    monkeypatch.setattr(Replicas, "step", poisoned)
    result, folders = together(tmp_path, [replace(c, b=2) for c in SEVERAL[1:3]])
    assert isinstance(result[1], DivergedError)
    monkeypatch.undo()
    assert_close_to_solo(result[0], replace(SEVERAL[1], b=2))
    assert [step for step, _ in samples(folders[1])] == [1]


def test_too_little_memory_halves_the_group(tmp_path, monkeypatch):
    gradients, sizes = StackedModel.gradients, []

    def small_card(self, xs, *ys_and_loops):
        sizes.append(len(xs))
        if len(xs) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return gradients(self, xs, *ys_and_loops)

    monkeypatch.setattr(StackedModel, "gradients", small_card)
    result, _ = together(tmp_path)
    assert sizes[:3] == [4, 2, 1]
    for training, config in zip(result, SEVERAL, strict=True):
        assert_close_to_solo(training, config)


def test_configs_of_a_group_may_come_in_any_order():
    config = TrainConfig(size="tiny", steps=2, n_examples=3, batch_size=2)
    configs = [replace(config, b=b) for b in (1, 3, 2)]
    result = loop.train_together(configs, [None] * 3)
    assert [training.config.b for training in result] == [1, 3, 2]


def test_it_moves_as_pytorchs_adam_does():
    replicas = Replicas([loop.seeded_model(BASE)], [BASE])
    twin = replicas.flat.detach().clone()
    adam = torch.optim.Adam([twin], betas=(BASE.beta1, BASE.beta2), fused=True)
    generator = torch.Generator().manual_seed(0)
    for rate in (1e-3, 2e-3, 5e-4):
        gradient = torch.randn(twin.shape, generator=generator)
        twin.grad = gradient.clone()
        adam.param_groups[0]["lr"] = rate
        adam.step()
        replicas.set_rate(rate)
        replicas._adam(gradient)
        assert torch.equal(replicas.flat, twin)
    assert torch.equal(replicas.moments["exp_avg_sq"], adam.state[twin]["exp_avg_sq"])
