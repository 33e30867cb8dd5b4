from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints import grid
from entrypoints.command_line import arguments
from looped.b_draw import DISTRIBUTIONS
from looped.grid.lists import Lists, cross, refuse_doubles
from looped.grid.options import GridOptions, GridRunOptions
from looped.grid.studies import STUDIES, apply_studies
from looped.titles import varied


def parse(*words):
    """What the grid command makes of its words: resolved trainings and how to run them."""
    groups = (Lists, GridOptions, GridRunOptions)
    lists, options, run_options = arguments.parse("grid", "", *groups, argv=words)
    fixed_names = arguments.fixed_names(*groups, argv=words)
    lists = apply_studies(options.study, lists, fixed_names)
    configs = [config.resolved("cpu", "fp32") for config in cross(lists)]
    refuse_doubles(configs)
    return configs, apply_studies(options.study, run_options, fixed_names)


def identities(*words):
    return {config.identity for config in parse(*words)[0]}


FULL = {(size, b, seed) for size in ("tiny", "small", "medium")
        for b in (1, 5, 10, 15) for seed in (42, 451, 1984)}  # fmt: skip


@pytest.mark.parametrize(
    ("study", "n_trainings", "n_of_default", "varying"),
    [
        ("full", 36, 36, ["size", "b", "seed"]),
        ("sizes", 72, 36, ["size", "b", "seed"]),
        ("more-data", 108, 36, ["size", "b", "seed", "steps"]),
        ("larger-b", 63, 36, ["size", "b", "seed"]),
        ("random-b", 108, 36, ["size", "b", "seed", "b_draw"]),
        ("window", 90, 36, ["size", "b", "seed", "loss_window"]),
        ("truncation", 90, 36, ["size", "b", "seed", "grad_window"]),
        ("untied", 63, 36, ["size", "b", "seed", "tied"]),
        ("prompts", 72, 36, ["size", "b", "seed", "prompt"]),
        ("rate", 108, 36, ["size", "b", "seed", "learning_rate_factor"]),
        ("quick,rate", 120, 0, ["size", "b", "seed", "learning_rate_factor"]),
        ("quick", 40, 0, ["size", "b", "seed"]),
    ],
)
def test_a_study_has_the_trainings_of_its_question_and_those_of_the_default(
    study, n_trainings, n_of_default, varying
):
    configs, options = parse("--study", study)
    assert len(configs) == n_trainings
    assert len({config.identity for config in configs} & identities()) == n_of_default
    assert varied(configs) == varying
    assert (options == GridRunOptions()) == ("quick" not in study)


def test_no_other_study_is_taken(capsys):
    with pytest.raises(SystemExit):
        parse("--study", "more-b")
    line = f"grid: study must be one of {', '.join(STUDIES)}, got more-b\n"
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("name", "words", "values"),
    [
        ("seed", ("--seeds", "42,451,1984"), {42, 451, 1984}),
        ("size", ("--sizes", "tiny,small,medium"), {"tiny", "small", "medium"}),
        ("steps", ("--steps", "7500"), {7500}),
    ],
)
def test_a_value_that_equals_the_default_stands_where_it_is_given(name, words, values):
    def found(*words):
        return {getattr(config, name) for config in parse("--study", "quick", *words)[0]}

    assert found(*words) == values != found() == found(words[0], "auto")


def test_so_do_those_of_how_to_train():
    words = ("--b_max", "50", "--register", "true")
    options = parse("--study", "quick", *words)[1]
    assert (options.b_max, options.register, options.n_prompts) == (50, True, 3072)
    options = parse("--study", "quick", "--b_max", "auto", "--register", "auto")[1]
    assert (options.b_max, options.register) == (24, False)
    assert parse()[1] == GridRunOptions()


def test_a_question_composes_with_what_is_given():
    words = ("--sizes", "tiny", "--bs", "1,2", "--seeds", "7", "--steps", "500")
    steps = {(config.b, config.steps) for config in parse("--study", "more-data", *words)[0]}
    assert steps == {(b, steps) for b in (1, 2) for steps in (500, 1000, 2000)}
    assert identities(*words) < identities("--study", "more-data", *words)
    bs = [config.b for config in parse("--study", "larger-b", *words, "--bs", "30,7")[0]]
    assert bs == [30, 7, 20, 40]
    configs, _ = parse("--study", "random-b", *words, "--b_draw", "uniform")
    assert {config.b_draw for config in configs} == set(DISTRIBUTIONS)


