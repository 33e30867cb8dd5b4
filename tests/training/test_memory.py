"""The peak of a training's memory: what it adds, whatever the process held and freed before."""

import sys

import pytest
import torch

from looped.training.memory import PeakMemory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
MIB = 2**20


def test_it_is_what_was_added_at_most_even_if_freed_since():
    before = torch.ones(20 * MIB // 4)
    memory = PeakMemory("cpu")
    torch.ones(64 * MIB // 4)  # freed at once
    more = torch.ones(8 * MIB // 4)
    assert memory.peak_mib() == pytest.approx(64, abs=12)
    assert len(before) > len(more)


def test_what_was_freed_before_counts_when_it_is_taken_again():
    parts = [torch.ones(MIB // 16) for _ in range(200)]  # small enough for the heap: 50 MiB
    del parts
    memory = PeakMemory("cpu")
    parts = [torch.ones(MIB // 16) for _ in range(200)]
    assert memory.peak_mib() == pytest.approx(50, abs=12)
    assert len(parts) == 200


def test_the_peak_before_is_forgotten():
    torch.ones(128 * MIB // 4)
    assert PeakMemory("cpu").peak_mib() < 12
