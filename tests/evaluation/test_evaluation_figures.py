import pytest

from looped.drawing import save
from looped.evaluation import figures

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
