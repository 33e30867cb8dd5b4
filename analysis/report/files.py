"""The report as files: figures, tables, captions, the page."""

import io
import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.report import drawing, page
from analysis.report.content import Report
from analysis.report.exhibit import Exhibit
from analysis.report.markup import detail_files
from looped.drawing import save as save_figure

PAGE = "report.html"


def write(folder: Path, report: Report, title: str) -> None:
    """Write everything; the same runs give the same bytes of figures, tables and page.

    Args:
        folder: gets ``report.html``, ``captions.json``, ``claims.csv``, the figure across tasks
            and a folder per task; each figure as svg and png, what it shows as csv.
        report: what there is to show.
        title: of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for section in report.sections:
        section_folder = folder / section.subject.slug
        section_folder.mkdir(exist_ok=True)
        for exhibit in section.exhibits:
            pictures[f"{section.subject.slug}/{exhibit.name}"] = _write(section_folder, exhibit)
    pictures[report.across.name] = _write(folder, report.across)
    report.claims.to_csv(folder / "claims.csv", index=False)
    captions = json.dumps(report.captions, indent=1, ensure_ascii=False)
    (folder / "captions.json").write_text(captions, encoding="utf-8")
    (folder / PAGE).write_text(page.render(report, pictures, title), encoding="utf-8")


def _write(folder: Path, exhibit: Exhibit) -> bytes:
    """Write one exhibit; return its picture as SVG, empty if it has none."""
    path = folder / exhibit.name
    if len(exhibit.table):
        _write_table(path.with_suffix(".csv"), exhibit.table)
    for file, table in zip(detail_files(exhibit), exhibit.details.values(), strict=True):
        if file:
            _write_table(folder / file, table)
    if exhibit.figure is None:
        return b""
    save(exhibit.figure, path)
    return path.with_suffix(".svg").read_bytes()


def _write_table(path: Path, table: pd.DataFrame) -> None:
    text = io.StringIO()
    table.to_csv(text, index=False, lineterminator="\n")
    path.write_text(text.getvalue(), encoding="utf-8")


def save(figure: Figure, path: Path) -> None:
    """Save a figure of the report as SVG and PNG."""
    with drawing.style():
        save_figure(figure, path)
