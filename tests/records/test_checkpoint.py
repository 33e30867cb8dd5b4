import logging

import pytest
import torch

from looped.records.checkpoint import load_checkpoints, newest_step, save_checkpoint
from looped.records.damage import UnwritableError
from looped.records.files import seal

STATE = {"step": 7, "average": 0.1 + 0.2, "pending": [[1e-300, 2.5]]}


def save_at(folder, *steps):
    for step in steps:
        tensors = {"weight": torch.full((3,), float(step)), "half": torch.ones(2).bfloat16()}
        save_checkpoint(folder, step, tensors, {**STATE, "step": step})


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    tensors = {"a": torch.randn(5, 3), "b": torch.arange(4)}
    save_checkpoint(tmp_path, 7, tensors, STATE)
    checkpoint = next(load_checkpoints(tmp_path), None)
    assert checkpoint.step == 7
    assert checkpoint.state == STATE
    assert all(torch.equal(checkpoint.tensors[name], tensors[name]) for name in tensors)


def test_the_last_two_by_number_are_kept(tmp_path):
    save_at(tmp_path, 9, 10, 100_000_000)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "step-00000010.json",
        "step-00000010.safetensors",
        "step-100000000.json",
        "step-100000000.safetensors",
    ]
    assert next(load_checkpoints(tmp_path), None).step == 100_000_000


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    tmp_path, caplog, suffix, damage
):
    save_at(tmp_path, 1, 2)
    path = tmp_path / f"step-00000002.{suffix}"
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "gone":
        path.unlink()
    else:
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"cut": content[:middle], "flip": flipped, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        assert next(load_checkpoints(tmp_path), None).step == 1
    if (suffix, damage) != ("json", "gone"):  # without its JSON a checkpoint never was
        assert "step-00000002.json is damaged" in caplog.text


def test_without_a_whole_checkpoint_there_is_none(tmp_path):
    assert next(load_checkpoints(tmp_path / "missing"), None) is None
    save_at(tmp_path, 1)
    (tmp_path / "step-00000001.safetensors").write_bytes(b"?")
    assert next(load_checkpoints(tmp_path), None) is None


def test_stray_files_are_no_checkpoints_and_stay(tmp_path):
    save_at(tmp_path, 1, 2)
    strays = ["step-abc.json", "step-.json", "step-7.json.tmp", "step-2.json", "notes.json"]
    for name in strays:
        (tmp_path / name).write_text("{}")
    (tmp_path / "step-00000009.json").mkdir()
    assert [checkpoint.step for checkpoint in load_checkpoints(tmp_path)] == [2, 1]
    save_at(tmp_path, 3, 4)
    assert newest_step(tmp_path) == 4
    assert [checkpoint.step for checkpoint in load_checkpoints(tmp_path)] == [4, 3]
    assert {path.name for path in tmp_path.iterdir()} >= {*strays, "step-00000009.json"}


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        seal({}),
        seal({"step": 1, "tensors_sha256": "x", "state": {}}),
        b"\xff",
    ],
)
def test_whatever_a_description_holds_the_one_before_is_taken(tmp_path, caplog, content):
    save_at(tmp_path, 1, 2)
    (tmp_path / "step-00000002.json").write_bytes(content)
    assert [checkpoint.step for checkpoint in load_checkpoints(tmp_path)] == [1]
    (line,) = caplog.messages
    assert "step-00000002.json is damaged" in line
    assert "\n" not in line


def test_a_checkpoint_under_another_number_is_none(tmp_path):
    save_at(tmp_path, 1, 2)
    for suffix in ("json", "safetensors"):
        path = tmp_path / f"step-00000002.{suffix}"
        path.rename(tmp_path / f"step-00000005.{suffix}")
    assert [checkpoint.step for checkpoint in load_checkpoints(tmp_path)] == [1]


def test_where_nothing_can_be_written_the_place_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(UnwritableError, match=r"got .*/checkpoints/step-00000001.safetensors: "):
        save_at(tmp_path / "checkpoints", 1)
