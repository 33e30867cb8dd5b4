from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.command_line import arguments
from looped.config import TrainConfig
from looped.grid.lists import PLURALS, Lists, cross, grid_identity, refuse_doubles
from looped.tasks.kinds import TASK_KINDS, TASK_SETTINGS
from looped.titles import varied

RESOLVED = TrainConfig(size="tiny", b=6).resolved("cpu", "fp32")

CHANGES = {
    "size": "small", "b": 7, "b_draw": "uniform", "seed": 43, "task": "noisy_linear", "n_dims": 6,
    "prompt": "interleaved", "n_examples": 62, "steps": 7499, "batch_size": 63,
    "learning_rate": 0.002, "learning_rate_factor": 0.5,
    "beta1": 0.8, "beta2": 0.99, "warmup": 499, "grad_clip": 2.0,
    "loop_window": 5, "loss_window": 1.0, "grad_window": 0.5, "tied": False, "init": "gpt2",
    "precision": "bf16",
}  # fmt: skip
RECORDS = {"device": "cuda", "log_every": 26, "checkpoint_seconds": 21.0}
RECORDS |= {"kernels": "off", "checkpoint_loops": True, "average": "off"}
RECORDS |= {"b_draw_unit": "prompt"}  # where b is fixed it decides nothing


def parse(*words):
    (lists,) = arguments.parse("grid", "", Lists, argv=words)
    return [config.resolved("cpu", "fp32") for config in cross(lists)]


def test_the_default_is_the_study():
    study = parse()
    assert len(study) == 36
    assert {(config.size, config.b, config.seed) for config in study} == {
        (size, b, seed)
        for size in ("tiny", "small", "medium")
        for b in (1, 5, 10, 15)
        for seed in (42, 451, 1984)
    }
    assert {config.learning_rate for config in study} == {0.001, 0.0005}
    assert varied(study) == ["size", "b", "seed"]


@st.composite
def spelled(draw, values):
    """The values as a list on the command line, in any order and spelling."""
    spellings = [
        draw(st.sampled_from([f"{v}", f"{v}.0", f" {v}", f"+{v}", f"{v}e0"])) for v in values
    ]
    return ",".join(draw(st.permutations(spellings)))


@given(st.data(), st.sets(st.integers(1, 40), min_size=1, max_size=4),
       st.sets(st.integers(0, 2000), min_size=1, max_size=4))  # fmt: skip
def test_order_and_spelling_change_no_training(data, bs, seeds):
    def draw():
        return parse("--bs", data.draw(spelled(bs)), "--seeds", data.draw(spelled(seeds)),
                     "--learning_rate", data.draw(st.sampled_from(["auto", "0.001", "1e-3"])),
                     "--sizes", "tiny")  # fmt: skip

    grid, respelled = draw(), draw()
    assert {config.identity for config in grid} == {config.identity for config in respelled}
    assert len({config.identity for config in grid}) == len(bs) * len(seeds)
    assert grid_identity(grid) == grid_identity(respelled)
    refuse_doubles(grid)


def test_every_setting_is_held_here():
    assert {f.name for f in fields(TrainConfig)} == {
        *CHANGES,
        *RECORDS,
        *TASK_SETTINGS,
        "task_options",
    }


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_value_changes_the_identity(name):
    changed = replace(RESOLVED, **{"learning_rate": None, name: CHANGES[name]})
    assert changed.identity != RESOLVED.identity


@pytest.mark.parametrize("task", [task for task, kind in TASK_KINDS.items() if kind.settings])
def test_a_changed_setting_of_the_task_changes_the_identity_there_alone(task):
    (option,) = TASK_KINDS[task].setting_names
    value = {"noise_std": 0.5, "sparsity": 2}.get(option, 3)
    there = replace(RESOLVED, task=task)
    assert replace(there, **{option: value}).identity != there.identity
    assert replace(RESOLVED, **{option: value}).identity == RESOLVED.identity


