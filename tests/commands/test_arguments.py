import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from entrypoints.benchmarks.parts import startup
from entrypoints.command_line import arguments
from looped.config import TrainConfig
from looped.grid.options import RunOptions
from looped.rules import setting
from looped.sizes import NUMBERS, SIZES

PROJECT = yaml.safe_load((Path(__file__).parents[2] / "MLproject").read_text())


@dataclass(frozen=True)
class Options:
    count: int = setting(3, "a whole number")
    rate: float | None = setting(None, "a number or auto")
    flag: bool = setting(False, "a truth")
    word: str = setting("auto", "a word")


def parse(*argv):
    (options,) = arguments.parse("prog", "", Options, argv=argv)
    return options


def test_defaults_are_those_of_the_dataclass():
    assert parse() == Options()
    assert arguments.parse("train", "", TrainConfig, argv=[]) == (TrainConfig(),)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--count", "10.0"], Options(count=10)),
        (["--count", "-4"], Options(count=-4)),
        (["--rate", "1e-3"], Options(rate=0.001)),
        (["--rate", "auto"], Options()),
        (["--flag", "True"], Options(flag=True)),
    ],
)
def test_values_are_read_by_their_type(argv, expected):
    assert parse(*argv) == expected


def test_a_count_stays_a_whole_number():
    assert type(parse("--count", "10.0").count) is int


TRAIN_REFUSALS = [
    ("size", "huge", f"size must be one of {', '.join(SIZES)}, or {NUMBERS} as 1x1x8x32, got huge"),
    ("task", "chess", "task must be one of linear, "),
    ("b", "0", "b must be a whole number of at least 1, got 0"),
    ("b", "ten", "argument --b: must be a whole number, got ten"),
    ("b", "2.5", "argument --b: must be a whole number, got 2.5"),
    ("b_draw", "normal", "b_draw must be one of fixed, uniform, poisson_lognormal, got normal"),
    ("n_prompts", "1", "n_prompts must be a whole number of at least 2, got 1"),
    (
        "loss_window",
        "1.5",
        "loss_window must be a whole number of at least 1, or a share of b "
        "between 0 and 1, got 1.5",
    ),
    ("loop_window", "0", "loop_window must be a whole number of at least 1, got 0"),
    ("steps", "-1", "steps must be a whole number of at least 0, got -1"),
    ("n_examples", "0", "n_examples must be a whole number of at least 1, got 0"),
    ("n_dims", "0", "n_dims must be a whole number of at least 1, got 0"),
    ("learning_rate", "fast", "argument --learning_rate: must be a finite number, got fast"),
    ("learning_rate", "nan", "argument --learning_rate: must be a finite number, got nan"),
    ("resume", "maybe", "resume must be one of auto, same_code, never, got maybe"),
    *(
        (name, word, f"{name} must be below 2**31, got 1000")
        for name in ("b", "n_dims", "n_examples", "batch_size", "steps", "warmup", "log_every")
        for word in ("1e308", "1" + 30 * "0")
    ),
    ("b", str(2**31), "b must be below 2**31, got 2147483648"),
    ("b_max", "1e30", "b_max must be below 2**31, got "),
    ("n_prompts", "1e30", "n_prompts must be below 2**31, got "),
    ("b", 5000 * "9", "must be a whole number, got 9999"),
    ("b", "5\n6", "argument --b: must be a whole number, got 5 6"),
    ("size", "ti\nny", "argument --size: must be one line of plain text, got ti ny"),
    ("runs_dir", "a\0b", "must be one line of plain text, got a"),
    ("runs_dir", 5000 * "a", "must be at most 255 bytes long between two slashes, got aaa"),
    ("runs_dir", 50 * ("/" + 99 * "a"), "must be at most 3000 bytes, got /aaa"),
    ("stpes", "5", "got --stpes (did you mean steps?)"),
    ("K", "5", "parameters must be among size, b, seed, "),
]


@pytest.mark.parametrize(("name", "value", "says"), TRAIN_REFUSALS)
def test_bad_input_is_refused_in_one_line(capsys, name, value, says):
    with pytest.raises(SystemExit) as refusal:
        arguments.parse("train", "", TrainConfig, RunOptions, argv=[f"--{name}", value])
    assert refusal.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: ")
    assert says in line
    assert len(line) < 700


def test_sparsity_above_n_dims_is_refused_where_it_matters(capsys):
    argv = ["--n_dims", "2", "--sparsity", "3"]
    arguments.parse("train", "", TrainConfig, argv=argv)
    with pytest.raises(SystemExit):
        arguments.parse("train", "", TrainConfig, argv=[*argv, "--task", "sparse_linear"])
    assert "sparsity must be at most n_dims=2, got 3" in capsys.readouterr().err


def test_lists_may_be_longer_than_names():
    listed = ",".join(map(str, range(1, 2000)))
    assert parse("--word", listed).word == listed


def test_whole_numbers_reach_to_their_bound():
    assert TrainConfig(steps=2**31 - 1).steps == 2**31 - 1


@pytest.mark.parametrize("error", ["two\nlines", "a" * 5000, ValueError("\x1b[31m" + "b" * 300)])
def test_a_complaint_is_one_short_line(capsys, error):
    assert arguments.complain("prog", error) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable() and len(line) < 450


def test_abbreviations_are_not_taken(capsys):
    with pytest.raises(SystemExit):
        parse("--coun", "4")
    assert "did you mean count?" in capsys.readouterr().err


HEAVY = ("torch", "mlflow", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "ray")


@pytest.mark.parametrize("name", startup.command_names())
def test_help_names_every_setting_and_loads_nothing_heavy(name):
    """What a user waits for is what is imported: a heavy package takes half a second or more."""
    script = (
        "import sys\n"
        f"from entrypoints import {name} as command\n"
        f"sys.argv = ['{name}', '--help']\n"
        "try: command.main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        f"heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "assert not heavy, f'--help imported {heavy}'\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    options = re.findall(r"^  --(\w+)", process.stdout, flags=re.MULTILINE)
    entry = PROJECT["entry_points"].get(name)  # what makes the project's own files has none
    assert options and (entry is None or options == list(entry["parameters"]))
