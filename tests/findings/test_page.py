"""The page of findings: its tables are those of ``results``, its words have no other numbers."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kept_journals import RESULTS

from analysis.findings import markdown, recipes
from analysis.findings import page as page_module
from analysis.findings.page import fill, numbers_without_source
from looped import datasets

ROOT = Path(__file__).parents[2]
PAGE, NUMBERS = (
    (ROOT / "docs" / name).read_text("utf-8") for name in ("findings.md", "findings-in-numbers.md")
)


@pytest.mark.slow  # every recipe is judged, and phi fitted at each of its lengths
def test_the_page_is_as_results_has_it():
    command = [sys.executable, "-m", "entrypoints.findings", "--check", "true"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_the_words_have_no_number_that_is_in_no_table():
    assert numbers_without_source(PAGE, NUMBERS) == []
    assert numbers_without_source(NUMBERS) == []


def test_every_kept_training_is_in_a_recipe():
    in_table = NUMBERS.partition("<!-- table: recipes -->")[2].partition("<!-- end -->")[0]
    folders = {
        journal.parents[1].name
        for journal in RESULTS.glob("*/*/journal.jsonl")
        if '"task": "linear"' in (journal.parent / "config.json").read_text()
    }
    assert all(f"** {folder}, " in in_table for folder in folders)
    assert f"| {len(datasets.load('h100-joint').runs)} |" in in_table


def test_no_two_recipes_share_a_title():
    in_table = NUMBERS.partition("<!-- table: recipes -->")[2].partition("<!-- end -->")[0]
    titles = re.findall(r"^\| \*\*[A-Z]+\*\* ([^|]*) \|", in_table, flags=re.MULTILINE)
    assert len(titles) > 20 and len(set(titles)) == len(titles)


def test_a_place_for_no_table_is_refused_and_a_page_filled_twice_stays():
    place = "words\n<!-- table: phi -->\nold\n<!-- end -->\nmore"
    once = fill(place, {"phi": "| 1 |"})
    assert "old" not in once and fill(once, {"phi": "| 1 |"}) == once
    with pytest.raises(ValueError, match="a table must be one of claims, got phi"):
        fill(place, {"claims": ""})


def test_a_number_that_no_table_has_is_noticed():
    page = "By 1,200 [0.2, -3], `7`, h100, [it](9.md).\n<!-- table: x -->\n0.2, 3\n<!-- end -->"
    assert numbers_without_source(page) == ["1,200"]
    other_page = "1,300\n<!-- table: y -->\n1,200\n<!-- end -->"
    assert numbers_without_source(page, other_page) == []


def test_the_examples_run():
    for module in (markdown, page_module, recipes):
        assert doctest.testmod(module).failed == 0
