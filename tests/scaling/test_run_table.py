"""The table that laws are fitted to: order, cells, and what runs scatter by."""

import numpy as np
import pandas as pd
import pytest

from analysis.scaling.run_table import RunTableError, read_run_table
from analysis.scaling.solving import scales
from analysis.scaling.solving.scales import LEAST_SCALE, pair_scale


def rows(*cells, **columns):
    """A table of (size, b, seed, expressivity)."""
    return pd.DataFrame(cells, columns=["size", "b", "seed", "expressivity"]).assign(**columns)


TWO_SIZES = rows(
    ("large", 5, 2, 3.5), ("large", 1, 1, 3.0), ("small", 5, 1, 2.0), ("small", 1, 2, 1.25),
    ("small", 1, 1, 1.0), ("large", 5, 1, 3.25), ("small", 2, 1, 1.5),
)  # fmt: skip


def test_runs_stand_by_size_as_it_expresses_at_b_1_then_by_b_then_by_value():
    table = read_run_table(TWO_SIZES)
    assert table.sizes == ("small", "large")
    assert list(table.size) == [0, 0, 0, 0, 1, 1, 1]
    assert list(table.b) == [1, 1, 2, 5, 1, 5, 5]
    assert list(table.values) == [1.0, 1.25, 1.5, 2.0, 3.0, 3.25, 3.5]
    assert list(table.cells) == [0, 0, 1, 2, 3, 4, 4]
    assert list(table.cell_size) == [0, 0, 0, 1, 1]
    assert list(table.cell_b) == [1, 2, 5, 1, 5]
    assert list(table.bs) == [1, 2, 5]
    assert list(table.cell_means()) == [1.125, 1.5, 2.0, 3.0, 3.375]
    assert list(table.errors) == [0.0] * 7
    assert table.n_duplicates == 0
    assert list(table.rows.index) == list(range(7))


def test_cells_of_two_sizes_at_one_b_are_two():
    table = read_run_table(rows(("a", 1, 1, 1.0), ("b", 1, 1, 2.0), ("b", 2, 1, 3.0)))
    assert list(table.cells) == [0, 1, 2]


def test_sizes_that_express_the_same_stand_by_name():
    table = read_run_table(rows(("b", 1, 1, 1.0), ("a", 1, 1, 1.0), ("a", 2, 1, 3.0)))
    assert table.sizes == ("a", "b")


def test_runs_err_alone_or_with_those_of_their_size_and_seed():
    table = read_run_table(TWO_SIZES)
    assert list(table.clusters("run")) == list(range(7))
    seeds = list(zip(table.size, table.rows["seed"], strict=True))
    clusters = list(table.clusters("seed"))
    assert len(set(clusters)) == len(set(seeds)) == 4
    assert len(set(zip(seeds, clusters, strict=True))) == 4
    assert clusters[0] == 0


@pytest.mark.parametrize(
    ("seeds", "kind"),
    [
        ((1, 2, 1, 2), "seed"),
        ((1, 2, 1, 3), "seed"),
        ((1, 2, 3, 4), "run"),  # no seed at two b
        ((1, 1), "run"),  # what the only seed does is the size's own E_M
    ],
)
def test_seeds_that_recur_are_the_tables_own_clusters(seeds, kind):
    bs = (1, 1, 5, 5) if len(seeds) == 4 else (1, 5)
    cells = [("a", b, seed, b + 0.1 * i) for i, (b, seed) in enumerate(zip(bs, seeds, strict=True))]
    table = read_run_table(rows(*cells))
    assert table.natural_clusters == kind
    assert list(table.clusters("auto")) == list(table.clusters(kind))
    beside_another_size = read_run_table(rows(*cells, ("b", 1, 9, 2.0), ("b", 5, 9, 3.0)))
    assert beside_another_size.natural_clusters == kind