@given(st.sampled_from([study for study in STUDIES if study not in ("full", "quick")]),
       st.lists(st.integers(1, 50), min_size=1, max_size=5, unique=True))  # fmt: skip
def test_a_question_adds_to_one_list_and_doubles_nothing(study, values):
    lists = Lists(bs=tuple(values), steps=tuple(values))
    changed = {
        name: value
        for name, value in asdict(apply_studies(study, lists)).items()
        if value != getattr(lists, name)
    }
    assert len(changed) <= 1
    for name, value in changed.items():
        given_values = getattr(lists, name)
        assert value[: len(given_values)] == given_values
        assert len(set(value)) == len(value)


def test_a_question_is_asked_of_the_quick_study_too():
    configs, options = parse("--study", "quick,random-b", "--seeds", "42")
    assert {config.b_draw for config in configs} == set(DISTRIBUTIONS)
    assert {config.n_dims for config in configs} == {2}
    assert options.n_prompts == 3072
    with pytest.raises(SystemExit):
        parse("--study", "quick,slow")


def test_a_rate_that_is_given_leaves_nothing_for_a_factor_to_multiply(capsys):
    with pytest.raises(ValueError, match="learning_rate must be auto with a learning_rate_factor"):
        parse("--study", "rate", "--learning_rate", "0.003")
    with pytest.raises(ValueError, match="small-b1-s42 twice"):
        parse("--learning_rate_factor", "1,2", "--learning_rate", "auto,1e-3", "--sizes", "small")


def test_what_is_given_twice_is_refused_with_a_study_too():
    with pytest.raises(ValueError, match="got tiny-b1-s42 twice"):
        parse("--study", "more-data", "--steps", "500,500")


@pytest.mark.parametrize(("name", "value"), [("seeds", 7), ("bs", 3), ("n_dims", 6)])
def test_quick_takes_the_place_of_defaults_alone(name, value):
    configs, options = parse("--study", "quick", f"--{name}", str(value), "--b_max", "9")
    setting = {"seeds": "seed", "bs": "b"}.get(name, name)
    assert {getattr(config, setting) for config in configs} == {value}
    if setting != "n_dims":
        assert {config.n_dims for config in configs} == {2}
    assert (options.b_max, options.n_prompts, options.register) == (9, 3072, False)


def test_quick_is_cheap_and_yet_a_study():
    """Five seeds, two sizes, four b from 1 on, in 15 minutes on two cores.

    A core of the machine that it was measured on does 24 GFLOP/s on the size small, without the
    compiled kernels.
    """
    configs, options = parse("--study", "quick")
    assert {(config.size, config.b) for config in configs} == {
        (size, b) for size in ("tiny", "small") for b in (1, 2, 4, 8)
    }
    flops = sum(config.steps * config.step_flops for config in configs)
    flops += sum(
        options.n_prompts * config.model_config.forward_flops(options.b_max) for config in configs
    )
    assert flops / 24e9 / 2 < 13 * 60


def test_a_dry_run_of_a_study_tells_cells_of_one_name_apart(monkeypatch, tmp_path, capsys):
    words = [
        "--study",
        "more-data",
        "--sizes",
        "tiny",
        "--bs",
        "1",
        "--seeds",
        "1",
        "--n_dims",
        "2",
    ]
    words += ["--n_examples", "3", "--batch_size", "2", "--steps", "10", "--evaluate", "false"]
    words += ["--dry_run", "true", "--tracking", "offline", "--runs_dir", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", ["grid", *words])
    monkeypatch.setattr(grid, "StopRequest", lambda: None)
    assert grid.main() == 0
    study, *lines, counts, _ = capsys.readouterr().out.splitlines()
    assert study == "study more-data: steps=10,20,40"
    assert [line.split()[2] for line in lines] == ["steps=10", "steps=20", "steps=40"]
    assert counts == "3 trainings: 3 to do"
