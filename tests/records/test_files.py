import multiprocessing
import os
import signal

import pytest

from looped.records.files import write_atomically


def write_often(path, letter):
    for _ in range(50):
        write_atomically(path, letter * 10_000)


def test_processes_that_write_one_file_at_once_leave_it_whole(tmp_path):
    path = tmp_path / "scores.json"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_often, args=(path, letter)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert path.read_bytes() in (b"a" * 10_000, b"b" * 10_000)
    assert list(tmp_path.iterdir()) == [path]


def stop_before_the_rename(path):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = stop
    write_atomically(path, b"new")


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "scores.json"
    write_atomically(path, b"old")
    killed = multiprocessing.get_context("fork").Process(
        target=stop_before_the_rename, args=(path,)
    )
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_lives_keeps_its_temporary_file(tmp_path, monkeypatch):
    path = tmp_path / "scores.json"
    sync = os.fsync

    def another_writes_meanwhile(descriptor):
        monkeypatch.setattr(os, "fsync", sync)
        write_atomically(path, b"another's")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", another_writes_meanwhile)
    write_atomically(path, b"its own")
    assert path.read_bytes() == b"its own"


def test_content_and_name_are_synced(tmp_path, monkeypatch):
    synced = []
    sync = os.fsync

    def note(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_atomically(tmp_path / "scores.json", b"{}")
    temporary, folder = synced
    assert temporary.startswith(str(tmp_path / "scores.json."))
    assert folder == str(tmp_path)


def test_a_full_disk_is_said_with_the_files_name_and_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "scores.json"
    write_atomically(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: .*scores.json"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
