import socket

from looped.records import origin
from looped.records.origin import Origin


def test_git_state_names_a_commit_and_a_checkout_without_git_is_unknown(tmp_path, monkeypatch):
    commit, is_dirty = origin.git_state()
    assert commit == "unknown" or (len(commit) == 40 and isinstance(is_dirty, bool))
    monkeypatch.setattr(origin, "__file__", str(tmp_path / "looped" / "origin.py"))
    assert origin.git_state() == ("unknown", None)


def test_an_origin_is_kept_in_its_folder_and_given_as_tags(tmp_path):
    assert Origin.read(tmp_path) is None
    Origin("abc", True, "here", "grid-1").write(tmp_path)
    again = Origin.read(tmp_path)
    assert again == Origin("abc", True, "here", "grid-1")
    assert again.tags == {
        "git.commit": "abc", "git.dirty": "true", "looped.host": "here", "grid": "grid-1"
    }  # fmt: skip
    assert Origin.here().tags["looped.host"] == socket.gethostname()
    assert "grid" not in Origin.here().tags
