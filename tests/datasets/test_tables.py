"""The tables of ``looped.datasets`` say what the journals of ``results/`` say."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kept_journals import RESULTS

from analysis.datasets.files import csv_of
from analysis.datasets.tables import FolderError, tables_of
from entrypoints import datasets as command
from entrypoints.datasets import NAMES
from looped import datasets
from looped.datasets.columns import KEY, TABLES
from looped.datasets.loading import FOLDER

ROOT = Path(__file__).parents[2]
SOURCES = {
    NAMES.get(folder.name, folder.name): folder
    for folder in sorted(RESULTS.iterdir())
    if list(folder.glob("*/journal.jsonl"))
}


def records_of(folder, run):
    lines = (folder / run / "journal.jsonl").read_text("utf-8").splitlines()
    records = list(map(json.loads, lines))
    # a training that was killed says again what it computes again: the last version counts
    newest = {record["kind"]: record for record in records}
    samples = {record["step"]: record for record in records if record["kind"] == "metrics"}
    return newest["evaluation"], newest["outcome"], [samples[step] for step in sorted(samples)]


def bits(nmse):
    return -0.5 * math.log2(nmse)


def test_every_folder_of_kept_trainings_has_its_tables():
    assert set(datasets.names()) == set(SOURCES)


def test_making_them_anew_gives_the_same_bytes(tmp_path):
    words = [sys.executable, "-m", "entrypoints.datasets", "--out", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    import pyarrow

    files = sorted(path.relative_to(tmp_path) for path in tmp_path.glob("*/*"))
    assert files == sorted(path.relative_to(FOLDER) for path in FOLDER.glob("*/*"))
    for file in files:
        same_writer = f"PyArrow {pyarrow.__version__}\n" in (
            FOLDER / file.parent / "SHA256SUMS"
        ).read_text("utf-8")
        if same_writer or file.suffix in (".csv", ".md"):
            assert (tmp_path / file).read_bytes() == (FOLDER / file).read_bytes(), file


@pytest.mark.parametrize("name", SOURCES)
def test_a_plain_reading_of_the_journals_finds_the_same(name):
    dataset, folder = datasets.load(name), SOURCES[name]
    loops = dict(iter(dataset.loops.groupby(["run", "weights"])))
    steps = dict(iter(dataset.steps.groupby("run")))
    assert len(dataset.runs) == len(list(folder.glob("*/journal.jsonl")))
    for row in dataset.runs.itertuples():
        evaluation, outcome, samples = records_of(folder, row.run)
        content = json.loads((folder / row.run / "config.json").read_text())
        settings = content["config"]
        assert (row.size, row.b, row.seed) == tuple(settings[key] for key in ("size", "b", "seed"))
        assert (row.identity, row.prompt) == (content["identity"], settings["prompt"])
        assert row.nmse == outcome["values"]["held_out/nmse"]
        assert row.bits == pytest.approx(bits(row.nmse), abs=1e-9)
        for weights, prefix in (("last", ""), ("tail", "tail_")):
            curve = evaluation["loops"].get(f"{prefix}nmse", [])
            if not curve:
                assert (row.run, weights) not in loops
                continue
            rows = loops[row.run, weights]
            assert rows["nmse"].tolist() == curve
            assert rows["nmse_se"].tolist() == evaluation["loops"][f"{prefix}nmse_se"]
            assert rows["loop"].tolist() == list(range(1, len(curve) + 1))
            state_change = evaluation["loops"][f"{prefix}state_change"]
            assert rows["state_change"].tolist()[1:] == state_change
        errors = [sample["values"]["train/query_error"] for sample in samples]
        assert steps[row.run]["nmse"].tolist() == errors
        assert steps[row.run]["step"].tolist() == [sample["step"] for sample in samples]
        assert steps[row.run]["n_prompts"].sum() == settings["steps"] * settings["batch_size"]


@pytest.mark.parametrize("name", SOURCES)
def test_csv_and_parquet_hold_the_same_values(name):
    dataset = datasets.load(name)
    for table in TABLES:
        parquet = pd.read_parquet(FOLDER / name / f"{table}.parquet")
        pd.testing.assert_frame_equal(getattr(dataset, table), parquet, check_exact=True)


def test_each_table_says_by_itself_which_training_a_row_is_of():
    names = [column.name for column in KEY]
    for name in SOURCES:
        dataset = datasets.load(name)
        runs = dataset.runs[names].set_index("run")
        for table in (dataset.loops, dataset.steps):
            keys = table[names].drop_duplicates().set_index("run")
            pd.testing.assert_frame_equal(keys.loc[runs.index], runs)
        assert not dataset.loops.duplicated(["run", "weights", "loop"]).any()
        assert not dataset.steps.duplicated(["run", "step"]).any()


def test_numbers_are_written_with_every_digit(tmp_path):
    numbers = np.random.default_rng(7).lognormal(size=100)
    (tmp_path / "x.csv").write_bytes(csv_of(pd.DataFrame({"nmse": numbers})))
    table = pd.read_csv(tmp_path / "x.csv", dtype=str).astype(float)
    assert table["nmse"].tolist() == numbers.tolist()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--path", "runs"], "a path of your own must come with out, the folder to write into"),
        (["--name", "mine"], "name must come with the path that it names"),
        (["--path", "runs", "--out", "x", "--name", "a/b"], "name must be letters, digits, - and"),
        (["--path", "nowhere", "--out", "x"], "the folder must hold finished, evaluated trainings"),
    ],
)
def test_the_command_refuses_in_one_line(call, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    code, (line,) = call(command, *words)
    assert code != 0 and complaint in line


def test_a_folder_without_trainings_or_with_a_damaged_one_is_refused(tmp_path):
    with pytest.raises(FolderError, match="the folder must hold finished, evaluated trainings"):
        tables_of(tmp_path)
    journal = tmp_path / "tiny-b1" / "journal.jsonl"
    journal.parent.mkdir()
    journal.write_text("no record\n")
    with pytest.raises(FolderError, match=r"every training must be as it was left, got .*tiny-b1"):
        tables_of(tmp_path)
