"""Studies in files: what they set, what the command line sets against them, what is kept."""

from contextlib import closing

import pytest
from page_blocks import ROOT

from entrypoints import grid
from looped.grid.inputs.input_file import InputFile
from looped.grid.inputs.kept import keep_inputs
from looped.grid.inputs.study_file import with_studies
from looped.grid.records.folder import GridFolder

MINE = """
# what loops add to the smallest size
study = "quick"
sizes = ["nano"]
bs = [1, 2]
seeds = 7
steps = "20,30"
register = true
cells = "cells.csv"
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """The grid command, which trains nothing; returns its exit code and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grid, "StopRequest", lambda: None)

    def run(*words):
        offline = ("--tracking", "offline", "--dry_run", "true", "--evaluate", "false")
        monkeypatch.setattr("sys.argv", ["grid", *offline, *words])
        try:
            code = grid.main()
        except SystemExit as refusal:
            code = refusal.code
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err

    return run


def with_file(text, *words):
    return with_studies(words, [InputFile("studies/mine.toml", text)], grid.STUDY_SETTINGS)


def test_what_the_command_line_leaves_open_is_the_file_s():
    words = with_file(MINE, "--study", "studies/mine.toml", "--bs", "auto", "--steps=40")
    assert words == [
        *("--sizes", "nano", "--bs", "1,2", "--seeds", "7", "--steps", "20,30"),
        *("--register", "true", "--cells", "studies/cells.csv"),
        *("--study", "studies/mine.toml", "--steps", "40", "--study", "quick,studies/mine.toml"),
    ]
    assert with_studies(["--study", "quick", "--help"], [], grid.STUDY_SETTINGS)[-1] == "--help"


def test_a_study_of_one_s_own_trains_what_it_says_and_composes_with_others(command, tmp_path):
    text = 'sizes = "nano"\nbs = 3\nseeds = [1, 2]\nn_dims = 2\nn_examples = 3\nsteps = 20\n'
    (tmp_path / "mine.toml").write_text(text)
    code, lines, problem = command(
        "--study", "mine.toml,random-b", "--seeds", "5", "--steps", "auto"
    )
    assert (code, problem) == (0, "")
    assert lines[0].startswith("study mine.toml,random-b: sizes=nano bs=3 seeds=1,2 ")
    assert [line.split()[0] for line in lines[1:4]] == [
        "nano-b3-s5", "nano-b3-s5-uniform", "nano-b3-s5-poisson_lognormal",
    ]  # fmt: skip
    assert lines[4] == "3 trainings: 3 to do"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sizes = [", "mine.toml must be TOML, got: "),
        ("size = 'tiny'", "got size (did you mean sizes?)"),
        ("workers = 3", "mine.toml must set what a grid trains, of sizes, bs, seeds, "),
        ("[lists]\nbs = 3", "got lists"),
        ("bs = []", "mine.toml: bs must be a number, a word, true, false, or a list of them, got"),
        ("bs = {a = 1}", "got {'a': 1}"),
        ("bs = ['x']", "bs: must be a whole number, got x"),
        ("study = 'other.toml'", "mine.toml must begin with a ready study, got other.toml"),
        ("study = 'mine'", "study must be one of full, sizes, "),
        ("cells = 'none.csv'", "cells must be a text file that can be read, got none.csv: No such"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_study_is_refused_in_a_line(command, tmp_path, text, says):
    (tmp_path / "mine.toml").write_text(text)
    code, lines, problem = command("--study", "mine.toml")
    assert (code, lines, problem.count("\n")) == (2, [], 1)
    assert says in problem


def test_two_studies_that_set_the_same_and_one_that_is_missing_are_refused(command, tmp_path):
    for name in ("one.toml", "two.toml"):
        (tmp_path / name).write_text("bs = 3")
    code, _, problem = command("--study", "one.toml,two.toml")
    assert (code, problem) == (2, "grid: two study files must not set the same, got bs in both\n")
    code, _, problem = command("--study", "three.toml")
    rule = "study must be a text file that can be read"
    assert (code, problem) == (2, f"grid: {rule}, got three.toml: No such file or directory\n")


def test_a_column_is_not_given_as_a_list_too(command, tmp_path):
    (tmp_path / "cells.csv").write_text("b,steps\n1,20\n")
    code, _, problem = command("--cells", "cells.csv", "--bs", "1")
    rule = "cells.csv must have no column that is given as a list too"
    assert (code, problem) == (2, f"grid: {rule}, got bs\n")


def test_a_grid_keeps_its_files_and_says_how_they_have_changed(tmp_path):
    before, after = (InputFile("my/s.toml", f"# {n}\nb_max = {n}\n") for n in (20, 30))
    with closing(GridFolder(tmp_path, "a" * 12)) as folder:
        assert keep_inputs(folder, [before]) == []
        assert keep_inputs(folder, [before]) == []
        (line,) = keep_inputs(folder, [after])
        assert line.startswith("my/s.toml has changed since this grid was begun (b_max 20 to 30); ")
        kept_name = line.split("; inputs/")[1].removesuffix(" is what it was")
        assert folder.inputs == {kept_name: before.text, "s.toml": after.text}
    with closing(GridFolder(tmp_path, "b" * 12)) as folder:
        (line,) = keep_inputs(folder, [before])
        assert f"has changed since grid-{'a' * 12} was begun with it (b_max 30 to 20)" in line


def test_a_link_among_the_files_of_a_grid_is_not_read(tmp_path):
    with closing(GridFolder(tmp_path, "a" * 12)) as folder:
        (tmp_path / "secret").write_text("secret")
        (folder.path / "inputs").symlink_to(tmp_path)
        assert folder.inputs == {}
        assert keep_inputs(folder, [InputFile("s.toml", "bs = 3")]) == []
        assert not (tmp_path / "s.toml").exists()


def test_the_page_shows_the_example_and_it_is_a_grid_of_equal_cost(command):
    page = (ROOT / "docs/grids.md").read_text("utf-8")
    example = ROOT / "examples/equal_cost.toml"
    assert f"```toml\n{example.read_text('utf-8')}```" in page
    code, lines, problem = command("--study", str(example), "--steps", "auto")
    assert (code, problem) == (0, "")
    assert "8 trainings: 8 to do" in lines
    work = [
        float(fact.removesuffix(" FLOP"))
        for line in lines if line.startswith("tiny-")
        for fact in line.split("  ") if fact.endswith(" FLOP")
    ]  # fmt: skip
    assert len(work) == 8
    assert max(work) / min(work) < 1.2
