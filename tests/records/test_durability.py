"""What a power cut may not take: synced before it is renamed, and its name after that."""

import os
from pathlib import Path

import pytest
import torch

from looped.records.checkpoint import save_checkpoint
from looped.records.files import write_atomically


@pytest.fixture
def disk(monkeypatch):
    """Every sync and rename in turn, with the path that it was of."""
    events = []
    sync = os.fsync

    def fsync(descriptor):
        events.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        sync(descriptor)

    def renaming(rename):
        def renamed(source, target, **options):
            rename(source, target, **options)
            events.append(("rename", Path(source), Path(target)))

        return renamed

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, renaming(getattr(os, name)))
    return events


def require_durable(events, path):
    """The content is synced under another name, the name given, the folder synced."""
    (renamed,) = [event for event in events if event[0] == "rename" and event[2] == path]
    temporary = renamed[1]
    assert temporary != path
    at = events.index(renamed)
    assert ("sync", temporary) in events[:at]
    assert ("sync", path.parent) in events[at:]


def test_a_file_and_its_name_are_on_the_disk_before_it_counts(disk, tmp_path):
    write_atomically(tmp_path / "config.json", b"{}")
    require_durable(disk, tmp_path / "config.json")
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_checkpoints_tensors_are_on_the_disk_before_what_says_that_they_are(disk, tmp_path):
    save_checkpoint(tmp_path, 7, {"weight": torch.ones(3)}, {})
    tensors, statement = (tmp_path / f"step-00000007.{s}" for s in ("safetensors", "json"))
    for path in (tensors, statement):
        require_durable(disk, path)
    renames = [event[2] for event in disk if event[0] == "rename"]
    assert renames == [tensors, statement]
    of_tensors, of_statement = (i for i, event in enumerate(disk) if event[0] == "rename")
    assert ("sync", tmp_path) in disk[of_tensors:of_statement]
