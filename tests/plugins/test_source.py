"""The digest of a part: the lines that make it, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looped.plugins.source import digest_of

TEXT = """
import math
from other import *

LARGE = 3


def helper(x):
    return math.sqrt(x) * LARGE


@decorated(LARGE)
class Part:
    def value(self, x):
        return helper(x)


class Neighbour:
    size = 1
"""


def digest(text, name="Part"):
    return digest_of(text, name, "my_file.py")


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("LARGE = 3", "LARGE = 4"),
        ("math.sqrt(x)", "math.cbrt(x)"),
        ("import math", "import cmath as math"),
        ("from other import *", "from another import *"),
        ("return helper(x)", "return -helper(x)"),
        ("@decorated(LARGE)", "@decorated(0)"),
    ],
)
def test_whatever_the_part_is_made_of_changes_it(line, change):
    assert line in TEXT
    assert digest(TEXT.replace(line, change)) != digest(TEXT)


@given(st.integers(0, 5), st.sampled_from(["size = 2", "size = None"]), st.booleans())
def test_nothing_else_in_the_file_does(n_lines, neighbour, is_first):
    text = TEXT.replace("size = 1", neighbour)
    further = "\n" * n_lines + "# a remark\nfurther = 1\n"
    assert digest(further + text if is_first else text + further) == digest(TEXT)


def test_the_order_of_definitions_does_not_count():
    first, last = "LARGE = 3\n", "\nclass Neighbour:\n    size = 1\n"
    moved = TEXT.replace(first, "").replace(last, "") + last + first
    assert digest(moved) == digest(TEXT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "must be a file of Python, got a SyntaxError in line 1"),
        ("a = 1\n_b = 2\n", "must define Part, got it defines a$"),
        ("", "must define Part, got it defines nothing$"),
    ],
)
def test_what_is_missing_is_said_in_a_line(text, message):
    with pytest.raises(ValueError, match=message) as refusal:
        digest(text)
    assert "\n" not in str(refusal.value).strip()
