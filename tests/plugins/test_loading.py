"""Parts are found by file, module, name and entry point, and stay the source that they were."""

import importlib.metadata
import sys

import pytest

from looped.plugins import loading
from looped.plugins.reference import Reference

TEXT = "class Part:\n    number = 1\n"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch, tmp_path):
    """What a process knows before it has found anything, in a folder of its own."""
    for name in ("_registered", "_objects", "_texts"):
        monkeypatch.setattr(loading, name, {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    loading._entries.cache_clear()
    yield
    loading._entries.cache_clear()


def test_a_file_is_found_again_wherever_it_lies(tmp_path):
    (tmp_path / "my_parts.py").write_text(TEXT)
    reference = loading.pin("tasks", "my_parts.py:Part")
    (tmp_path / "far").mkdir()
    (tmp_path / "my_parts.py").rename(tmp_path / "far" / "my_parts.py")
    moved = loading.pin("tasks", "far/my_parts.py:Part")
    assert reference.content == moved.content == f"my_parts:Part@{reference.digest}"
    assert loading.load(reference).number == 1
    assert loading.missing(Reference.parse(str(moved))) == ""


def test_a_changed_file_is_another_part_and_no_substitute(tmp_path, monkeypatch):
    (tmp_path / "my_parts.py").write_text(TEXT)
    before = loading.pin("tasks", "my_parts.py:Part")
    (tmp_path / "my_parts.py").write_text(TEXT.replace("1", "2"))
    after = loading.pin("tasks", "my_parts.py:Part")
    assert after != before
    assert (loading.load(before).number, loading.load(after).number) == (1, 2)
    monkeypatch.setattr(loading, "_objects", {})
    monkeypatch.setattr(loading, "_texts", {})
    rule = f"must be the source {before.digest}, got {after.digest}: it was changed since"
    with pytest.raises(ValueError, match=rule):
        loading.load(before)
    assert rule in loading.missing(before)


def test_a_text_that_travelled_serves_where_there_is_no_file(tmp_path):
    text = "import math\n\nclass Part:\n    number = math.pi\n"
    (tmp_path / "my_parts.py").write_text(text)
    reference = loading.pin("tasks", "my_parts.py:Part")
    (tmp_path / "my_parts.py").unlink()
    loading._objects.clear()
    loading._texts.clear()
    with pytest.raises(ValueError, match=r"must be in a file that is there, got my_parts\.py"):
        loading.load(reference)
    loading.remember(reference, text)
    assert loading.load(reference).number > 3


def test_an_entry_point_is_named_without_an_import_and_pinned_with_its_version(
    tmp_path, monkeypatch
):
    folder = tmp_path / "installed"
    (folder / "my_lab-1.2.dist-info").mkdir(parents=True)
    (folder / "my_lab-1.2.dist-info" / "METADATA").write_text("Name: my-lab\nVersion: 1.2\n")
    entry = "[looped.tasks]\npart = my_lab.parts:Part\n"
    (folder / "my_lab-1.2.dist-info" / "entry_points.txt").write_text(entry)
    (folder / "my_lab-1.2.dist-info" / "RECORD").write_text("my_lab/__init__.py,,\n")
    (folder / "my_lab").mkdir()
    (folder / "my_lab" / "__init__.py").write_text("from my_lab.parts import Part\n")
    (folder / "my_lab" / "parts.py").write_text(TEXT)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    assert "part" in loading.names("tasks")
    assert "my_lab" not in sys.modules
    reference = loading.pin("tasks", "part")
    assert (reference.place, reference.version) == ("my_lab.parts", "1.2")
    assert Reference.parse(str(reference)) == reference
    # what the package shows at its top is what it is made from
    assert loading.pin("tasks", "my_lab:Part") == reference
    for name in ("my_lab", "my_lab.parts"):
        sys.modules.pop(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all\n" + TEXT, "must load, got ModuleNotFoundError"),
        ("1 / 0\n" + TEXT, "must load, got ZeroDivisionError"),
    ],
)
def test_a_file_that_fails_says_so_in_a_line(tmp_path, text, message):
    (tmp_path / "my_parts.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        loading.pin("tasks", "my_parts.py:Part")


@pytest.mark.parametrize("word", ["a:b:c d", "my_parts.py:", ":Part", "x.py:1st", "x" * 500 + ":A"])
def test_what_is_no_reference_is_refused(word):
    with pytest.raises(ValueError, match="must"):
        Reference.parse(word)
