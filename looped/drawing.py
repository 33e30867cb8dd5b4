"""What every figure shares: colours, marks, and the same bytes whatever the user has set."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar


def _load_matplotlib() -> None:
    """Load matplotlib, which would not load where a notebook's backend is set and not installed."""
    if "matplotlib" in sys.modules:
        return
    wish = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if wish is not None:
            os.environ["MPLBACKEND"] = wish
    if wish:
        with suppress(ValueError):  # it is what this process cannot have
            mpl.rcParams["backend"] = wish


_load_matplotlib()

import matplotlib as mpl  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BLUE, GREY = "#0072b2", "#6e6e6e"
BASELINE_STYLES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))

SETTINGS: Any = {
    "svg.hashsalt": "looped",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titley": 1.0,  # else it is looked for at each drawing whether something stands above
}
"""Beside matplotlib's own defaults; the font is the one that comes with it."""

DPI = 150
"""Of a PNG."""
_NO_ENGINE: Any = {"figure.constrained_layout.use": False, "figure.autolayout": False}

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_is_in_force = ContextVar("_is_in_force", default=False)


@contextmanager
def style(file: Path | None = None) -> Iterator[None]:
    """Draw, and save, by matplotlib's defaults, not by what the user has set.

    Args:
        file: of settings that are to hold beside them; None keeps a style that is already in
            force.
    """
    if file is None and _is_in_force.get():
        yield
        return
    before = _is_in_force.set(True)
    with mpl.rc_context():
        mpl.rcdefaults()
        if file is not None:
            mpl.rcParams.update(mpl.rc_params_from_file(file, use_default_template=False))
        mpl.rcParams.update(SETTINGS)
        try:
            yield
        finally:
            _is_in_force.reset(before)


def styled(
    draw: Callable[Arguments, Result], file: Path | None = None
) -> Callable[Arguments, Result]:
    """Make a function draw in a style."""

    @wraps(draw)
    def draw_in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with style(file):
            return draw(*args, **kwargs)

    return draw_in_style


def tick_text(value: float, _: int | None = None) -> str:
    """Write a tick: 0.002, and a power of ten only where the zeros would not be counted.

    It is no formula: to have one parsed takes longer than to draw it.

    Example:
        >>> tick_text(0.002), tick_text(1e15), tick_text(1e-5)
        ('0.002', '10¹⁵', '10⁻⁵')
    """
    if 1e-4 <= value < 1e5:
        return f"{value:g}"
    digits, power = f"{value:.0e}".split("e")
    factor = "" if digits == "1" else f"{digits}\N{MULTIPLICATION SIGN}"
    return f"{factor}10{str(int(power)).translate(_RAISED)}"


def save(figure: Figure, path: Any) -> None:
    """Save as SVG and PNG, the same bytes for the same figure.

    It is laid out once for both files, and is then drawn once for each: where a figure has an
    engine that lays it out, matplotlib draws it twice.
    """
    with style():
        figure.set_dpi(DPI)  # so that the PNG needs no text measured that the layout has measured
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        # a style that lays figures out would give this one an engine again, after the first file
        with mpl.rc_context(_NO_ENGINE):
            figure.set_layout_engine(None)
            figure.savefig(f"{path}.svg", metadata={"Date": None})
            save_png(figure, f"{path}.png")


def save_png(figure: Figure, path: Any) -> None:
    """Save as PNG alone, the same bytes for the same figure."""
    with style():
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
