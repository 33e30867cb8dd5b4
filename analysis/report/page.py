"""The report as one page that holds all it shows: no network, no scripts, light or dark."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.claims.claims import INTERVALS, Finding, Verdict
from analysis.claims.family import family_reading
from analysis.claims.hypotheses import joint_reading
from analysis.report.content import Report, Section
from analysis.report.exhibit import Exhibit

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MARKS = {
    Verdict.SUPPORTED: "✓",
    Verdict.CONTRADICTED: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.MISSING: "-",
}
MOST_ROWS = 60
"""Longer tables stay in their csv."""


def render(report: Report, pictures: Mapping[str, bytes], title: str) -> str:
    """Write the page.

    Args:
        report: what there is to show.
        pictures: SVG by name, as in ``Report.captions``; empty where there is no figure.
        title: of the page.
    """
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(_account(report))}</p>',
        *([f'<p class="faint">{escape(report.rules)}</p>'] if report.rules else []),
        _contents(report),
        _lacks(report.lacks),
        *(part for section in report.sections for part in _section(section, pictures)),
        f'<h2 id="across">{escape(report.across.title)}</h2>',
        _exhibit(report.across, report.across.name, pictures[report.across.name]),
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>",
            "<body>",
            *body,
            "</body></html>",
            "",
        ]
    )


def _account(report: Report) -> str:
    runs = sum(len(section.subject.runs) for section in report.sections)
    tasks = ", ".join(section.subject.task for section in report.sections)
    return (
        f"{runs} finished trainings of {tasks}. Everything here is drawn from logged runs alone; "
        "each figure lies beside this page as svg, png and csv."
    )


def _contents(report: Report) -> str:
    links = [(section.subject.slug, section.subject.task) for section in report.sections]
    anchors = [f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in links]
    return f'<nav>{"".join(anchors)}<a href="#across">{escape(report.across.title)}</a></nav>'


def _lacks(reasons: Sequence[str]) -> str:
    if not reasons:
        return '<p class="faint">Nothing is missing.</p>'
    items = "".join(f"<li>Missing: {escape(reason)}</li>" for reason in reasons)
    return f'<div class="missing"><ul>{items}</ul></div>'


def _section(section: Section, pictures: Mapping[str, bytes]) -> list[str]:
    slug = section.subject.slug
    return [
        f'<h2 id="{slug}">Task: {escape(section.subject.task)}</h2>',
        f"<p>{escape(section.subject.account)}</p>",
        "<h3>Claims</h3>",
        f"<p>{escape(family_reading([f for kind in section.kinds.values() for f in kind]))}</p>",
        _details("how verdicts are made, and what they need", f"<p>{escape(INTERVALS)}</p>"),
        _findings(section.findings),
        "<h3>Hypotheses</h3>",
        f"<p>{escape(joint_reading(section.hypotheses))}</p>",
        _details("each at equal steps and equal FLOPs", _findings(section.hypotheses)),
        *(["<h3>Ways of training</h3>"] if section.treatments else []),
        *([_findings(section.treatments)] if section.treatments else []),
        *(
            f'<h3 id="{slug}-{exhibit.name}">{escape(exhibit.title)}</h3>\n'
            + _exhibit(exhibit, f"{slug}/{exhibit.name}", pictures[f"{slug}/{exhibit.name}"])
            for exhibit in section.exhibits
        ),
    ]


def _exhibit(exhibit: Exhibit, name: str, picture: bytes) -> str:
    parts = []
    if picture:
        data = base64.b64encode(picture).decode()
        alt = escape(f"{exhibit.title}. {exhibit.result}", quote=True)
        parts.append(f'<img src="data:image/svg+xml;base64,{data}" alt="{alt}">')
    result = f'<p class="found">{escape(exhibit.result)}</p>' if exhibit.result else ""
    parts.append(f"<figcaption><p>{escape(exhibit.look_for)}</p>{result}</figcaption>")
    lines = [f'<figure id="{name.replace("/", "-")}-figure">', *parts, "</figure>"]
    lines += [f'<div class="missing">Missing: {escape(lack)}</div>' for lack in exhibit.lacks]
    if 0 < len(exhibit.table) <= MOST_ROWS:
        lines.append(_details("the numbers", _table(exhibit.table)))
    elif len(exhibit.table):
        rows = f"{len(exhibit.table):,}"
        lines.append(f'<p class="faint">The numbers, {rows} rows: {escape(name)}.csv</p>')
    if exhibit.text:
        lines.append(_details("the whole text of the fit", f"<pre>{escape(exhibit.text)}</pre>"))
    return "\n".join(lines)


def _details(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _table(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table)
    rows = "".join(
        "<tr>"
        + "".join(f'<td class="number">{escape(_cell_text(value))}</td>' for value in row)
        + "</tr>"
        for row in table.itertuples(index=False)
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _cell_text(value: Any) -> str:
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.4g}"
    return str(value)


def _findings(findings: Sequence[Finding]) -> str:
    rows = []
    for finding in findings:
        word = finding.verdict.value
        why = f"<p>Rule: {escape(finding.rule)}</p><p>{escape(finding.reason)}</p>"
        why += "".join(f"<p>{escape(part)}</p>" for part in finding.detail.split("; "))
        outlook = f'<br><span class="faint">{escape(finding.outlook)}</span>'
        rows.append(
            f'<tr><td class="claim">{escape(finding.statement)}'
            f"{_details('rule and reason', why)}</td>"
            f'<td class="verdict {word.replace(" ", "-")}">{MARKS[finding.verdict]} '
            f"{escape(word)}{outlook if finding.outlook else ''}</td>"
            f'<td><span class="number">{escape(interval(finding))}</span><br>'
            f'<span class="faint">{escape(finding.statistic)}</span></td></tr>'
        )
    head = "<tr><th>claim</th><th>verdict</th><th>statistic, 95 % interval over seeds</th></tr>"
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def interval(finding: Finding) -> str:
    """Write what was measured, with its interval, and of how many parts it is the extreme one."""
    if pd.isna(finding.estimate):
        return "-"
    ends = "" if pd.isna(finding.low) else f" [{finding.low:.3g}, {finding.high:.3g}]"
    extreme = f", {finding.chosen_as}" if finding.chosen_as else ""
    return f"{finding.estimate:.3g}{ends}{extreme}"
