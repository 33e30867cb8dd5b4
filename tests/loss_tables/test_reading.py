"""Tables as they lie on disk, and what is refused in them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from analysis.loss_tables.files import LossTableError, read_rows
from analysis.loss_tables.reading import read_table
from analysis.loss_tables.units import Conversion

NATS = Conversion(unit="nats", reference=9.0)
ROWS = [
    {"model": model, "r": r, "rep": rep, "loss": 3.0 - 0.1 * r + rep / 100}
    for model in ("S", "L")
    for r in (1, 2, 4)
    for rep in (0, 1)
]
COLUMNS = {"size": "model", "b": "r", "seed": "rep"}


def csv_of(rows, delimiter=","):
    head = list(rows[0])
    lines = [delimiter.join(str(row[name]) for name in head) for row in rows]
    return "\n".join([delimiter.join(head), *lines]) + "\n"


def test_all_kinds_of_files_say_the_same(tmp_path):
    texts = {
        "a.csv": "# source: somewhere\n# and more\n" + csv_of(ROWS),
        "b.CSV": "\ufeff" + csv_of(ROWS).replace("\n", "\r\n"),
        "c.tsv": csv_of(ROWS, "\t"),
        "d.jsonl": "\n".join(map(json.dumps, ROWS)) + "\n\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8", newline="")
    pd.DataFrame(ROWS).to_parquet(tmp_path / "e.parquet")
    tables = [
        read_table(read_rows(path), NATS, COLUMNS).rows for path in sorted(tmp_path.iterdir())
    ]
    assert len(tables) == 5 and len(tables[0]) == len(ROWS)
    for table in tables:
        pd.testing.assert_frame_equal(table, tables[0])


def test_an_empty_loss_is_not_measured_and_a_nan_is_no_number(tmp_path):
    (tmp_path / "a.csv").write_text("size,b,loss\nS,1,3\nS,2,\n")
    with_nan = pyarrow.table({"size": ["S", "S"], "b": [1, 2], "loss": [3.0, float("nan")]})
    parquet.write_table(with_nan, tmp_path / "b.parquet")
    table = read_table(read_rows(tmp_path / "a.csv"), NATS)
    assert len(table.rows) == 1
    assert table.notices[0].startswith("left out, as their loss is empty: 1 row;")
    with pytest.raises(LossTableError, match="loss must hold finite numbers, got nan in row 2"):
        read_table(read_rows(tmp_path / "b.parquet"), NATS)


@pytest.mark.parametrize(
    ("rows", "columns", "rule"),
    [
        ([{"modle": "S", "b": 1, "loss": 3}], {}, "what holds size (name of the model's size"),
        ([{"size": "S", "b": 1, "los": 3}], {"value": "loss"}, "got loss (did you mean los?)"),
        ([{"size": "S", "b": 1, "loss": 3}], {"valeu": "loss"}, "got valeu (did you mean value?)"),
        ([{"size": "S", "b": 1, "loss": "3,1"}], {}, "loss must hold numbers, got 3,1 in row 1"),
        ([{"size": "S", "b": 1, "loss": True}], {}, "loss must hold numbers, got True in row 1"),
        ([{"size": "S", "b": 1, "loss": "inf"}], {}, "must hold finite numbers, got inf in row 1"),
        ([{"size": "S", "b": 1, "loss": -3}], {}, "nats must be above 0, got -3 in row 1"),
        ([{"size": "S", "b": 2.5, "loss": 3}], {}, "whole numbers from 1 to 100,000, got 2.5 in"),
        ([{"size": "S", "b": 0, "loss": 3}], {}, "whole numbers from 1 to 100,000, got 0 in row"),
        ([{"size": None, "b": 1, "loss": 3}], {}, "every row must have a size, got none in row 1"),
        ([{"size": "S", "b": 1, "loss": None}], {}, "the column loss must hold values, got none"),
        (
            [{"size": "S", "b": 1, "loss": 3}, {"size": "S", "b": 1, "loss": 4}],
            {},
            "name the column of the seed), got 3 and 4 for size S, b 1",
        ),
        (
            [{"size": "S", "b": 1, "loss": 3, "n_params": 0}],
            {},
            "n_params must be above 0, got 0 in row 1",
        ),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_said_in_a_line(rows, columns, rule):
    with pytest.raises(LossTableError) as refusal:
        read_table(rows, NATS, columns)
    assert rule in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("unit", "value", "rule"),
    [
        (Conversion(unit="perplexity"), 0.9, "perplexity must be above 1, got 0.9 in row 1"),
        (Conversion(unit="nmse"), 0, "nmse must be above 0, got 0 in row 1"),
        (Conversion(unit="nats", floor=1.5), 1.4, "with that floor, must be above 1.5, got 1.4"),
    ],
)
def test_a_value_that_the_unit_cannot_hold_is_refused(unit, value, rule):
    with pytest.raises(LossTableError, match=rule):
        read_table([{"size": "S", "b": 1, "value": value}], unit)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("a.xlsx", "", "table must end in .csv, .tsv, .jsonl, .ndjson, .parquet, got"),
        ("a.csv", "", "table must have a head"),
        ("a.csv", "size,b,loss\n", "table must have rows, got none"),
        ("a.csv", "size,b,b\nS,1,1\n", "columns must differ in their names"),
        ("a.csv", "size,b,loss\nS,1,3,4\n", "as many cells as the head, 3, got 4 in row 1"),
        ("a.csv", b"size,b,loss\n\xff,1,3\n", "table must be text in UTF-8"),
        ("a.csv", 'size,b,loss\n"S,1,3\n', "table must be as its name ends"),
        ("a.jsonl", "[1]\n", "every line of JSON lines must be an object"),
        ("a.parquet", "size,b,loss\n", "table must be Parquet"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, name, text, rule):
    path = Path(tmp_path / name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LossTableError, match=rule):
        read_rows(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(LossTableError, match="table must be a file, got"):
        read_rows(tmp_path / "none.csv")


def test_rows_are_chosen_and_flags_are_heeded():
    rows = [{**row, "split": "val" if row["rep"] else "test", "plateau": row["r"] == 2}
            for row in ROWS]  # fmt: skip
    table = read_table(rows, NATS, COLUMNS, {"split": "val"})
    assert set(table.rows["seed"]) == {"1"} and set(table.rows["b"]) == {1, 4}
    assert table.notices == ("left out, as their plateau is true: 2 rows",)
    assert len(read_table(rows, NATS, COLUMNS, {"r": "2.0"}, with_plateaued=True).rows) == 4
    with pytest.raises(LossTableError, match="split one of test, val, got train"):
        read_table(rows, NATS, COLUMNS, {"split": "train"})
    with pytest.raises(LossTableError, match=r"got spilt \(did you mean split\?\)"):
        read_table(rows, NATS, COLUMNS, {"spilt": "val"})


@given(
    rows=st.lists(
        st.dictionaries(
            st.sampled_from(["size", "b", "loss", "seed", "loop", "length", "n_params"]),
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
        ),
        max_size=4,
    )
)
def test_whatever_a_table_holds_is_read_or_refused_in_a_line(rows):
    try:
        table = read_table(rows, NATS)
    except LossTableError as error:
        refusal = str(error)
    else:
        refusal = ""
        assert np.isfinite(table.rows["value"]).all() and len(table.rows) <= len(rows)
    assert refusal.isprintable()


def test_a_row_said_twice_counts_once():
    table = read_table([*ROWS, ROWS[0]], NATS, COLUMNS)
    assert len(table.rows) == len(ROWS)
    assert table.notices == ("counted once, as another says the same: 1 row",)
