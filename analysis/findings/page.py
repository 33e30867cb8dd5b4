"""Puts tables between the marks of a page, and finds the numbers that stand elsewhere on it."""

import re
from collections.abc import Mapping

from looped.rules import require

_TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?")


def fill(page: str, tables: Mapping[str, str]) -> str:
    r"""Put each table where the page marks its place; the rest of the page stays.

    Args:
        page: with places ``<!-- table: NAME -->`` to ``<!-- end -->``.
        tables: by name.

    Raises:
        ValueError: the page marks a place for a table that there is not.

    Example:
        >>> print(fill("So it is:\n<!-- table: phi -->\n<!-- end -->", {"phi": "| 0.46 |"}))
        So it is:
        <!-- table: phi -->
        <BLANKLINE>
        | 0.46 |
        <BLANKLINE>
        <!-- end -->
    """

    def filled(place: re.Match[str]) -> str:
        name = place[2]
        require(name in tables, f"a table must be one of {', '.join(tables)}", name)
        return f"{place[1]}\n{tables[name]}\n\n{place[4]}"

    return _TABLE.sub(filled, page)


def numbers_without_source(page: str, *other_pages: str) -> list[str]:
    r"""List the numbers of the words of a page that stand in no table of it or of other pages.

    Code, links' addresses and numbers in names (``h100``) are passed over. A sign counts only where
    a table has it too.

    Example:
        >>> page = "phi is 0.46, not 1.\n<!-- table: phi -->\n| 0.46 |\n<!-- end -->"
        >>> numbers_without_source(page)
        ['1']
    """
    in_tables = {
        number.lstrip("+-")
        for text in (page, *other_pages)
        for place in _TABLE.finditer(text)
        for number in NUMBER.findall(place[3])
    }
    words = _TABLE.sub("", page)
    words = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<!--.*?-->", " ", words, flags=re.DOTALL)
    numbers = [number.rstrip(",").lstrip("+-") for number in NUMBER.findall(words)]
    return [number for number in numbers if number not in in_tables]
