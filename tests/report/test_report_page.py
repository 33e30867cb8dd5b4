"""The files of a report: the same for the same runs, and a page that needs nothing else."""

import json
import random
import re
from collections import Counter
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import browser
import pandas as pd
import planted_report
import pytest
from matplotlib.figure import Figure

from analysis.answers.lengths.claims import LENGTH_CLAIMS
from analysis.claims.claims import CLAIMS, INTERVALS
from analysis.claims.family import family_reading
from analysis.claims.hypotheses import HYPOTHESES
from analysis.publish import report_log
from analysis.report import content, files, verdicts
from analysis.report.subject import choose

RUNS = [
    replace(run, speed=(), metrics={})  # a panel less, which takes long to draw
    for run in planted_report.runs()
    if run.config.size == "tiny" and run.config.seed < 3
]
FIGURES = {
    "linear/performance", "linear/extrapolation", "linear/beyond", "linear/law", "linear/lengths",
    "linear/cost", "linear/pareto", "linear/loss-tiny", "across_tasks",
}  # fmt: skip


def write(folder, runs):
    scores = {run.run_id: planted_report.BASELINES for run in runs}
    report = content.make(choose(runs, scores), 100)
    files.write(folder, report, "A <planted> study")
    return report


@pytest.fixture(scope="module")
def report_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, write(folder, RUNS)


