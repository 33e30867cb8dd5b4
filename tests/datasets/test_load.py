"""What ``looped.datasets.load`` reads, and what it says where it cannot."""

import builtins
import doctest
import subprocess
import sys
from pathlib import Path

import pytest
from kept_runs import kept_runs

from analysis.runs.selection import select
from analysis.scaling import fit_scaling
from looped import datasets
from looped.datasets import loading
from looped.datasets.columns import TABLES
from looped.records.damage import DamagedFileError

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs/data-card.md").read_text("utf-8").split())


@pytest.fixture
def copy_of_quick(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in (loading.FOLDER / "quick").iterdir():
        if file.suffix != ".parquet":
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_folder_reads_as_a_name_does(copy_of_quick):
    dataset = datasets.load(copy_of_quick)
    assert dataset.name == "mine"
    assert dataset.loops.equals(datasets.load("quick").loops)


def test_another_name_is_answered_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"name must be a data set's \(cpu-hypotheses, .*h100-joint, .*got h100$"
    ):
        datasets.load("h100")


def test_an_installation_without_tables_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="this installation has no data sets"):
        datasets.load("h100-joint")


@pytest.mark.parametrize("file", ["runs.csv", "loops.csv", "steps.csv", "README.md"])
def test_a_file_that_was_changed_is_refused(copy_of_quick, file):
    path = copy_of_quick / file
    path.write_bytes(path.read_bytes().replace(b"5", b"6", 1))
    with pytest.raises(DamagedFileError, match=rf"{file} must hold .*SHA-256"):
        datasets.load(copy_of_quick)
    path.unlink()
    with pytest.raises(DamagedFileError, match=rf"{file} must hold .*No such file"):
        datasets.load(copy_of_quick)


def test_a_damaged_list_of_checksums_is_refused(copy_of_quick):
    (copy_of_quick / "SHA256SUMS").write_text("nothing of the kind\n")
    with pytest.raises(DamagedFileError, match="a line holds no checksum"):
        datasets.load(copy_of_quick)


def test_without_pandas_it_says_what_is_missing(monkeypatch):
    plain_import = builtins.__import__

    def without_pandas(name, *arguments, **keywords):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'")
        return plain_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(ModuleNotFoundError, match="data sets need pandas: pip install pandas"):
        datasets.load("quick")


def test_the_package_loads_it_late_and_it_loads_neither_torch_nor_mlflow():
    code = (
        "import looped, sys; assert 'looped.datasets' not in sys.modules; "
        "looped.datasets.names(); assert 'pandas' not in sys.modules; "
        "looped.datasets.load('quick'); assert not {'torch', 'mlflow', 'pyarrow.parquet'} "
        "& set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_examples_run():
    assert doctest.testmod(loading).failed == 0
    assert doctest.testmod(loading).attempted >= 6


def test_every_column_is_explained_in_the_card():
    for name in datasets.names():
        dataset = datasets.load(name)
        for table, columns in TABLES.items():
            assert list(getattr(dataset, table)) == [column.name for column in columns]
        for column in dataset.columns:
            assert f"`{column.partition('.')[2]}`" in dataset.card


def test_the_page_lists_the_data_sets():
    for name in datasets.names():
        dataset = datasets.load(name)
        runs = dataset.runs
        bs = ", ".join(map(str, sorted(runs["b"].unique())))
        row = [f"`{name}`", f"{len(runs)}", ", ".join(runs["size"].unique()), bs,
            f"{runs['seed'].nunique()}", ", ".join(runs["prompt"].unique()),
            f"{dataset.loops['loop'].max()}"]  # fmt: skip
        assert f"| {' | '.join(row)} |" in PAGE, row
    n_learning = (datasets.load("h100-joint").runs["convergence"] == "learning").sum()
    assert f"`h100-joint` {n_learning} were surely still learning" in PAGE


def test_a_law_of_the_table_is_that_of_the_runs(as_users_run_it):
    runs = datasets.load("h100-joint").runs
    learned = runs[~runs.plateau & ~runs.diverged]
    points = learned.rename(columns={"bits": "expressivity", "bits_se": "standard_error"})
    options = {"forms": ["power"], "resamples": 100}
    of_table, of_runs = (
        fit_scaling(table, **options) for table in (points, select(kept_runs()).table)
    )
    places = {"size": ["tiny", "small", "medium"], "b": [8, 8, 30]}
    assert of_table.predict(places) == pytest.approx(of_runs.predict(places), abs=1e-6)
    for end, twin in zip(of_table.interval(places), of_runs.interval(places), strict=True):
        assert end == pytest.approx(twin, abs=1e-6)
