import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from looped.drawing import save, style
from looped.evaluation import figures, files

LOOPS = {
    "nmse": [0.5, 0.1, 0.2],
    "nmse_se": [0.01, 0.02, 0.03],
    "nmse_median": [0.3, 0.05, 0.1],
    "nmse_q05": [0.01, 0.001, 0.002],
    "nmse_q95": [0.9, 0.4, 0.6],
    "state_change": [0.7, 0.2],
}
BASELINES = {
    "least_squares": {"nmse": [1e-12]},
    "averaging": {"nmse": [0.08]},
    "gradient_descent": {"nmse": [0.6, 0.3, 0.1, 0.05]},
}


@pytest.fixture
def figure():
    return figures.extrapolation("tiny", 2, LOOPS, BASELINES)


def drawn(figure):
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    return {name: (list(line.get_xdata()), list(line.get_ydata())) for name, line in lines.items()}


def test_the_curves_are_those_of_the_evaluation(figure):
    lines = drawn(figure)
    assert lines["model, median"] == ([1, 2, 3], LOOPS["nmse_median"])
    (bars,) = figure.axes[0].containers
    assert list(bars.lines[0].get_ydata()) == LOOPS["nmse"]
    spans = [segment[:, 1] for segment in bars.lines[2][0].get_segments()]
    assert [high - low for low, high in spans] == pytest.approx([0.04, 0.08, 0.12])
    state = figure.axes[1].get_lines()[0]
    assert (list(state.get_xdata()), list(state.get_ydata())) == ([2, 3], LOOPS["state_change"])


def test_baselines_are_level_lines_or_a_step_per_loop(figure):
    lines = drawn(figure)
    assert lines["averaging"] == ([1, 2, 3], [0.08] * 3)
    assert lines["gradient descent, a step per loop"] == ([1, 2, 3], [0.6, 0.3, 0.1])


def test_a_baseline_far_below_is_named_and_does_not_press_the_model_up(figure):
    assert drawn(figure)["least squares: 1e-12, below the axis"] == ([], [])
    low, high = figure.axes[0].get_ylim()
    assert low == pytest.approx(0.05 / 30)
    assert high == 2


def test_the_trained_b_is_marked(figure):
    for axes in figure.axes:
        assert [2, 2] in [list(line.get_xdata()) for line in axes.get_lines()]


def test_the_same_numbers_give_the_same_files(tmp_path):
    for name in ("first", "second"):
        save(figures.extrapolation("tiny", 2, LOOPS, BASELINES), tmp_path / name)
    for suffix in ("svg", "png"):
        first, second = ((tmp_path / f"{n}.{suffix}").read_bytes() for n in ("first", "second"))
        assert first == second


@pytest.mark.parametrize("n_baselines", [0, 3, 5])
def test_the_legend_stands_below_the_axes_and_all_is_on_the_page(n_baselines):
    baselines = {f"baseline {number}": {"nmse": [0.3]} for number in range(n_baselines)}
    loops = LOOPS | {"nmse_median": [1e-7, 1e-7, 2e-7], "prediction_change": [0.7, 0.2]}
    figure = figures.extrapolation("tiny", 2, loops, baselines, (2, 3), "settles")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    of_legend, page = legend.get_window_extent(), figure.bbox
    upper, lower = (axes.get_tightbbox() for axes in figure.axes)
    assert page.y0 <= of_legend.y0 and of_legend.y1 <= lower.y0
    assert lower.y1 <= upper.y0 and upper.y1 <= page.y1
    for box in (of_legend, upper, lower):
        assert page.x0 <= box.x0 and box.x1 <= page.x1


def test_a_figure_is_drawn_once_for_each_file(tmp_path, monkeypatch):
    renderers, draw = [], Figure.draw

    def counted(figure, renderer):
        renderers.append(renderer)
        return draw(figure, renderer)

    monkeypatch.setattr(Figure, "draw", counted)
    figure = figures.tables(2, {"wine": [0.5, 0.4]}, {"wine": {"least_squares": 0.3}})
    before = figure.axes[0].get_position().bounds
    save(figure, tmp_path / "tables")
    assert len(renderers) == 2
    assert figure.axes[0].get_position().bounds != before  # it was laid out


USERS = {
    "text.usetex": True,
    "font.family": ["serif"],
    "font.sans-serif": ["Comic Sans MS", "DejaVu Sans Mono"],
    "svg.fonttype": "none",
    "axes.facecolor": "red",
    "savefig.dpi": 30,
    "lines.linewidth": 9,
}


def test_the_users_settings_change_no_byte_and_stay_as_they_are(tmp_path):
    save(figures.extrapolation("tiny", 2, LOOPS, BASELINES), tmp_path / "plain")
    with mpl.rc_context(USERS):
        save(figures.extrapolation("tiny", 2, LOOPS, BASELINES), tmp_path / "users")
        assert {name: mpl.rcParams[name] for name in USERS} == USERS
    for suffix in ("svg", "png"):
        plain, users = ((tmp_path / f"{n}.{suffix}").read_bytes() for n in ("plain", "users"))
        assert plain == users


def test_a_style_within_a_style_stays(tmp_path):
    file = tmp_path / "a.mplstyle"
    file.write_text("lines.linewidth: 7")
    with style(file):
        with style():
            assert mpl.rcParams["lines.linewidth"] == 7
        assert mpl.rcParams["lines.linewidth"] == 7
    assert mpl.rcParams["lines.linewidth"] != 7


def test_a_backend_of_a_notebook_does_not_keep_figures_from_being_drawn():
    backend = "module://not_installed.backend_inline"
    process = subprocess.run(
        [sys.executable, "-c", "import looped.drawing, os; print(os.environ['MPLBACKEND'])"],
        env={**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == f"{backend}\n"


def test_a_figure_that_cannot_be_drawn_costs_a_line_and_no_number(tmp_path, monkeypatch, caplog):
    def half_drawn(figure, path):
        path.with_suffix(".svg").write_text("<svg")
        raise RuntimeError("latex\ncould not be found")

    monkeypatch.setattr("looped.drawing.save", half_drawn)
    record = {"loops": LOOPS, "examples": [], "n_prompts": 64}
    scores = {name: {**score, "nmse_se": score["nmse"]} for name, score in BASELINES.items()}
    files.write(tmp_path, "tiny-b2-s1", 2, record, scores)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["baselines.csv", "loops.csv"]
    (line,) = caplog.messages
    assert line == (
        "tiny-b2-s1: its figure could not be drawn, the numbers are kept: latex could not be found"
    )
