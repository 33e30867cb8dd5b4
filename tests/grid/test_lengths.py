"""Trainings that differ in their length alone: the longer begins where the shorter ended."""

import json
import shutil
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from small_trainings import TINY, samples

from looped.grid import run_trainings
from looped.grid.lengths import first_free, in_order, plan_first_steps
from looped.grid.options import RunOptions
from looped.grid.records.standing import TO_DO, TO_GO_ON, Standing
from looped.names import Metric, Tag
from looped.records import first_steps
from looped.records.checkpoint_files import newest_step
from looped.records.first_steps import can_begin_with
from looped.records.folder import RunFolder, run_path
from looped.records.journal import read
from looped.records.origin import Code, Origin
from looped.training import resolve
from looped.training.watcher import Watcher

SHORT, MIDDLE, LONG = (
    resolve.resolve(replace(TINY, steps=steps, device="cpu", kernels="off"))
    for steps in (10, 20, 40)
)


def train(root, *configs, **options):
    settings = {"runs_dir": str(root), "tracking": "offline", "evaluate": False, "n_prompts": 64}
    endings = run_trainings.run_trainings(configs, RunOptions(**settings | options), Watcher())
    assert [ending.status for ending in endings] == ["FINISHED"] * len(configs)
    return endings


@pytest.fixture(scope="module")
def two_lengths(tmp_path_factory):
    root = tmp_path_factory.mktemp("two-lengths")
    train(root, SHORT)
    train(root, MIDDLE)
    return root


@pytest.fixture
def root(two_lengths, tmp_path):
    """A folder of runs in which the middle length went on where the short one had ended."""
    return shutil.copytree(two_lengths, tmp_path / "runs")


@pytest.fixture
def short_root(root):
    """The same, from before the middle length."""
    shutil.rmtree(run_path(root, MIDDLE))
    return root


def starts(root, config):
    records, _ = read(run_path(root, config) / "journal.jsonl")
    return [(r["step"], r.get("training", "")) for r in records if r["kind"] == "start"]


def last_state(root, config):
    """Return all tensors and the curve that a training leaves, and the samples on its way."""
    folder = run_path(root, config)
    tensors = {
        f"{path.parent.name}/{path.name} {name}": tensor
        for path in [
            folder / "checkpoints" / f"step-{config.steps:08d}.safetensors",
            *(folder / "model").glob("*.safetensors"),
        ]
        for name, tensor in load_file(path).items()
    }
    state = json.loads((folder / "checkpoints" / f"step-{config.steps:08d}.json").read_bytes())
    opened = RunFolder(root, config)
    opened.close()
    return tensors, state["content"]["state"], samples(opened)


def assert_same(first, second):
    assert first[0].keys() == second[0].keys()
    assert all(torch.equal(tensor, second[0][name]) for name, tensor in first[0].items())
    assert first[1:] == second[1:]


PLAIN, FUSED = {"kernels": "off"}, {"kernels": "fused"}
WAYS = [
    (PLAIN, 1),
    (FUSED, 2),
    pytest.param(FUSED, 1, marks=pytest.mark.slow),
    pytest.param(PLAIN, 2, marks=pytest.mark.slow),
    pytest.param(PLAIN | {"average": "off"}, 1, marks=pytest.mark.slow),
    pytest.param(FUSED | {"average": "off"}, 2, marks=pytest.mark.slow),
    *(
        pytest.param(
            way | {"b_draw": "uniform", "prompt": "interleaved"}, n, marks=pytest.mark.slow
        )
        for way, n in [(FUSED, 1), (PLAIN, 2)]
    ),
]


@pytest.mark.parametrize(("way", "n_replicas"), WAYS)
def test_three_lengths_cost_the_longest_and_come_to_the_same_to_the_bit(tmp_path, way, n_replicas):
    settings = [way | {"seed": seed} for seed in range(n_replicas)]
    lengths = [
        [resolve.resolve(replace(config, **each)) for each in settings]
        for config in (SHORT, MIDDLE, LONG)
    ]
    numbers = [[end.numbers for end in train(tmp_path, *configs)] for configs in lengths]
    names = [run_path(tmp_path, configs[0]).name for configs in lengths]
    assert starts(tmp_path, lengths[0][0]) == [(0, "")]
    assert starts(tmp_path, lengths[2][0]) == [(0, names[0]), (10, names[1]), (20, "")]
    ends = train(tmp_path / "alone", *lengths[2], resume="never")
    assert numbers[2] == [end.numbers for end in ends]
    for config in lengths[2]:
        assert_same(last_state(tmp_path, config), last_state(tmp_path / "alone", config))


