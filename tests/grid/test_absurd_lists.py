"""Absurd settings of a grid: one line that states the rule, then what came; nothing begun."""

import pytest

from entrypoints import grid

HUGE = ["1" + "0" * 30, "1e308", "1e30"]


@pytest.fixture
def refuse(tmp_path, monkeypatch, capsys):
    """Give the command some words; return the one line that it says."""

    def refuse(**settings):
        monkeypatch.chdir(tmp_path)
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        monkeypatch.setattr("sys.argv", ["grid", "--tracking", "offline", *words])
        monkeypatch.setattr(grid, "StopRequest", lambda: None)
        try:
            code = grid.main()
        except SystemExit as refusal:
            code = refusal.code
        assert code == 2
        assert not list(tmp_path.iterdir())
        output = capsys.readouterr()
        (line,) = output.err.splitlines()
        assert output.err.endswith("\n")
        assert len(line) < 1_500
        return line

    return refuse


@pytest.mark.parametrize("value", HUGE)
@pytest.mark.parametrize("name", ["b_max", "n_prompts", "workers", "ray_cpus", "ray_gpus"])
def test_huge_options_are_refused(refuse, name, value):
    assert f"{name} must " in refuse(**{name: value})


@pytest.mark.parametrize("value", ["9" * 30, "9" * 200, "0", "1e3"])
def test_huge_numbers_of_replicas_are_refused(refuse, value):
    assert "replicas must be auto, off or a whole number from 1 to 1,000,000" in refuse(
        replicas=value
    )


def test_lists_that_cross_to_a_universe_are_refused_at_once(refuse):
    ten = ",".join(map(str, range(1, 11)))
    names = ("bs", "seeds", "n_dims", "n_examples", "steps", "batch_size", "warmup", "log_every")
    line = refuse(**dict.fromkeys(names, ten), sizes="tiny")
    assert line.endswith(
        "a grid must have at most 1,000,000 trainings, got lists that cross to 1e+08"
    )


@pytest.mark.parametrize(
    ("path", "rule"),
    [("runs/" + "a" * 5_000, "runs_dir: must be at most 255 bytes long between two slashes"),
     ("a/" * 2_500, "runs_dir: must be at most 3000 bytes"),
     ("a\nb", "runs_dir: must be one line of plain text"),
     ("é" * 200, "runs_dir: must be at most 255 bytes long between two slashes"),
     ("a,b/" * 1_250, "runs_dir must be a path of at most 3,500 characters, and 255 a part")],
)  # fmt: skip
def test_paths_that_no_file_system_takes_are_refused(refuse, path, rule):
    assert rule in refuse(runs_dir=path)


@pytest.mark.parametrize("name", ["study", "engine", "task", "seeds", "bs", "sizes", "replicas"])
def test_a_newline_in_a_value_stays_one_line(refuse, name):
    assert refuse(**{name: "1,\ntwo\nlines"}).startswith("grid: ")
