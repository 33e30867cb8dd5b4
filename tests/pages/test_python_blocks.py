"""Every Python block of a page runs, and gives what it states."""

import pytest
from page_blocks import PAGES, blocks_of, n_stated, name_of, run_python

FEWER = {
    "steps=300": "steps=2",
    "fit_scaling(points)": "fit_scaling(points, forms=['power'], resamples=100)",
}


def python_of(page):
    return [block.text for block in blocks_of(page) if block.language == "python"]


PAGES_WITH_PYTHON = [page for page in PAGES if python_of(page)]


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=name_of)
def test_blocks_run_in_their_order(page, store_with_names, capsys):
    namespace: dict[str, object] = {}
    for text in python_of(page):
        smaller_text = text
        for words, replacement in FEWER.items():
            smaller_text = smaller_text.replace(words, replacement)
        assert run_python(smaller_text, namespace) == []


def test_the_pages_state_values():
    assert sum(n_stated(text) for page in PAGES_WITH_PYTHON for text in python_of(page)) >= 10


def test_a_value_that_is_not_so_is_noticed():
    assert run_python("1 + 1    # gives 3", {}) == ["line 1 gives 2, not 3"]
    assert run_python("x = 1\n(x +\n 1)\n# gives 2", {}) == []
