"""What a figure of a law says beside its numbers: axes, marks, legends, what is shaded."""

import numpy as np
import planted_study
import pytest

from analysis.scaling import figures
from analysis.scaling.choice import PLAUSIBLE_WITHIN
from analysis.scaling.fit import fit_scaling
from analysis.scaling.held_out import held_out_errors
from looped.drawing import COLOURS, GREY, MARKERS

LAW = "saturating_power/of_E_M"
SIZES = ["tiny", "small", "medium"]


@pytest.fixture(scope="module")
def fit():
    table = planted_study.table_of_runs(noise=0.05)
    return fit_scaling(table, forms=[LAW, "power"], form=LAW, resamples=100)


@pytest.fixture(scope="module")
def fit_at_its_bound():
    table = planted_study.table_of_runs("power", noise=0.01)
    table["expressivity"] = 2.0 - 0.1 * np.log(table["b"]) + 0.01 * table.index % 3
    return fit_scaling(table, forms=["power"], resamples=100)


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def legend_of(figure):
    (legend,) = figure.legends
    return legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]


def ticks(axes):
    return [(tick, label.get_text()) for tick, label in
            zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)]  # fmt: skip


def test_each_size_has_its_colour_and_mark_wherever_it_is_shown(fit):
    for figure in (figures.law(fit), figures.residuals(fit), figures.held_out(fit)):
        for index, size in enumerate(SIZES):
            line = lines(figure.axes[0])[size]
            assert line.get_color() == COLOURS[index]
            assert line.get_marker() == MARKERS[index]
            assert line.get_linestyle() == "None"
            assert line.get_fillstyle() == "none"


def test_a_law_is_drawn_to_twice_the_largest_b_and_its_axis_says_which_b_there_are(fit):
    figure = figures.law(fit, bayes=5.0)
    (axes,) = figure.axes
    curves = [line for line in axes.get_lines() if len(line.get_xdata()) == 30]
    assert [curve.get_color() for curve in curves] == list(COLOURS[:3])
    for curve, size in zip(curves, SIZES, strict=True):
        bs = curve.get_xdata()
        assert bs == pytest.approx(np.arange(1, 31))
        assert curve.get_ydata() == pytest.approx(fit.predict({"size": [size] * 30, "b": bs}))
        assert curve.get_linestyle() == "-"
    assert ticks(axes) == [(1, "1"), (5, "5"), (10, "10"), (15, "15"), (30, "30")]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (0.93, 30)
    assert len(axes.get_xticks(minor=True)) == 0
    assert axes.get_xlabel() == "loops b that the model was trained at"
    assert axes.get_ylabel() == "expressivity E, bits"
    assert axes.get_title() == f"{fit.best.sized_form.form.formula}  ({LAW})"
    assert legend_of(figure) == (
        figures.BAND,
        [*SIZES, "Bayes predictor"],
    )
    assert lines(axes)["Bayes predictor"].get_color() == GREY
    assert [text.get_text() for text in axes.texts] == ["beyond what\nwas trained"]
    (shaded,) = axes.patches
    assert (shaded.get_x(), shaded.get_x() + shaded.get_width()) == (15, 30)


def test_its_band_is_the_interval(fit):
    bands = figures.law(fit).axes[0].collections
    assert len(bands) == 3
    for band, size in zip(bands, SIZES, strict=True):
        bs = np.arange(1, 31)
        lower, upper = fit.interval({"size": [size] * 30, "b": bs})
        ys = band.get_paths()[0].vertices[:, 1]
        assert (ys.min(), ys.max()) == pytest.approx((lower.min(), upper.max()))
        assert 0 < band.get_alpha() < 1


def test_without_a_bayes_predictor_there_is_no_line_of_one(fit):
    assert "Bayes predictor" not in lines(figures.law(fit).axes[0])


def test_a_law_that_is_not_sure_is_dashed_and_says_why(fit_at_its_bound):
    (axes,) = figures.law(fit_at_its_bound).axes
    curves = [line for line in axes.get_lines() if len(line.get_xdata()) == 30]
    assert {curve.get_linestyle() for curve in curves} == {"--"}
    assert [text.get_text() for text in axes.texts] == ["beyond what\nwas trained", "AT_BOUND: phi"]


