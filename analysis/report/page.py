"""The report as one page that holds all it shows: no network, no scripts, light or dark."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from analysis.report.content import Report, Section
from analysis.report.exhibit import Exhibit
from analysis.report.markup import figure, heading, paragraph, words_of
from analysis.report.verdicts import claims_and_hypotheses
from looped.counting import counted

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

WORDS = {
    "b": "how many times a model was trained to apply its one stack of blocks; a trained model can "
    "be run for more loops than that, or fewer.",
    "NMSE": "the squared error at the query over Var(y): 0 is exact, 1 is no better than "
    "answering the mean every time.",
    "E": "expressivity, ½ log2(Var(y) / MSE), in bits: one bit more is a quarter of the NMSE. "
    "E_M is what a size has at b = 1, E_LM what b loops make of it.",
}
"""What a reader has to know before the first figure."""


def render(report: Report, pictures: Mapping[str, bytes], title: str) -> str:
    """Write the page: the answer, what it rests on, claims and hypotheses, what is missing.

    Args:
        report: what there is to show.
        pictures: SVG by name, as in ``Report.captions``; empty where there is no figure.
        title: of the page.
    """
    across = report.across
    body = [
        heading(1, title),
        *(part for section in report.sections for part in _section(section, pictures, report)),
        *_shown(across, across.name, pictures, 2),
        heading(2, "What is missing", "missing"),
        _lacks(report.lacks),
        *([paragraph(report.rules)] if report.rules else []),
        paragraph(_account(report), "faint"),
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


def _section(section: Section, pictures: Mapping[str, bytes], report: Report) -> list[str]:
    """Write what there is to a task: the answer first, the verdicts last."""
    subject, is_alone = section.subject, len(report.sections) == 1
    level = 2 if is_alone else 3
    first, *later_exhibits = section.exhibits
    is_first = section is report.sections[0]
    return [
        *([] if is_alone else [heading(2, f"Task: {subject.task}", subject.slug)]),
        '<div class="answer">',
        paragraph(str(section.headline), "headline"),
        figure(first, f"{subject.slug}/{first.name}", pictures[f"{subject.slug}/{first.name}"]),
        f'<div class="words">{_words() if is_first else ""}',
        paragraph(section.headline.reading, "faint"),
        "</div></div>",
        *([_contents(report, level)] if is_first else []),
        heading(level, first.title, f"{subject.slug}-{first.name}"),
        paragraph(subject.account),
        words_of(first, f"{subject.slug}/{first.name}"),
        *(
            part
            for exhibit in later_exhibits
            for part in _shown(exhibit, f"{subject.slug}/{exhibit.name}", pictures, level)
        ),
        *claims_and_hypotheses(subject.slug, section.kinds, level),
    ]


def _words() -> str:
    terms = "".join(
        f"<div><dt>{escape(word)}</dt><dd>{escape(meaning)}</dd></div>"
        for word, meaning in WORDS.items()
    )
    return f"<dl>{terms}</dl>"


def _shown(exhibit: Exhibit, name: str, pictures: Mapping[str, bytes], level: int) -> list[str]:
    return [
        heading(level, exhibit.title, name.replace("/", "-")),
        figure(exhibit, name, pictures[name]),
        words_of(exhibit, name),
    ]


def _contents(report: Report, level: int) -> str:
    """Link to everything; of several tasks to each."""
    if level == 2:
        (section,), slug = report.sections, report.sections[0].subject.slug
        links = {f"{slug}-{exhibit.name}": exhibit.title for exhibit in section.exhibits} | {
            f"{slug}-claims": "Claims",
            f"{slug}-hypotheses": "Hypotheses",
            f"{slug}-length-claims": "Claims about training length",
        }
    else:
        links = {section.subject.slug: section.subject.task for section in report.sections}
    links |= {report.across.name: report.across.title, "missing": "What is missing"}
    anchors = [f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in links.items()]
    return f"<nav>{' '.join(anchors)}</nav>"


def _lacks(reasons: Sequence[str]) -> str:
    if not reasons:
        return paragraph("Nothing.")
    items = "".join(f"<li>Missing: {escape(reason)}</li>" for reason in reasons)
    return f'<div class="missing"><ul>{items}</ul></div>'


def _account(report: Report) -> str:
    runs = sum(len(section.subject.runs) for section in report.sections)
    tasks = ", ".join(section.subject.task for section in report.sections)
    return (
        f"{counted(runs, 'finished training')} of {tasks}. Everything here is drawn from logged "
        "runs alone; each figure lies beside this page as svg, png and csv."
    )