@pytest.mark.parametrize(
    ("longer", "shorter", "is_one"),
    [
        ({"steps": 20}, {"steps": 10}, True),
        ({"steps": 20}, {"steps": 10, "average": "off"}, True),
        ({"steps": 20}, {"steps": 10, "checkpoint_seconds": 1.0}, True),
        ({"steps": 20}, {"steps": 20}, False),
        ({"steps": 10}, {"steps": 20}, False),
        ({"steps": 20}, {"steps": 0}, False),
        ({"steps": 20}, {"steps": 12}, False),  # a sample that the longer one does not take
        ({"steps": 22}, {"steps": 20}, False),  # within the tail, which begins at 20
        ({"steps": 22, "average": "off"}, {"steps": 20}, True),
        ({"steps": 30}, {"steps": 25}, True),  # the tail begins at 28
        ({"steps": 20, "kernels": "auto"}, {"steps": 10, "kernels": "auto"}, False),
        *(
            ({"steps": 20}, {"steps": 10} | change, False)
            for change in (
                *({"seed": 1}, {"b": 3}, {"warmup": 6}, {"log_every": 10}, {"kernels": "fused"}),
                *({"learning_rate": 0.5}, {"batch_size": 5}, {"n_examples": 6}, {"beta1": 0.5}),
                *({"precision": "bf16"}, {"checkpoint_loops": True}, {"loop_window": 1}),
            )
        ),
    ],
)
def test_only_a_shorter_one_of_the_same_way_is_begun_with(longer, shorter, is_one):
    assert can_begin_with(replace(SHORT, **longer), replace(SHORT, **shorter)) is is_one


def test_never_begins_anew_and_same_code_begins_with_its_own_alone(root, monkeypatch):
    train(root, MIDDLE, resume="never")
    assert starts(root, MIDDLE) == [(0, "")]
    standings = {LONG.identity: Standing(state=TO_DO)}
    there = Origin.read(run_path(root, SHORT))
    for config in (SHORT, MIDDLE):  # the tests may lie outside any repository
        replace(there, commit="this").write(run_path(root, config))
    plan_first_steps([LONG], standings, root, Code("another", there.sources))
    assert standings[LONG.identity].first_step == 0
    plan_first_steps([LONG], standings, root, Code("this", there.sources))
    assert standings[LONG.identity].first_step == 20
    here = replace(Origin.here(), commit="another")
    monkeypatch.setattr(run_trainings.Origin, "here", lambda grid=None: here)
    train(root, LONG, resume="same_code")
    assert starts(root, LONG) == [(0, "")]


def test_a_way_of_two_codes_is_surely_of_neither(short_root, monkeypatch):
    replace(Origin.here(), commit="one").write(run_path(short_root, SHORT))
    here = replace(Origin.here(), commit="two")
    monkeypatch.setattr(run_trainings.Origin, "here", lambda grid=None: here)
    train(short_root, MIDDLE)
    train(short_root, LONG)
    middle, long = (Origin.read(run_path(short_root, config)) for config in (MIDDLE, LONG))
    assert middle.first_steps.commit == "one" and not middle.is_surely_of(middle.code)
    assert long.first_steps.commit == "unknown" and not long.is_surely_of(long.code)


def test_the_record_says_who_took_the_first_steps_and_what_they_cost(root):
    train(root, MIDDLE)  # and still does when a later process has written
    origin = Origin.read(run_path(root, MIDDLE))
    name = run_path(root, SHORT).name
    assert (origin.first_steps.training, origin.first_steps.steps) == (name, 10)
    assert origin.first_steps.flops == 10 * SHORT.step_flops
    assert 0 < origin.first_steps.seconds < 60
    assert origin.tags[Tag.FIRST_STEPS] == "10" and origin.tags[Tag.FIRST_STEPS_OF] == name
    short, middle = (read(run_path(root, c) / "journal.jsonl")[0] for c in (SHORT, MIDDLE))
    ways = [[r for r in records if r["kind"] == "metrics"] for records in (short, middle)]
    assert ways[1][: len(ways[0])] == ways[0]  # with their own times and speeds
    assert "first_steps" not in json.loads((run_path(root, SHORT) / "origin.json").read_text())


@pytest.mark.parametrize("last_write", ["write", "rewrite_journal", "save_checkpoint"])
def test_one_killed_while_it_takes_over_begins_again(
    short_root, two_lengths, monkeypatch, last_write
):
    """Before any of the three writes."""
    with monkeypatch.context() as patch:

        def die(*_):
            raise KeyboardInterrupt

        owner = {"write": Origin, "rewrite_journal": RunFolder}.get(last_write, first_steps)
        patch.setattr(owner, last_write, die)
        with pytest.raises(KeyboardInterrupt):
            train(short_root, MIDDLE)
    train(short_root, MIDDLE)
    assert starts(short_root, MIDDLE) == [(0, run_path(short_root, SHORT).name), (10, "")]
    assert_same(last_state(short_root, MIDDLE), last_state(two_lengths, MIDDLE))