def test_residuals_stand_at_their_b_side_by_side_in_a_band_of_two_deviations(fit):
    figure = figures.residuals(fit)
    (axes,) = figure.axes
    for index, size in enumerate(SIZES):
        is_of_size = fit.run_table.size == index
        line = lines(axes)[size]
        assert line.get_xdata() == pytest.approx(
            fit.run_table.b[is_of_size] * (0.95, 1.0, 1.05)[index]
        )
        expected = fit.run_table.values[is_of_size] - fit.best.fitted_bits[is_of_size]
        assert line.get_ydata() == pytest.approx(expected)
    (band,) = axes.patches
    spread = fit.best.residual_sd
    assert (band.get_y(), band.get_height()) == pytest.approx((-2 * spread, 4 * spread))
    assert any(list(line.get_ydata()) == [0, 0] for line in axes.get_lines())
    assert axes.get_title() == f"runs less the law ({LAW})"
    assert axes.get_ylabel() == "residual, bits"
    assert legend_of(figure) == ("band: ± 2 standard deviations", SIZES)
    assert ticks(axes) == [(1, "1"), (5, "5"), (10, "10"), (15, "15")]


@pytest.mark.parametrize("name", [LAW, "power"])
def test_held_out_errors_are_said_above_and_their_b_beside(fit, name):
    if name == "power":  # which goes far astray
        fit = fit_scaling(fit.run_table.rows, forms=[name], resamples=100)
    figure, table = figures.held_out(fit), held_out_errors(fit.best)
    titles = ("one b left out", "one size beyond b = 1 left out")
    for axes, kind, title in zip(figure.axes, ("b", "size"), titles, strict=True):
        part = table[table["left_out"] == kind]
        root = np.sqrt((part["error"] ** 2).mean())
        assert axes.get_title() == f"{title}: rms {root:.3f} bits"
        assert axes.get_xlabel() == "measured E, mean of a cell, bits"
        labels = sorted(text.get_text() for text in axes.texts if "outside" not in text.get_text())
        assert labels == sorted(f"{b:g}" for b in part["b"])
        for size in SIZES:
            rows = part[part["size"] == size]
            assert list(lines(axes)[size].get_xdata()) == list(rows["measured"])
        low, high = table["measured"].min(), table["measured"].max()
        room = 0.4 * (high - low)
        ends = (low - room, high + room)
        assert axes.get_xlim() == axes.get_ylim() == pytest.approx(ends)
        n_outside = ((part["predicted"] < ends[0]) | (part["predicted"] > ends[1])).sum()
        notes = [text.get_text() for text in axes.texts if "outside" in text.get_text()]
        assert notes == ([f"{n_outside} outside"] if n_outside else [])
    assert figure.axes[0].get_ylabel() == "predicted E, bits"
    assert figure.axes[0].get_legend().get_title().get_text() == "number: b"


def test_what_cannot_be_predicted_is_said():
    table = planted_study.table_of_runs(noise=0.05)
    fit = fit_scaling(table, forms=["logarithmic/per_size"], resamples=100)
    left, right = figures.held_out(fit).axes
    assert right.get_title() == "one size beyond b = 1 left out: cannot be predicted"
    assert left.get_title().startswith("one b left out: rms ")


def test_forms_stand_best_on_top_with_the_limit_of_what_is_plausible(fit, fit_at_its_bound):
    left, right = figures.forms(fit).axes
    names = list(fit.comparison["form"])
    assert [label.get_text() for label in left.get_yticklabels()] == names[::-1]
    assert list(left.get_yticks()) == [0, 1]
    (limit,) = left.get_lines()
    assert list(limit.get_xdata()) == [PLAUSIBLE_WITHIN] * 2
    assert (left.get_xscale(), right.get_xscale()) == ("symlog", "log")
    assert left.get_xlim()[0] == 0
    for column, label in (
        ("leave_one_b_out", "one b left out"),
        ("leave_one_size_out", "one size left out"),
        ("rmse", "of cells fitted to"),
    ):
        line = lines(right)[label]
        assert list(line.get_xdata()) == list(fit.comparison[column][::-1])
        assert list(line.get_ydata()) == [0, 1]
        assert line.get_linestyle() == "None"
    assert right.get_xlabel() == "root mean square error, bits"
    assert left.get_xlabel() == "AICc above the least\n(grey: at a bound, or not identified)"
    grey = figures.forms(fit_at_its_bound).axes[0].patches[0].get_facecolor()
    assert grey[:3] == (0.75,) * 3
    assert left.patches[-1].get_facecolor()[:3] != grey[:3]
