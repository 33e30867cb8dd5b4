"""The performance figure shows the planted errors, their spread, and what they compare with."""

import planted_report
import pytest
from matplotlib.colors import to_rgb
from planted_report import BITS, bands, lines, subject_of, xs_and_ys

from analysis.report.figures import performance
from analysis.report.seeds import over_seeds
from analysis.runs.expressivity import expressivity

T_HALF = 4.302653 * 0.1 / 3**0.5
"""Half of the 95 % t interval of three seeds a tenth of a bit apart."""


@pytest.fixture(scope="module")
def exhibit():
    return performance.exhibit(subject_of())


def test_each_size_is_a_line_through_the_means_of_its_seeds(exhibit):
    axes = exhibit.figure.axes[0]
    for size, by_b in BITS.items():
        bs, errors = xs_and_ys(axes, size)
        assert bs == list(by_b)
        assert errors == pytest.approx([0.25**bits for bits in by_b.values()])
        seeds = xs_and_ys(axes, f"_{size}, seeds")[1]
        planted_errors = [
            0.25 ** (bits + away) for bits in by_b.values() for away in (-0.1, 0, 0.1)
        ]
        assert sorted(seeds) == pytest.approx(sorted(planted_errors))
    assert lines(axes)["tiny"].get_marker() != lines(axes)["small"].get_marker()
    assert lines(axes)["tiny"].get_linestyle() != lines(axes)["small"].get_linestyle()


def test_the_band_is_the_t_interval_over_seeds(exhibit):
    axes = exhibit.figure.axes[0]
    band = bands(axes)[to_rgb(lines(axes)["tiny"].get_color())]
    for b, bits in BITS["tiny"].items():
        assert band[b] == pytest.approx((0.25 ** (bits + T_HALF), 0.25 ** (bits - T_HALF)), 1e-4)
    assert "95 % t interval over seeds" in exhibit.figure.legends[0].get_title().get_text()


def test_bits_stand_beside_the_errors(exhibit):
    errors, bits = exhibit.figure.axes
    assert bits.get_ylim() == pytest.approx(tuple(expressivity(errors.get_ylim())))
    height = errors.transData.transform((1, 0.25**2))[1]
    assert bits.transData.transform((1, 2.0))[1] == pytest.approx(height)
    assert "bits" in bits.get_ylabel() and "NMSE" in errors.get_ylabel()


def test_baselines_beyond_the_axis_are_said_not_drawn(exhibit):
    axes = exhibit.figure.axes[0]
    assert xs_and_ys(axes, "averaging")[1] == [0.2, 0.2]
    assert xs_and_ys(axes, "least squares: 1e-14, below the axis") == ([], [])
    assert xs_and_ys(axes, "nearest neighbours: 4e+01, above the axis") == ([], [])
    assert axes.get_ylim()[0] > 1e-4


def test_a_plateaued_run_stands_apart_and_out_of_the_band():
    stuck = planted_report.run("tiny", 5, seed=4, bits=0.01, plateau=True)
    exhibit = performance.exhibit(subject_of([*planted_report.runs(), stuck]))
    axes = exhibit.figure.axes[0]
    assert xs_and_ys(axes, "tiny, plateaued") == ([5], [pytest.approx(0.25**0.01)])
    assert xs_and_ys(axes, "tiny")[1][1] == pytest.approx(0.25**2)
    assert exhibit.table["plateau"].sum() == 1


def test_the_bayes_predictor_is_the_ceiling():
    noisy = planted_report.runs(task="noisy_linear")
    axes = performance.exhibit(subject_of(noisy, {"ridge": 0.01})).figure.axes[0]
    assert xs_and_ys(axes, "Bayes predictor (ridge), 3.32 bits: the ceiling")[1] == [0.01, 0.01]
    assert "ridge" not in lines(axes)


def test_the_caption_says_what_is_there(exhibit):
    assert "Lowest NMSE: small, b = 10, 0.021" in exhibit.result
    assert "tiny: 0.25 at b = 1, 0.036 at b = 10 (+1.40 bits)" in exhibit.result
    assert not exhibit.lacks


@pytest.mark.parametrize(
    ("keeps", "baselines", "reason"),
    [
        (lambda run: run.config.b == 5, {"a": 0.1}, "more than one b: all runs were trained at"),
        (lambda run: run.config.seed == 1, {"a": 0.1}, "bands over seeds: 6 of the cells"),
        (
            lambda run: run.config.size == "tiny",
            {"a": 0.1},
            "more than one size: all runs are tiny",
        ),
        (lambda run: True, {}, "baselines: none"),
    ],
)
def test_what_is_not_there_is_said(keeps, baselines, reason):
    exhibit = performance.exhibit(subject_of(list(filter(keeps, planted_report.runs())), baselines))
    assert exhibit.figure is not None
    assert len(exhibit.lacks) == 1 and reason in exhibit.lacks[0]


def test_one_seed_has_no_interval():
    table = subject_of().table.query("seed == 1")
    means = over_seeds(table, ["size", "b"], "expressivity")
    assert means["lower"].isna().all() and (means["seeds"] == 1).all()


def test_runs_that_nobody_evaluated_are_counted():
    unevaluated_run = planted_report.run("small", 10, 4, n_loops=3)
    exhibit = performance.exhibit(subject_of([*planted_report.runs(), unevaluated_run]))
    assert len(exhibit.table) == 18
    assert exhibit.lacks[0].startswith("errors: 1 of 19 runs are not evaluated")
