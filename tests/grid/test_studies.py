from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints import arguments, grid
from looped.b_draw import DISTRIBUTIONS
from looped.grid.lists import Lists, cross, refuse_doubles, varied
from looped.grid.options import CellOptions, GridOptions
from looped.grid.studies import STUDIES, studied


def parse(*words):
    """What the grid command makes of its words: resolved cells and how to train them."""
    groups = (Lists, GridOptions, CellOptions)
    lists, options, cell_options = arguments.parse("grid", "", *groups, argv=words)
    cells = [cell.resolved("cpu", "fp32") for cell in cross(studied(options.study, lists))]
    refuse_doubles(cells)
    return cells, studied(options.study, cell_options)


def identities(*words):
    return {cell.identity for cell in parse(*words)[0]}


FULL = {(size, b, seed) for size in ("tiny", "small", "medium")
        for b in (1, 5, 10, 15) for seed in (42, 451, 1984)}  # fmt: skip


@pytest.mark.parametrize(
    ("study", "n_cells", "shared", "apart"),
    [
        ("full", 36, 36, ["size", "b", "seed"]),
        ("more-data", 108, 36, ["size", "b", "seed", "steps"]),
        ("larger-b", 63, 36, ["size", "b", "seed"]),
        ("random-b", 108, 36, ["size", "b", "seed", "b_draw"]),
        ("quick", 40, 0, ["size", "b", "seed"]),
    ],
)
def test_a_study_has_the_cells_of_its_question_and_those_of_the_default(
    study, n_cells, shared, apart
):
    cells, options = parse("--study", study)
    assert len(cells) == n_cells
    assert len({cell.identity for cell in cells} & identities()) == shared
    assert varied(cells) == apart
    assert (options == CellOptions()) == (study != "quick")


def test_all_studies_are_held_above_and_no_other_is_taken(capsys):
    assert {"full", "more-data", "larger-b", "random-b", "quick"} == set(STUDIES)
    with pytest.raises(SystemExit):
        parse("--study", "more-b")
    said = "grid: study must be one of full, more-data, larger-b, random-b, quick, got more-b\n"
    assert capsys.readouterr().err == said


def test_a_question_composes_with_what_is_given():
    words = ("--sizes", "tiny", "--bs", "1,2", "--seeds", "7", "--steps", "500")
    steps = {(cell.b, cell.steps) for cell in parse("--study", "more-data", *words)[0]}
    assert steps == {(b, steps) for b in (1, 2) for steps in (500, 1000, 2000)}
    assert identities(*words) < identities("--study", "more-data", *words)
    bs = [cell.b for cell in parse("--study", "larger-b", *words, "--bs", "30,7")[0]]
    assert bs == [30, 7, 20, 40]
    drawn = {cell.b_draw for cell in parse("--study", "random-b", *words, "--b_draw", "uniform")[0]}
    assert drawn == set(DISTRIBUTIONS)


@given(st.sampled_from(["more-data", "larger-b", "random-b"]),
       st.lists(st.integers(1, 50), min_size=1, max_size=5, unique=True))  # fmt: skip
def test_a_question_adds_to_one_list_and_doubles_nothing(study, values):
    lists = Lists(bs=tuple(values), steps=tuple(values))
    changed = {
        name: value
        for name, value in asdict(studied(study, lists)).items()
        if value != getattr(lists, name)
    }
    assert len(changed) <= 1
    for name, value in changed.items():
        given_values = getattr(lists, name)
        assert value[: len(given_values)] == given_values
        assert len(set(value)) == len(value)


def test_a_question_is_asked_of_the_quick_study_too():
    cells, options = parse("--study", "quick,random-b", "--seeds", "42")
    assert {(cell.b_draw, cell.n_dims) for cell in cells} == {(law, 2) for law in DISTRIBUTIONS}
    assert options.n_prompts == 3072
    with pytest.raises(SystemExit):
        parse("--study", "quick,slow")


def test_what_is_given_twice_is_refused_with_a_study_too():
    with pytest.raises(ValueError, match="got tiny-b1-s42 twice"):
        parse("--study", "more-data", "--steps", "500,500")


@pytest.mark.parametrize(("name", "value"), [("seeds", 7), ("bs", 3), ("n_dims", 6)])
def test_quick_takes_the_place_of_defaults_alone(name, value):
    cells, options = parse("--study", "quick", f"--{name}", str(value), "--b_max", "9")
    own = {"seeds": "seed", "bs": "b"}.get(name, name)
    assert {getattr(cell, own) for cell in cells} == {value}
    if own != "n_dims":
        assert {cell.n_dims for cell in cells} == {2}
    assert (options.b_max, options.n_prompts, options.register) == (9, 3072, False)


def test_quick_is_cheap_and_yet_a_study():
    """Five seeds, two sizes, four b from 1 on, in 15 minutes on two cores.

    A core of the machine that it was measured on does 24 GFLOP/s on the size small, without the
    compiled kernels.
    """
    cells, options = parse("--study", "quick")
    assert {(cell.size, cell.b) for cell in cells} == {
        (size, b) for size in ("tiny", "small") for b in (1, 2, 4, 8)
    }
    flops = sum(cell.steps * cell.step_flops for cell in cells)
    flops += sum(
        options.n_prompts * cell.model_config.forward_flops(options.b_max) for cell in cells
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
    said, *cells, counts, _ = capsys.readouterr().out.splitlines()
    assert said == "study more-data: steps=10,20,40"
    assert [line.split()[2] for line in cells] == ["steps=10", "steps=20", "steps=40"]
    assert counts == "3 cells: 3 to do"
