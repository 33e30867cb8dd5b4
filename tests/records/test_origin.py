import shutil
import socket
import subprocess

import pytest

from looped.records import origin
from looped.records.origin import Code, Origin


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state_names_the_commit_and_whether_changes_lie_on_it(tmp_path, monkeypatch):
    code = tmp_path / "looped" / "records" / "origin.py"
    code.parent.mkdir(parents=True)
    code.write_text("")
    monkeypatch.setattr(origin, "__file__", str(code))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert origin.git_state() == ("unknown", None)  # no checkout yet
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert origin.git_state() == (commit, False)
    code.write_text("changed")
    assert origin.git_state() == (commit, True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(elsewhere / ".git"))  # as within a hook of git's
    monkeypatch.setenv("GIT_WORK_TREE", str(elsewhere))
    assert origin.git_state() == (commit, True)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_repository_around_the_project_is_not_its_own(tmp_path, monkeypatch):
    code = tmp_path / "unpacked" / "looped" / "records" / "origin.py"
    code.parent.mkdir(parents=True)
    code.write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "another project")
    monkeypatch.setattr(origin, "__file__", str(code))
    assert origin.git_state() == ("unknown", None)


def test_the_digest_of_the_sources_follows_names_and_contents_alone(tmp_path, monkeypatch):
    package = tmp_path / "looped"
    (package / "records").mkdir(parents=True)
    monkeypatch.setattr(origin, "__file__", str(package / "records" / "origin.py"))
    digests = []

    def look():
        origin.sources_digest.cache_clear()
        digests.append(origin.sources_digest())

    (package / "model.py").write_text("z = 1")
    look()
    (package / "notes.txt").write_text("no source")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "model.pyc").write_bytes(b"x")
    look()
    (package / "model.py").write_text("z = 2")
    look()
    (package / "model.py").rename(package / "models.py")
    look()
    origin.sources_digest.cache_clear()
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("code", "earlier_code", "is_same"),
    [
        (("abc", "1"), ("abc", "1"), True),
        (("abc", "1"), ("abc", "2"), False),  # edited since
        (("abc", "1"), ("abd", "1"), False),
        (("abc", "1"), ("abc", "unknown"), True),  # of before digests were kept
        (("unknown", "1"), ("unknown", "1"), False),
        (("unknown", "1"), ("abc", "1"), False),
    ],
)
def test_code_that_is_not_known_is_never_the_same(code, earlier_code, is_same):
    assert Code(*code).is_surely(Code(*earlier_code)) is is_same
    assert Code(*earlier_code).is_surely(Code(*code)) is is_same


def test_without_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert origin.git_state() == ("unknown", None)


def test_an_origin_is_kept_in_its_folder_and_given_as_tags(tmp_path):
    assert Origin.read(tmp_path) is None
    Origin("abc", True, "here", "grid-1").write(tmp_path)
    stored_origin = Origin.read(tmp_path)
    assert stored_origin == Origin("abc", True, "here", "grid-1")
    assert stored_origin.tags == {
        "git.commit": "abc", "git.dirty": "true", "looped.host": "here", "grid": "grid-1"
    }  # fmt: skip
    assert Origin.here().tags["looped.host"] == socket.gethostname()
    assert Origin.here().tags["looped.sources"] == origin.sources_digest()
    assert "grid" not in Origin.here().tags


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", "[" * 100_000, '{"commit": "a", "is_dirty": null, "host": ["x"]}',
        '{"commit": "a", "is_dirty": 3, "host": "x"}',
        '{"commit": "a b\\n", "is_dirty": null, "host": "x"}',
        '{"commit": "a", "is_dirty": null, "host": "x", "more": 1}',
    ],
    ids=range(9),
)  # fmt: skip
def test_a_damaged_origin_is_unknown_and_its_file_named(tmp_path, caplog, text):
    (tmp_path / "origin.json").write_text(text)
    assert Origin.read(tmp_path) == Origin("unknown", None, "unknown")
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'origin.json'} must hold what was written there, but: ")
    assert "\n" not in line
