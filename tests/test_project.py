"""What stands in several files says the same in each."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from entrypoints.benchmarks.options import BenchmarkOptions
from entrypoints.command_line import arguments
from entrypoints.evaluate_extrapolation import EvaluateOptions
from entrypoints.evaluate_tables import TableOptions
from entrypoints.fit_scaling import FitOptions
from entrypoints.import_runs import ImportOptions
from entrypoints.predict_scaling import PredictOptions
from entrypoints.relocate import RelocateOptions
from entrypoints.report import ReportOptions
from entrypoints.table_law import LossTableOptions
from looped.config import TrainConfig
from looped.grid.lists import Lists
from looped.grid.options import GridOptions, GridRunOptions, RunOptions
from looped.sizes import SIZES, STUDY_SIZES, ModelConfig

ROOT = Path(__file__).parent.parent
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
PARSERS = {
    "train": (TrainConfig, RunOptions),
    "grid": (Lists, GridOptions, GridRunOptions),
    "import_runs": (ImportOptions,),
    "evaluate-extrapolation": (EvaluateOptions,),
    "evaluate_extrapolation": (EvaluateOptions,),
    "evaluate_tables": (TableOptions,),
    "fit_scaling": (FitOptions, LossTableOptions),
    "predict_scaling": (PredictOptions,),
    "relocate": (RelocateOptions,),
    "report": (ReportOptions,),
    "benchmark": (BenchmarkOptions,),
}


def test_every_entry_point_is_held_here():
    assert set(PROJECT["entry_points"]) == set(PARSERS)


@pytest.mark.parametrize("name", PARSERS)
def test_mlproject_has_the_parsers_parameters_and_defaults(name):
    entry = PROJECT["entry_points"][name]
    parser = arguments.build_parser(name, "", *PARSERS[name])
    expected = {
        action.dest: str(action.default) for action in parser._actions if action.dest != "help"
    }
    declared = {key: str(value["default"]) for key, value in entry["parameters"].items()}
    assert declared == expected
    assert all(
        isinstance(value["default"], (str, int, float)) for value in entry["parameters"].values()
    )
    passed = re.findall(r"--(\w+) \{(\w+)\}", entry["command"])
    assert passed == [(key, key) for key in declared]


def test_constraints_and_conda_pin_what_pyproject_asks_for():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    direct = [Requirement(line) for line in project["dependencies"]]
    extras = project["optional-dependencies"].values()
    optional = [Requirement(line) for extra in extras for line in extra]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in direct + optional:
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier

    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    python, pip, nested = conda
    assert re.fullmatch(r"python=3\.11\.\d+", python)
    assert pip == "pip"
    assert nested["pip"] == [f"{r.name}=={pins[canonicalize_name(r.name)]}" for r in direct]


def test_the_page_of_sizes_has_the_sizes():
    text = (ROOT / "docs/sizes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \**`(\w+)`\** \|(.*)\|$", text, re.MULTILINE)
    names = [name for name, _ in rows]  # one that is new may still be without a row
    assert names == [name for name in SIZES if name in names]
    assert set(STUDY_SIZES) < set(names)
    for name, numbers in rows:
        size = SIZES[name]
        row = [float(number.replace(",", "")) for number in numbers.split("|")]
        n_params = ModelConfig(size, TrainConfig().n_dims, TrainConfig().n_examples + 1).n_params()
        assert row == [n_params, *vars(size).values()], name


def test_a_file_is_read_in_one_go():
    """A longer one is parted along a line that a newcomer would guess."""
    folders = ("analysis", "entrypoints", "looped", "tests")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    n_lines = {str(path.relative_to(ROOT)): path.read_bytes().count(b"\n") for path in paths}
    assert len(n_lines) > 300
    assert {path: n for path, n in n_lines.items() if n > 300} == {}