@pytest.mark.parametrize("name", RECORDS)
def test_what_only_decides_records_is_no_part_of_the_identity(name):
    assert replace(RESOLVED, **{name: RECORDS[name]}).identity == RESOLVED.identity


@given(st.lists(st.integers(0, 50), min_size=2, max_size=5))
def test_doubles_are_refused_and_named(seeds):
    twice = {seed for seed in seeds if seeds.count(seed) > 1}
    configs = [replace(RESOLVED, seed=seed) for seed in seeds]
    if twice:
        with pytest.raises(ValueError, match=r"must differ .* got tiny-b6-s\d+ twice"):
            refuse_doubles(configs)
    else:
        refuse_doubles(configs)


def test_a_policy_that_decides_nothing_somewhere_doubles_nothing_there():
    words = ("--sizes", "tiny", "--seeds", "1", "--bs", "1,10,20", "--loop_window", "auto,15")
    trainings = parse(*words, "--tied", "true,false")
    refuse_doubles(trainings)
    assert sorted((c.b, c.windows.loss, c.tied) for c in trainings) == [
        (1, 1, True), (10, 10, False), (10, 10, True),
        (20, 15, False), (20, 15, True), (20, 20, False), (20, 20, True),
    ]  # fmt: skip
    assert varied(trainings) == ["b", "tied", "loss_window", "grad_window"]
    with pytest.raises(ValueError, match="got tiny-b1-s1 twice"):
        refuse_doubles(parse(*words[:4], "--bs", "1,1", "--tied", "true,false"))


def test_a_double_that_is_spelled_differently_says_what_decides_nothing():
    configs = [RESOLVED, replace(RESOLVED, noise_std=0.5)]
    with pytest.raises(ValueError, match=r"noise_std=0.25 and 0.5, which decides nothing there"):
        refuse_doubles(configs)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--bs", ""), "argument --bs: must list values, with a comma between two, got ''"),
        (("--seeds", "1,,2"), "must list values, with a comma between two, got '1,,2'"),
        (("--bs", "1,ten"), "argument --bs: must be a whole number, got ten"),
        (("--b", "1"), "parameters must be among sizes, bs, seeds, task"),
    ],
)  # fmt: skip
def test_a_bad_list_is_refused_in_one_line(capsys, words, says):
    with pytest.raises(SystemExit) as refusal:
        parse(*words)
    assert refusal.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--bs", "5,1", "--loop_window", "auto,0"),
         "every training must be one that train takes, got size=tiny, b=5, seed=42, loop_window=0: "
         "loop_window must be a whole number of at least 1, got 0"),
        (("--sizes", "tiny,huge"), "got size=huge, b=1, seed=42: size must be one of "),
        (("--sizes", "tiny", "--bs", "2", "--seeds", "1", "--steps", "-1"),
         "got size=tiny, b=2: steps must be a whole number of at least 0, got -1"),
    ],
)  # fmt: skip
def test_a_value_that_train_would_refuse_is_named_with_its_training(words, says):
    with pytest.raises(ValueError, match="every training") as refusal:
        parse(*words)
    assert says in str(refusal.value)


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="bs must list at least one value"):
        cross(replace(Lists(), bs=()))


def test_plurals_name_fields_of_the_lists():
    assert {PLURALS.get(f.name, f.name) for f in fields(TrainConfig)} == {
        f.name for f in fields(Lists)
    }


def test_what_a_study_may_change_is_given_as_auto_until_it_is_known():
    given_words = ["--bs", "auto", "--sizes", "tiny"]
    assert arguments.parse("grid", "", Lists, argv=given_words) == (Lists(sizes=("tiny",)),)
    parser = arguments.build_parser("grid", "", Lists)
    assert {parser.get_default(name) for name in ("bs", "seeds", "steps", "b_draw")} == {"auto"}
    assert parser.get_default("task") == "auto"  # which a study file may change as well