def test_a_row_said_twice_counts_once_and_two_values_for_one_run_are_named():
    table = read_run_table(pd.concat([TWO_SIZES, TWO_SIZES.iloc[:3]]))
    assert table.n_duplicates == 3
    assert len(table.values) == 7
    conflict = TWO_SIZES.iloc[:1].assign(expressivity=9.0)
    with pytest.raises(RunTableError, match=r"got several of large, b=5, seed 2$"):
        read_run_table(pd.concat([TWO_SIZES, conflict]))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TWO_SIZES.iloc[:0], "the table must have rows, got none"),
        (TWO_SIZES.assign(standard_error=[0.1, np.inf, 0, 0, 0, 0, 0]),
         "standard_error must be finite numbers, got inf"),
        (TWO_SIZES.assign(b=[1, 1, 0.5, 1, 1, 1, 1]), "b must be at least 1, got 0.5"),
        (TWO_SIZES.assign(expressivity=["x", "y", "z", "u", 1, 1, 1]),
         "expressivity must be finite numbers, got x, y, z$"),
        (TWO_SIZES.assign(size=None), "every run must have a size, got 7 rows without"),
        (TWO_SIZES.assign(size=["tiny", np.nan, *TWO_SIZES["size"][2:]]),
         "every run must have a size, got 1 row without"),
        (TWO_SIZES.assign(seed=[1, np.nan, None, 1, 1, 1, 1]),
         "every run must have a seed, got 2 rows without"),
    ],
)  # fmt: skip
def test_a_rule_that_is_broken_is_said_with_what_came(table, words):
    with pytest.raises(RunTableError, match=words):
        read_run_table(table)


def test_a_deviation_comes_from_the_median_difference_of_two():
    values, cells = np.array([1.0, 1.2, 5.0, 5.1, 5.4]), np.array([0, 0, 3, 3, 3])
    # the differences: 0.2; 0.1, 0.3, 0.4; their median 0.25
    assert pair_scale(values, cells) == pytest.approx(0.25 / np.sqrt(2) / 0.6745)
    assert pair_scale(values, np.arange(5)) is None
    assert pair_scale(np.ones(3), np.zeros(3, dtype=np.intp)) == LEAST_SCALE == 0.001


def test_the_deviation_of_a_gaussian_is_found():
    values = np.random.default_rng(1).normal(scale=0.3, size=3000)
    assert pair_scale(values, np.arange(3000) // 3) == pytest.approx(0.3, rel=0.05)


def test_a_sizes_scatter_is_drawn_towards_that_of_all_as_by_six_runs_more():
    quiet = [("quiet", b, seed, b + 0.1 * seed) for b in (1, 2) for seed in (0, 1)]
    loud = [("loud", b, seed, 9 * b + 0.9 * seed) for b in (1, 2) for seed in (0, 1)]
    table = read_run_table(rows(*quiet, *loud))
    of_all = pair_scale(table.values, table.cells)
    unit = 1 / np.sqrt(2) / 0.6745
    assert of_all == pytest.approx(0.5 * unit)  # the median of 0.1, 0.1, 0.9, 0.9
    expected = [np.sqrt((2 * (gap * unit) ** 2 + 6 * of_all**2) / 8) for gap in (0.1, 0.9)]
    assert scales.seed_scales(table) == pytest.approx(expected)
    alone = rows(("quiet", 1, 0, 1.0), ("quiet", 2, 0, 1.0))
    assert scales.seed_scales(read_run_table(alone)) is None
    assert scales.run_scales(read_run_table(alone)) is None


def test_a_size_without_pairs_takes_the_scatter_of_all_and_fewer_runs():
    cells = [("one", 1, 0, 1.0), ("two", 1, 0, 2.0), ("two", 1, 1, 2.2), ("two", 5, 0, 3.0)]
    table = read_run_table(rows(*cells))
    of_all = pair_scale(table.values, table.cells)
    assert scales.seed_scales(table) == pytest.approx([of_all, of_all])


def test_a_run_weighs_by_its_seeds_or_by_its_prompts_if_they_say_less():
    table = read_run_table(TWO_SIZES.assign(standard_error=[9.0, 0, 0, 0, 0, 0, 7.0]))
    of_sizes = scales.seed_scales(table)
    run_scales = scales.run_scales(table)
    assert list(table.errors) == [0, 0, 7.0, 0, 0, 0, 9.0]
    assert run_scales == pytest.approx([of_sizes[0]] * 2 + [7.0] + [of_sizes[0]]
                                       + [of_sizes[1]] * 2 + [9.0])  # fmt: skip
