"""What cannot fit into memory is refused before anything is made, and nothing else is."""

import resource
import subprocess
import sys
from dataclasses import replace

import pytest
from small_trainings import TINY

from looped import TrainConfig
from looped.training import memory_needs, resolve

MEASURED_MIB = {
    ("tiny", 5, "joint"): 53,
    ("small", 10, "joint"): 408,
    ("medium", 5, "joint"): 966,
    ("tiny", 5, "interleaved"): 108,
    ("small", 10, "interleaved"): 814,
    ("medium", 5, "interleaved"): 1918,
}
"""Of a step of the plain path, by docs/performance.md."""


@pytest.mark.parametrize("cell", MEASURED_MIB, ids=str)
def test_the_estimate_is_from_below_and_near(cell):
    size, b, prompt = cell
    config = TrainConfig(size=size, b=b, prompt=prompt, kernels="off").resolved("cpu", "fp32")
    mib = memory_needs.step_bytes(config) / 2**20
    assert 0.75 * MEASURED_MIB[cell] < mib < 1.05 * MEASURED_MIB[cell]


def test_what_keeps_less_needs_less():
    plain = TrainConfig(size="medium", b=15, kernels="off").resolved("cpu", "fp32")
    needs = memory_needs.step_bytes
    assert needs(replace(plain, checkpoint_loops=True)) < needs(plain) / 2
    assert needs(replace(plain, kernels="fused")) < needs(plain) / 10
    assert needs(replace(plain, loop_window=1)) < needs(plain) / 5


TOO_LARGE = [
    {"batch_size": 2**31 - 1},
    {"n_dims": 2**31 - 1},
    {"n_examples": 2**31 - 2},
    {"task": "relu_network", "n_hidden": 2**31 - 1},
]


@pytest.mark.parametrize("settings", TOO_LARGE, ids=str)
@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_what_cannot_fit_is_refused(settings, kernels):
    with pytest.raises(ValueError, match=r"must fit into the .* GiB .* needs at least .* for a st"):
        resolve.resolve(replace(TINY, kernels=kernels, device="cpu", **settings))


@pytest.mark.parametrize(
    ("b", "b_max", "n_prompts"), [(2**31 - 1, 0, None), (2, 2**31 - 1, 640), (2, 50, 2**31 - 1)]
)
def test_an_evaluation_that_cannot_fit_is_refused(b, b_max, n_prompts):
    config = replace(TINY, b=b).resolved("cpu", "fp32")
    with pytest.raises(ValueError, match=r"must fit into .* for its evaluation"):
        memory_needs.require_room_to_evaluate(config, b_max, n_prompts)
    memory_needs.require_room_to_evaluate(replace(config, b=2, loop_window=None), 50, None)


def test_the_bound_is_what_there_is(monkeypatch):
    config = replace(TINY, kernels="off").resolved("cpu", "fp32")
    needed = memory_needs.step_bytes(config)
    for there in (needed, None):
        monkeypatch.setattr(memory_needs, "memory_of", lambda device, there=there: there)
        memory_needs.require_room(config)
    monkeypatch.setattr(memory_needs, "memory_of", lambda device: needed - 1)
    with pytest.raises(ValueError, match=r"must fit into the 0\.0 GiB of memory that this machine"):
        memory_needs.require_room(config)


def test_a_limit_of_the_process_counts():
    limit = 3 * 2**30
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({limit}, resource.RLIM_INFINITY))
from looped.training import memory_needs
print(memory_needs.memory_of("cpu"))
"""
    unlimited = memory_needs.memory_of("cpu")
    if unlimited is None or unlimited <= limit:
        pytest.skip("this machine has less than 3 GiB")
    if resource.getrlimit(resource.RLIMIT_AS)[1] != resource.RLIM_INFINITY:
        pytest.skip("a limit is set already")
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    if process.returncode != 0:
        pytest.skip("torch does not load in 3 GiB here")
    assert int(process.stdout) == limit


def test_the_smallest_limit_of_a_control_group_counts(monkeypatch):
    monkeypatch.setattr(memory_needs, "_group_limits", lambda: [2**62, 2**20])
    assert memory_needs.memory_of("cpu") == 2**20


@pytest.mark.parametrize(
    ("command", "bs"), [("train", ["--b", "5"]), ("grid", ["--bs", "5", "--sizes", "tiny"])]
)
def test_commands_refuse_it_before_anything_is_made(command, bs, tmp_path):
    words = [*bs, "--batch_size", "2000000000", "--runs_dir", str(tmp_path / "runs")]
    process = subprocess.run(
        [sys.executable, "-m", f"entrypoints.{command}", *words, "--tracking", "offline"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode != 0
    (line,) = process.stderr.splitlines()
    assert line.startswith(f"{command}: trainings must fit into the ")
    assert list(tmp_path.iterdir()) == []