@pytest.mark.parametrize("damage", ["checkpoint", "journal", "samples", "unfinished", "aside"])
def test_a_shorter_one_that_is_damaged_is_passed_over(root, damage):
    folder = run_path(root, MIDDLE)
    if damage == "checkpoint":
        (folder / "checkpoints" / "step-00000020.safetensors").write_bytes(b"none")
    elif damage == "journal":
        (folder / "journal.jsonl").write_bytes(b"none\n")
    elif damage == "samples":
        lines = (folder / "journal.jsonl").read_text().splitlines(keepends=True)
        (folder / "journal.jsonl").write_text("".join(x for x in lines if '"step": 15' not in x))
    elif damage == "unfinished":
        for path in (folder / "checkpoints").glob("step-00000020.*"):
            path.unlink()
    else:
        folder.rename(folder.with_name(f"{folder.name}.1"))
    with closing(RunFolder(root, LONG)) as opened:
        first_steps.begin_with_shorter(opened, LONG, Origin.here(), None)
    assert starts(root, LONG) == [(0, run_path(root, SHORT).name)]
    assert newest_step(run_path(root, LONG) / "checkpoints") == 10


def test_a_take_over_whose_checkpoint_is_lost_is_none(root):
    shutil.rmtree(run_path(root, MIDDLE) / "checkpoints")
    shutil.rmtree(run_path(root, SHORT))
    train(root, MIDDLE)
    assert Origin.read(run_path(root, MIDDLE)).first_steps is None
    assert starts(root, MIDDLE)[-1] == (0, "")


def test_a_plan_waits_for_what_is_to_be_trained_and_not_for_what_has_ended(tmp_path, short_root):
    apart = replace(MIDDLE, seed=7, b=1, loop_window=1)
    standings = {c.identity: Standing(state=TO_DO) for c in (SHORT, MIDDLE, LONG, apart)}
    after = plan_first_steps([SHORT, MIDDLE, LONG, apart], standings, tmp_path, None)
    assert after == {MIDDLE.identity: SHORT.identity, LONG.identity: MIDDLE.identity}
    assert [standings[c.identity].first_step for c in (SHORT, MIDDLE, LONG, apart)] == [
        0,
        10,
        20,
        0,
    ]
    assert in_order([LONG, apart, MIDDLE, SHORT], after) == [SHORT, MIDDLE, LONG, apart]
    standings = {c.identity: Standing(state=TO_DO) for c in (MIDDLE, LONG)}
    standings[MIDDLE.identity] = Standing(state=TO_GO_ON, step=15)
    after = plan_first_steps([MIDDLE, LONG], standings, short_root, None)
    assert after == {LONG.identity: MIDDLE.identity}
    assert standings[MIDDLE.identity].first_step == 0


def test_a_group_is_given_once_none_of_its_trainings_waits():
    a, b, c = ([replace(config, seed=seed) for seed in (1, 2)] for config in (SHORT, MIDDLE, LONG))
    after = {y.identity: x.identity for x, y in [*zip(a, b, strict=True), *zip(b, c, strict=True)]}
    assert first_free([c, b, a], set(), after) == 2
    assert first_free([c, b], set(), after) == 1
    assert first_free([c, b], {a[1].identity}, after) is None
    assert first_free([c], set(), after) == 0
    assert first_free([c, b, a], set(), {}) == 0


def test_mlflow_holds_the_whole_way_and_who_took_its_first_steps(short_root, store):
    (ending,) = train(short_root, MIDDLE, tracking="online", register=False)
    run = store.get_run(ending.run_id)
    history = store.get_metric_history(ending.run_id, Metric.LOSS)
    assert [sample.step for sample in history] == [1, 5, 10, 15, 20]
    name = run_path(short_root, SHORT).name
    assert (run.data.tags[Tag.FIRST_STEPS], run.data.tags[Tag.FIRST_STEPS_OF]) == ("10", name)
    flops = 20 * MIDDLE.step_flops
    assert f"of its {flops:.3g} FLOP {flops / 2:.3g} were trained here" in run.data.tags[Tag.NOTE]
    assert f"first 10 steps are those of `{name}`" in run.data.tags[Tag.NOTE]
    own_start = [r for r in read(run_path(short_root, MIDDLE) / "journal.jsonl")[0]
                 if r["kind"] == "start"][-1]  # fmt: skip
    assert run.data.tags[Tag.PROGRAM] == own_start["program"]
