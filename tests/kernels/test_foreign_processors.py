"""The CPU's kernels on other processors: ARM's in an emulator, and x86's that can do less.

A server (``chain_server.cpp``) is compiled for the processor with the library's options, and gets
the very calls that ``chain.py`` makes of the library.
"""

import copy
import platform
import shutil
import struct
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from kernel_twins import ODD, assert_equal, assert_evaluations_equal, twins

from looped import tasks
from looped.evaluation.held_out import evaluate
from looped.kernels.cpu import library, processor, threads
from looped.kernels.cpu.chain import CpuChain
from looped.model import LoopedTransformer
from looped.sizes import SIZES, ModelConfig
from looped.tasks.task_config import TaskConfig
from looped.windows import Windows

pytestmark = pytest.mark.skipif(library.library() is None, reason="there is no C++ compiler")

OPTIONS = (*library.FLAGS, *(word for word in library.LIBRARY if word != "-shared"))
NUMBER, BUFFER, LIST = range(3)


class Processor(NamedTuple):
    compiler: tuple[str, ...]  # and its options for the processor
    emulator: tuple[str, ...]  # and its options; none where programs run as they are
    lacks: str | None  # why this machine cannot stand for it


def arm(core, emulated):
    compiler = "aarch64-linux-gnu-g++"
    names = ("qemu-aarch64-static", "qemu-aarch64")
    emulator = next(filter(shutil.which, names), None)
    lacks = None if emulator else f"there is no emulator {' or '.join(names)}"
    if not shutil.which(compiler):
        lacks = f"there is no cross compiler {compiler}"
    return Processor((compiler, f"-mcpu={core}", "-static"), (emulator, "-cpu", emulated), lacks)


def x86(features, options):
    target, lacks = ("-march=native", *options), None
    if target == processor.target():
        lacks = "that is this machine's own path, which other tests run"
    elif platform.machine() not in ("x86_64", "AMD64") or not processor.features() >= features:
        lacks = f"this is no x86 processor with {' and '.join(sorted(features)) or 'anything'}"
    return Processor((*(library._compiler() or ()), *target), (), lacks)


PROCESSORS = {
    "arm": arm("cortex-a72", "cortex-a72"),
    "arm_sve": arm("neoverse-v1", "max"),
    **{
        "_".join(sorted(features)) or "x86": x86(features, way) for features, way in processor.PATHS
    },
}
QUICK = ("arm",)  # each takes seconds to compile


class Server:
    """Answers the library's calls in a process of its own; writes into what it is given."""

    def __init__(self, process):
        self.process, self.lock = process, threading.Lock()
        self.calls = set()

    def __getattr__(self, name):
        return partial(self.call, name)

    def call(self, name, *arguments):
        buffers = []
        self.calls.add(name)
        with self.lock:
            request = struct.pack("q", len(name)) + name.encode()
            request += b"".join(encoded(argument, buffers) for argument in arguments)
            self.process.stdin.write(request)
            self.process.stdin.flush()
            answer = self.process.stdout.read(8)
            assert len(answer) == 8, f"{name} ended the server: {self.process.wait()}"
            for buffer in buffers:
                assert self.process.stdout.readinto(buffer) == len(buffer)
        return struct.unpack("q", answer)[0]


def encoded(argument, buffers):
    argument = getattr(argument, "_obj", argument)  # which ctypes.byref hands over
    if isinstance(argument, int):
        return struct.pack("qq", NUMBER, argument)
    if isinstance(argument, (list, tuple)):
        parts = b"".join(encoded(part, buffers) for part in argument)
        return struct.pack("qq", LIST, len(argument)) + parts
    if isinstance(argument, torch.Tensor):
        assert argument.is_contiguous()
        argument = argument.detach().numpy().reshape(-1)
    buffers.append(memoryview(argument).cast("B"))
    return struct.pack("qq", BUFFER, len(buffers[-1])) + bytes(buffers[-1])


def served_chain(server, config, checkpoint_loops=False):
    """Return the CPU's loops with the server in the library's place."""
    chain = CpuChain(config, checkpoint_loops)
    chain.functions, chain._call = server, server.call
    return chain


@contextmanager
def served(target, folder):
    if target.lacks:
        pytest.skip(target.lacks)
    program, source = folder / "chain_server", Path(__file__).with_name("chain_server.cpp")
    command = [*target.compiler, *OPTIONS, f"-I{library.FOLDER}", "-o", program, source]
    subprocess.run(command, check=True)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*target.emulator, program], **pipes) as process:
        yield Server(process)
        process.stdin.close()
        assert process.wait(timeout=60) == 0


TRAININGS = [  # size, b of each model, settings, windows, loops of each prompt
    (SIZES["tiny"], [1], {}, None, None),
    (SIZES["tiny"], [2], {"prompt": "interleaved", "n_examples": 20}, None, None),
    (ODD, [3, 1], {"n_examples": 20}, None, None),
    (ODD, [7], {"prompt": "interleaved", "checkpoint_loops": True}, None, None),
    (ODD, [5], {"checkpoint_loops": True}, Windows(loss=3, grad=2), (5, 2, 4)),
]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PROCESSORS],
)
def test_another_processor_has_the_same_numbers(name, tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "n_threads", lambda: 2)
    with served(PROCESSORS[name], tmp_path) as server:
        for size, bs, settings, windows, loops in TRAININGS:
            plain, compiled, xs, ys = twins(monkeypatch, size, bs, **settings)
            foreign = copy.copy(compiled)
            foreign.cpu_chain = served_chain(server, plain.config, plain.checkpoint_loops)
            for model in (plain, compiled, foreign) if windows else ():
                model.windows, model.seen = windows, torch.tensor([windows.loss])
            for twin in (plain, compiled):
                assert_equal(twin, foreign, xs, ys, loops)
        monkeypatch.setattr("looped.evaluation.held_out.CpuChain", partial(served_chain, server))
        evaluate_as_the_model_predicts()
        assert server.calls >= {"train", "finish_gradients", "predict"}


def evaluate_as_the_model_predicts():
    torch.manual_seed(0)
    model = LoopedTransformer.from_config(ModelConfig(ODD, 3, 21, "interleaved"))
    task = tasks.from_config(TaskConfig("linear", 3))
    plain = evaluate(model, task, 3, 5, kernels="off")
    assert_evaluations_equal(plain, evaluate(model, task, 3, 5))
