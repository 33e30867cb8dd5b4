"""Pieces of HTML that the page is made of."""

import base64
import re
from html import escape
from typing import Any

import pandas as pd

from analysis.report.exhibit import Exhibit
from looped.counting import counted

MOST_ROWS = 60
"""Longer tables stay in their csv."""
MOST_DETAILS = 500
"""Rows of a further table, which has no csv unless it is longer; of that one ``MOST_ROWS``."""

_WIDE_INCHES = 8.0


def heading(level: int, text: str, anchor: str = "") -> str:
    """Write a heading, where it can be linked to if it has an anchor."""
    place = f' id="{escape(anchor, quote=True)}"' if anchor else ""
    return f"<h{level}{place}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """Write a paragraph of a kind that ``page.css`` knows; no line ends inside ``b = 8``."""
    content = escape(re.sub(r"\bb = (?=\d)", "b\u00a0=\u00a0", text))
    return f'<p class="{kind}">{content}</p>' if kind else f"<p>{content}</p>"


def in_details(summary: str, content: str) -> str:
    """Fold markup under a line that says what it is."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def figure(exhibit: Exhibit, name: str, picture: bytes) -> str:
    """Write an exhibit's picture, as wide as its text needs; empty without one."""
    if not picture:
        return ""
    data = base64.b64encode(picture).decode()
    alt = escape(f"{exhibit.title}. {exhibit.result}", quote=True)
    is_wide = exhibit.figure is not None and exhibit.figure.get_figwidth() > _WIDE_INCHES
    kind = "picture wide" if is_wide else "picture"
    return (
        f'<figure id="{_anchor(name)}-figure" class="{kind}">'
        f'<img src="data:image/svg+xml;base64,{data}" alt="{alt}"></figure>'
    )


def words_of(exhibit: Exhibit, name: str) -> str:
    """Write all of an exhibit but its picture: what to see, what is there, and the numbers."""
    lines = [paragraph(exhibit.look_for, "caption")]
    if exhibit.result:
        lines.append(paragraph(exhibit.result, "caption found"))
    if len(exhibit.shown_table):
        lines.append(_table(exhibit.shown_table))
    lines += [f'<div class="missing">Missing: {escape(lack)}</div>' for lack in exhibit.lacks]
    lines += [
        in_details(what, _first_rows(table, file, name))
        for (what, table), file in zip(exhibit.details.items(), detail_files(exhibit), strict=True)
    ]
    if 0 < len(exhibit.table) <= MOST_ROWS:
        lines.append(in_details("the numbers", _table(exhibit.table)))
    elif len(exhibit.table):
        lines.append(
            paragraph(f"The numbers, {counted(len(exhibit.table), 'row')}: {name}.csv", "caption")
        )
    if exhibit.text:
        lines.append(in_details("the whole text", f"<pre>{escape(exhibit.text)}</pre>"))
    return "\n".join(lines)


def detail_files(exhibit: Exhibit) -> list[str]:
    """Name the csv of each further table that is too long for the page; empty for the others."""
    return [
        f"{exhibit.name}-{number}.csv" if len(table) > MOST_DETAILS else ""
        for number, table in enumerate(exhibit.details.values(), 1)
    ]


def _first_rows(table: pd.DataFrame, file: str, name: str) -> str:
    """Write a further table; of one that is in a file the beginning, with where the rest is."""
    if not file:
        return _table(table)
    place = "/".join([*name.split("/")[:-1], file])
    remark = f"The first {MOST_ROWS} of {counted(len(table), 'row')}; all are in {place}."
    return paragraph(remark, "caption") + _table(table.head(MOST_ROWS))


def _anchor(name: str) -> str:
    return name.replace("/", "-")


def _table(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell_text(value))}</td>" for value in row) + "</tr>"
        for row in table.itertuples(index=False)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _cell_text(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)
