"""Lists that walk together, and tables of cells."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.command_line import arguments, readers
from looped.config import TrainConfig
from looped.grid.inputs.cells_table import read_cells
from looped.grid.inputs.input_file import InputFile
from looped.grid.lists import Lists, cross
from looped.titles import titles

READERS = readers.readers_of(TrainConfig)


def lists(*words):
    (parsed,) = arguments.parse("grid", "", Lists, argv=words)
    return parsed


def cells(text):
    return read_cells(InputFile("cells.csv", text), READERS)


ROWS = st.tuples(st.integers(1, 40), st.integers(1, 900))


@settings(max_examples=25)
@given(st.lists(ROWS, min_size=1, max_size=6, unique=True),
       st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True))  # fmt: skip
def test_a_pair_and_a_table_are_the_same_cells_crossed_with_the_other_lists(rows, seeds):
    bs, steps = (",".join(map(str, column)) for column in zip(*rows, strict=True))
    other_words = ("--sizes", "nano", "--seeds", ",".join(map(str, seeds)))
    paired = cross(lists(*other_words, "--bs", bs, "--steps", steps), ("b", "steps"))
    assert [(c.b, c.steps, c.seed) for c in paired] == [
        (*row, seed) for row in rows for seed in seeds
    ]
    table = "b,steps\n" + "\n".join(f"{b},{n}" for b, n in rows)
    assert cross(lists(*other_words), cells=cells(table)) == paired
    plural = "bs, steps\n\n" + "\n".join(f"{b}.0, {n}" for b, n in rows) + "\n\n"
    assert cross(lists(*other_words, "--bs", "7,8"), cells=cells(plural)) == paired


@pytest.mark.parametrize(
    ("words", "pair", "says"),
    [
        (("--bs", "1,2", "--steps", "9"), ("b", "steps"),
         "paired lists must be equally long, got bs of 2 and steps of 1"),
        ((), ("b",), "pair must name two lists or more, each once, as b,steps, got b"),
        ((), ("b", "bs"), "pair must name two lists or more, each once, as b,steps, got b,bs"),
        ((), ("b", "depth"), "got depth"),
        (("--bs", "1,0", "--steps", "9,9"), ("b", "steps"),
         "got size=tiny, b=0, steps=9, seed=42: b must be a whole number of at least 1, got 0"),
    ],
)  # fmt: skip
def test_a_pair_that_is_none_is_refused_in_a_line(words, pair, says):
    with pytest.raises(ValueError, match="got ") as refusal:
        cross(lists(*words), pair)
    assert str(refusal.value).endswith(says)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cells.csv must have a row that names its columns, got no row"),
        ("size,b\n", "cells.csv must have a row for each cell, got only the names of its columns"),
        ("size,depth\ntiny,1\n", "cells.csv, row 1: a column must be one of size, b, "),
        ("b,bs\n1,1\n", "cells.csv, row 1: a column must stand once, got b"),
        ("size,b\ntiny,1\nsmall,\n",
         "cells.csv, row 3: a row must have a value in each of the 2 columns, got nothing for b"),
        ("size,b\ntiny,1,2\n",
         "cells.csv, row 2: a row must have a value in each of the 2 columns, got 3 of them"),
        ("size,b\ntiny,1\n\ntiny,1.0\n",
         "cells.csv, row 4: a row must differ from all others, got the cell of row 2 again"),
        ("size,b\ntiny,x\n", "cells.csv, row 2: b must be a whole number, got x"),
        ('size,b\n"tiny,1\n', "a table must be CSV"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused_with_its_row(text, says):
    with pytest.raises(ValueError, match="got ") as refusal:
        cells(text)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_cell_that_no_training_can_be_is_named_by_its_row():
    with pytest.raises(ValueError, match=r"got row 3, b=4, tied=False, .*b_draw must be fixed"):
        cross(lists("--sizes", "tiny", "--seeds", "1"),
              cells=cells("b,tied,b_draw\n4,true,uniform\n4,false,uniform\n"))  # fmt: skip


def test_a_column_and_a_pair_do_not_share_a_list():
    with pytest.raises(ValueError, match="none that the table of cells has a column for, got bs"):
        cross(lists("--steps", "1,2,3,4"), ("b", "steps"), cells("b\n1\n"))


def test_a_table_may_leave_a_value_to_be_chosen():
    rows = cells("learning_rate,loss_window\nauto,0.5\n1e-3,auto\n")
    words = ("--sizes", "tiny", "--bs", "4", "--seeds", "1")
    first, second = cross(lists(*words), cells=rows)
    assert (first.learning_rate, first.loss_window) == (None, 0.5)
    assert (second.learning_rate, second.loss_window) == (0.001, None)


@pytest.mark.parametrize(
    ("words", "endings"),
    [
        (("--learning_rate_factor", "1,0.5"),
         {"learning_rate_factor=1.0", "learning_rate_factor=0.5"}),
        (("--loss_window", "auto,1,0.5"), {"loss_window=all", "loss_window=1", "loss_window=0.5"}),
        (("--steps", "5,6"), {"steps=5", "steps=6"}),
        (("--task", "pointer_chain", "--n_dims", "8", "--hops", "2,3"), {"hops=2", "hops=3"}),
        (("--seeds", "1,2"), {""}),
    ],
)  # fmt: skip
def test_a_title_says_what_tells_trainings_of_one_name_apart(words, endings):
    configs = [
        config.resolved("cpu", "fp32")
        for config in cross(lists("--sizes", "tiny", "--bs", "4", "--seeds", "1", *words))
    ]
    title_of = titles(configs)
    assert list(title_of) == [config.identity for config in configs]
    assert len(set(title_of.values())) == len(configs)
    assert {
        title.removeprefix(config.name).strip()
        for config, title in zip(configs, title_of.values(), strict=True)
    } == endings
