"""Texts that somebody read and found right, kept in ``fixtures``."""

import re
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures"
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def require_text(text, name):
    """The words and columns of a text are those kept, its numbers within their last digits."""
    expected = (FIXTURES / name).read_text("utf-8").rstrip("\n")
    text = text.rstrip("\n")
    assert NUMBER.sub("#", text) == NUMBER.sub("#", expected)
    numbers, expected_numbers = (
        [float(word) for word in NUMBER.findall(each_text)] for each_text in (text, expected)
    )
    assert numbers == pytest.approx(expected_numbers, rel=2e-3, abs=1e-3)