class Page(HTMLParser):
    """What a page refers to, and what it says."""

    def __init__(self, text):
        super().__init__()
        self.links, self.tags, self.words, self.ids = [], [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        self.links += [
            attributes[key] for key in ("src", "href", "srcset", "data") if key in attributes
        ]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(report_folder):
    return (report_folder[0] / files.PAGE).read_text(encoding="utf-8")


def test_every_figure_has_its_files_and_caption(report_folder):
    folder, _ = report_folder
    for kind in ("svg", "png", "csv"):
        names = {str(path.relative_to(folder))[:-4] for path in folder.rglob(f"*.{kind}")}
        assert names == FIGURES | ({"claims"} if kind == "csv" else set())
    captions = json.loads((folder / "captions.json").read_text())
    assert set(captions) == FIGURES
    assert "Lowest NMSE: tiny, b = 10" in captions["linear/performance"]


def test_the_same_runs_give_the_same_bytes(report_folder, tmp_path, monkeypatch):
    folder, _ = report_folder
    shuffled_runs = random.Random(3).sample(RUNS, len(RUNS))
    assert shuffled_runs != RUNS
    save = Figure.savefig

    def without_png(figure, path, **options):
        if path.endswith("svg"):
            save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", without_png)
    write(tmp_path, shuffled_runs)
    first_paths = [path for path in folder.rglob("*.*") if path.suffix != ".png"]
    assert len(first_paths) > 2 * len(FIGURES)
    for path in first_paths:
        second_path = tmp_path / path.relative_to(folder)
        assert path.read_bytes() == second_path.read_bytes(), path.name


def test_a_table_holds_what_its_figure_shows(report_folder):
    table = pd.read_csv(report_folder[0] / "linear" / "performance.csv")
    assert sorted(table["expressivity"]) == pytest.approx([0.9, 1.0, 1.9, 2.0, 2.3, 2.4])


def test_the_page_refers_to_nothing_outside(page):
    parsed_page = Page(page)
    inside_links = [link for link in parsed_page.links if link.startswith("#")]
    assert {link[1:] for link in inside_links} <= parsed_page.ids
    outside_links = set(parsed_page.links) - set(inside_links)
    assert len(outside_links) == len(FIGURES)
    assert all(link.startswith("data:image/svg+xml;base64,") for link in outside_links)
    assert "script" not in parsed_page.tags and "link" not in parsed_page.tags
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page


def test_verdicts_are_on_the_page_with_word_rule_and_reason(report_folder, page):
    _, report = report_folder
    (section,) = report.sections
    assert [finding.claim for finding in section.findings] == [claim.slug for claim in CLAIMS]
    assert len(section.hypotheses) == len(HYPOTHESES)
    words = " ".join(Page(page).words)
    for finding in (*section.findings, *section.hypotheses, *section.lengths):
        assert finding.statement in words
        assert f"Rule: {finding.rule}" in words and finding.reason in words
    for verdict in {finding.verdict for finding in section.findings}:
        assert f'class="verdict {verdict.value.replace(" ", "-")}"' in page
    claims = pd.read_csv(report_folder[0] / "claims.csv")
    assert len(claims) == len(CLAIMS) + len(HYPOTHESES) + len(LENGTH_CLAIMS)
    assert set(claims["task"]) == {"linear"}


def test_what_is_undecided_says_how_many_seeds_and_all_together_what_comes_by_chance(
    report_folder, page
):
    _, report = report_folder
    (section,) = report.sections
    findings = [*section.findings, *section.hypotheses, *section.lengths]
    words = " ".join(Page(page).words)
    assert family_reading(findings) in words and INTERVALS in words
    open_findings = [finding for finding in findings if finding.outlook]
    assert open_findings
    for finding in open_findings:
        assert finding.outlook in words
    for finding in findings:
        assert finding.chosen_as in verdicts.interval(finding)
    table = pd.read_csv(report_folder[0] / "claims.csv")
    assert {"p", "chosen_as", "seeds", "outlook"} <= set(table)


def test_hypotheses_compare_all_recipes_and_claims_the_chosen_one(monkeypatch):
    longer = [planted_report.run("tiny", 5, seed, steps=9000) for seed in (1, 2)]
    calls_of_judge = []
    monkeypatch.setattr(content, "_exhibits", lambda *_: [])
    monkeypatch.setattr(
        content,
        "judge",
        lambda runs, claims=CLAIMS: calls_of_judge.append((len(runs), claims)) or [],
    )
    content.make(choose([*RUNS, *longer], {}), 100)
    assert calls_of_judge == [(6, CLAIMS), (8, HYPOTHESES)]


def test_what_came_is_escaped_and_what_is_missing_stands_last(report_folder, page):
    _, report = report_folder
    assert "<h1>A &lt;planted&gt; study</h1>" in page
    assert report.lacks
    for reason in report.lacks:
        assert page.index(f"<li>Missing: {reason.split('>')[0]}") > page.rindex("<h2")


def test_the_answer_comes_first_then_its_figures_then_the_verdicts(report_folder, page):
    _, report = report_folder
    parsed_page = Page(page)
    text = " ".join(parsed_page.words)
    (answer,) = report.headlines.values()
    before_the_figure = page[: page.index("<figure")]
    assert escape(answer) in before_the_figure.replace("\u00a0", " ")
    assert page.index('id="linear-law-figure"') == page.index("<figure") + len("<figure ")
    places = [text.index(word) for word in ("how many times a model was trained", "0 is exact",
                                            "expressivity, ½ log2")]  # fmt: skip
    assert places == sorted(places)
    headings = re.findall(r"<h2[^>]*>([^<]+)", page)
    expected = ["Law", "Performance", "Extrapolation 1", "Extrapolation 2", "Training length",
                "Cost", "Pareto", "Loss", "Claims", "Hypotheses",
                "Claims about training length", "b across tasks", "What is missing"]  # fmt: skip
    assert len(headings) == len(expected)
    assert all(map(str.startswith, headings, expected))


def test_verdicts_are_grouped_and_a_substitute_stands_in_them(report_folder, page):
    (section,) = report_folder[1].sections
    order = ["Supported", "Contradicted", "Undecided", "Not measured"]
    counts = Counter(finding.verdict.value.capitalize() for finding in section.findings)
    groups = re.findall(r"<h3>(\w[\w ]*): (\d+) of 18</h3>", page)
    assert [(name, int(count)) for name, count in groups] == [
        (name, counts[name]) for name in order if counts[name]
    ]
    substitutes = {finding.substitute for finding in section.findings} - {""}
    assert substitutes
    for finding in section.findings:
        assert escape(finding.verdict_in_words) in page


def test_no_mark_of_markdown_is_on_the_page(page):
    text = re.sub(r"<pre>.*?</pre>", "", page, flags=re.S)
    for mark in ("**", "`", "]("):
        assert mark not in " ".join(Page(text).words).replace("b across", "")


def test_forms_that_cannot_be_told_apart_are_a_table_and_not_a_sentence(report_folder, page):
    (section,) = report_folder[1].sections
    law = section.exhibits[0]
    (table,) = law.details.values()
    assert len(table) > 3
    for form in table["form"]:
        assert f"<td>{form}</td>" in page
    prose = " ".join(re.findall(r"<p[^>]*>(.*?)</p>", page, flags=re.S))
    assert sum(f" {form} (0." in prose for form in table["form"]) <= 3


def test_the_note_holds_a_table_of_the_claims(report_folder):
    note = report_log.note(report_folder[1])
    assert note.startswith(
        "**linear**: Training at 10 loops instead of one divides the error of tiny by 7"
    )
    assert note.count("| supported") == report_log.counts(report_folder[1])["claims/supported"]
    assert len([line for line in note.splitlines() if line.startswith("| ")]) == len(CLAIMS) + 1


def contrast(ink, paper):
    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


needs_browser = pytest.mark.skipif(
    not browser.BINARY, reason="no chromium or google-chrome is installed"
)
DESKTOP, PHONE = (1280, 800), (390, 844)
LEAST_TEXT = {DESKTOP: 6.5, PHONE: 4.5}
"""In points, of the smallest text in a figure; a phone's screen is held nearer."""


@needs_browser
@pytest.mark.parametrize(("screen", "is_dark"), [(DESKTOP, False), (PHONE, True)])
def test_a_browser_shows_all_of_it_and_asks_nobody(page, tmp_path, screen, is_dark):
    console, facts = browser.look(page, tmp_path, is_dark, screen)
    assert console == []
    assert len(facts["pictures"]) == len(FIGURES)
    assert min(picture["natural"] for picture in facts["pictures"]) > 300
    assert facts["asked"] == []
    assert contrast(facts["ink"], facts["paper"]) > 10
    assert (facts["paper"] == "rgb(255, 255, 255)") is not is_dark
    assert facts["overflow"] <= 0
    headline, first_figure = facts["headline"], facts["figure"]
    assert 0 < headline["top"] < headline["bottom"] <= facts["height"]
    assert 0 < first_figure["top"] < first_figure["bottom"] <= facts["height"]
    for picture in facts["pictures"]:  # dark figures on dark paper, and the other way round
        assert picture["corner"] == [int(part) for part in re.findall(r"\d+", facts["paper"])]
        assert picture["text"] * 0.75 >= LEAST_TEXT[screen]
    assert facts["pictures"][0]["text"] * 0.75 > 5.2
    assert len(facts["numbers"]) == len(CLAIMS)
    for number in facts["numbers"]:
        assert number["left"] >= 0 and number["right"] <= screen[0] and number["height"] > 0
    assert not any(facts["folds"])


@needs_browser
def test_in_print_every_fold_is_open_and_headings_stay_with_what_they_head(page, tmp_path):
    _, facts = browser.look(page.replace("@media print", "@media all"), tmp_path)
    assert len(facts["folds"]) > len(CLAIMS) + len(HYPOTHESES)
    assert all(facts["folds"])
    assert facts["after_headings"] == ["avoid"]


@needs_browser
def test_the_browser_would_tell(tmp_path):
    broken_images = '<img src="http://127.0.0.1:9/x.png"><img src="data:image/png;base64,AAAA">'
    policy = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'">"""
    text = f"<!DOCTYPE html><html><head>{policy}</head><body>{broken_images}</body></html>"
    console, facts = browser.look(text, tmp_path)
    assert any("Content Security Policy" in line for line in console)
    assert [picture["natural"] for picture in facts["pictures"]] == [0, 0]
