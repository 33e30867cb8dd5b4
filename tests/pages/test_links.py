"""Pages lead to each other: every link and picture is there, and none is forgotten."""

import re

import pytest
import yaml
from page_blocks import PAGES, ROOT, name_of, prose_of

import looped

LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:looped|analysis|entrypoints|tests|docs|results)/[\w./-]*)`")
MOST_LINES_OF_README = 200


def links_of(page):
    """Return the files that a page's links name, where they lead into the project."""
    links = [link for link in LINK.findall(prose_of(page)) if "://" not in link]
    return [(page.parent / link.partition("#")[0]).resolve() for link in links if link[0] != "#"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    assert [path for path in links_of(page) if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_is_there(page):
    names = FILE.findall(prose_of(page))
    assert [name for name in names if not (ROOT / name).exists() and not list(
        ROOT.glob(f"{name}.*")
    )] == []  # fmt: skip


def test_the_index_lists_every_page_and_every_picture_is_shown():
    docs = ROOT / "docs"
    index = set(links_of(docs / "README.md"))
    assert {page for page in docs.glob("*.md") if page.name != "README.md"} <= index
    linked_files = {path for page in PAGES for path in links_of(page)}
    assert set(docs.glob("*.png")) <= linked_files


def test_readme_is_a_page_that_one_reads():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MOST_LINES_OF_README
    words = re.findall(r"^\| \*\*", (ROOT / "docs/glossary.md").read_text("utf-8"), re.MULTILINE)
    assert len(words) == 10


def test_the_citation_names_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == looped.__version__
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert licence.startswith(citation["license"])
    assert citation["authors"][0]["name"].lower() in licence
