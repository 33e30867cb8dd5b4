"""Time training steps beside those of a plain implementation, in turn; print a table."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entrypoints import arguments
from looped.config import DEVICES, PRECISIONS, PROMPTS, SIZES, TrainConfig
from looped.rules import check_choices, require, require_one_of, require_whole, setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BenchmarkOptions:
    """What to time."""

    cells: str = setting("auto", "size:b, several with commas; auto: what suits the device")
    prompts: str = setting("joint,interleaved", "prompts to time them with")
    seeds: str = setting("auto", "replicas that train as one program; auto: 3 on a GPU, else 1")
    rounds: int = setting(5, "pairs of measurements, plain and ours in turn")
    seconds: float = setting(2.0, "of either, in each round")
    precision: str = setting("auto", "ours; plain is always fp32", PRECISIONS)
    device: str = setting("auto", "auto: a GPU where there is one", DEVICES)
    json: str = setting("auto", "file to write the figures to; auto: none")
    memory_of: str = setting("auto", "of one path alone: used by the benchmark itself")

    def __post_init__(self) -> None:
        check_choices(self)
        require_whole("rounds", self.rounds, 1)
        require(self.seconds > 0, "seconds must be above 0", self.seconds)
        for prompt in self.prompts.split(","):
            require_one_of("prompts", prompt, PROMPTS)
        if self.seeds != "auto":
            require(
                self.seeds.isdecimal() and int(self.seeds) > 0,
                "seeds must be 1 or more",
                self.seeds,
            )
        for cell in self.chosen_cells("cpu"):
            size, _, b = cell.partition(":")
            require_one_of("size of a cell", size, tuple(SIZES))
            require(b.isdecimal() and int(b) > 0, "b of a cell must be 1 or more", cell)

    def chosen_cells(self, device: str) -> list[str]:
        """The cells as words."""
        suited = "tiny:15,small:15,medium:15" if device == "cuda" else "tiny:5,small:10,medium:5"
        return (suited if self.cells == "auto" else self.cells).split(",")

    def n_seeds(self, device: str) -> int:
        """Replicas of a program."""
        if self.seeds == "auto":
            return 3 if device == "cuda" else 1
        return int(self.seeds)


@dataclass(frozen=True)
class Figures:
    """What was measured of one cell; times are of one step of all seeds.

    ``ratio`` is plain over ours, pair by pair; ``share`` is ours of the measured rate of a
    large matrix product in its precision (model FLOPs utilisation).
    """

    cell: str
    prompt: str
    seeds: int
    plain_ms: float
    ours_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    plain_mib: float
    ours_mib: float
    tflops: float
    share: float
    ready_s: float
    run_minutes: float


def main() -> int:
    """Measure and print; return the exit code."""
    (options,) = arguments.parse("benchmark", __doc__, BenchmarkOptions)
    import torch

    from looped import training

    words = {"precision": options.precision, "device": options.device}
    try:
        base = training.resolve(TrainConfig(**words))
    except ValueError as error:
        return arguments.complain("benchmark", error)
    configs = [
        replace(base, size=size, b=int(b), prompt=prompt, learning_rate=None, loop_window=None)
        for prompt in options.prompts.split(",")
        for size, b in (cell.split(":") for cell in options.chosen_cells(base.device))
    ]
    seeds = options.n_seeds(base.device)
    if options.memory_of != "auto":
        print(_memory(options.memory_of, training.resolve(configs[0]), seeds))
        return 0
    name = torch.cuda.get_device_name() if base.device == "cuda" else "CPU"
    rate = _matrix_rate(base.device, base.precision)
    print(
        f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, ours in "
        f"{base.precision}; a large matrix product reaches {rate / 1e12:.3g} TFLOP/s"
    )
    figures = []
    print(_HEADER)
    for config in map(training.resolve, configs):
        figures.append(_measure(config, seeds, options, rate))
        print(_line(figures[-1]), flush=True)
    if options.json != "auto":
        about = {"device": name, "torch": torch.__version__, "precision": base.precision}
        content = {**about, "matrix_tflops": rate / 1e12, "cells": [asdict(f) for f in figures]}
        Path(options.json).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0


_HEADER = (
    "| size:b | prompt | seeds | plain, ms | ours, ms | ratio (lowest to highest) | plain, MiB "
    "| ours, MiB | TFLOP/s | of the rate | first step after | 7,500 steps |\n" + "|---" * 12 + "|"
)


def _line(f: Figures) -> str:
    return (
        f"| {f.cell} | {f.prompt} | {f.seeds} | {f.plain_ms:.4g} | {f.ours_ms:.4g} "
        f"| {f.ratio:.2f} ({f.ratio_low:.2f} to {f.ratio_high:.2f}) | {f.plain_mib:,.0f} "
        f"| {f.ours_mib:,.0f} | {f.tflops:.3g} | {f.share:.1%} | {f.ready_s:.1f} s "
        f"| {f.run_minutes:.1f} min |"
    )


def _measure(config: TrainConfig, seeds: int, options: BenchmarkOptions, rate: float) -> Figures:
    """Time both paths in turn, after each has taken its first steps."""
    begun = time.perf_counter()
    ours = _ours(config, seeds)
    _seconds(ours, config.device, 0)
    ready = time.perf_counter() - begun
    plain = _plain(config, seeds)
    _seconds(plain, config.device, 0)
    times = [
        [_seconds(step, config.device, options.seconds) for step in (plain, ours)]
        for _ in range(options.rounds)
    ]
    plain_s, ours_s = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [first / second for first, second in times]
    flops = seeds * config.step_flops / ours_s
    return Figures(
        f"{config.size}:{config.b}",
        config.prompt,
        seeds,
        1e3 * plain_s,
        1e3 * ours_s,
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        _memory_apart("plain", config, seeds),
        _memory_apart("ours", config, seeds),
        flops / 1e12,
        flops / rate,
        ready,
        7500 * ours_s / 60,
    )


def _prompts(config: TrainConfig, seeds: int) -> "list[tuple[Tensor, Tensor]]":
    from looped import tasks

    task = tasks.from_config(config.task_config)
    size = (config.batch_size, config.n_examples + 1)
    return [task.batch(seed, 0, *size, device=config.device) for seed in range(seeds)]


def _ours(config: TrainConfig, seeds: int) -> Callable[[], object]:
    import torch

    from looped import training
    from looped.replicas import Replicas
    from looped.steps import step_of

    configs = [replace(config, seed=seed) for seed in range(seeds)]
    xs, ys = (torch.stack(parts) for parts in zip(*_prompts(config, seeds), strict=True))
    replicas = Replicas([training.seeded_model(own) for own in configs], configs)
    step = step_of(replicas)
    return lambda: step((xs, ys), config.rate, None)


def _plain(config: TrainConfig, seeds: int) -> Callable[[], object]:
    from entrypoints.plain_training import plain_step
    from looped import training

    steps = [
        plain_step(training.seeded_model(replace(config, seed=seed)).to(config.device), config)
        for seed in range(seeds)
    ]
    prompts = _prompts(config, seeds)
    return lambda: [step(*own) for step, own in zip(steps, prompts, strict=True)]


def _seconds(step: Callable[[], object], device: str, least: float) -> float:
    """Take steps for at least so many seconds, three at least; return the seconds of one."""
    taken, batch = 0, 3
    _wait(device)
    begun = time.perf_counter()
    while True:
        for _ in range(batch):
            step()
        _wait(device)
        taken += batch
        passed = time.perf_counter() - begun
        if passed >= least:
            return passed / taken
        batch = max(1, min(1000, int((least - passed) / (passed / taken)) + 1))


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _matrix_rate(device: str, precision: str) -> float:
    """FLOP/s of a large matrix product: the limit that shares are measured against."""
    import torch

    side = 8192 if device == "cuda" else 2048
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    _seconds(lambda: left @ right, device, 0)
    return float(2 * side**3 / _seconds(lambda: left @ right, device, 1.0))


def _memory_apart(path: str, config: TrainConfig, seeds: int) -> float:
    """Ask a process of its own how much memory a path takes."""
    words: dict[str, Any] = {
        "memory_of": path,
        "cells": f"{config.size}:{config.b}",
        "prompts": config.prompt,
        "seeds": seeds,
        "precision": config.precision,
        "device": config.device,
    }
    command = [sys.executable, "-m", "entrypoints.benchmark"]
    command += [part for name, value in words.items() for part in (f"--{name}", str(value))]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(answer.stdout)


def _memory(path: str, config: TrainConfig, seeds: int) -> float:
    """MiB that a few steps take: of the GPU's memory, or beyond what the process had before."""
    import torch

    make: Sequence[Callable[[TrainConfig, int], Callable[[], object]]] = (_plain, _ours)
    before = _resident_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
    step = make[path == "ours"](config, seeds)
    _seconds(step, config.device, 0)
    if config.device == "cuda":
        return float(torch.cuda.max_memory_allocated() / 2**20)
    return _resident_mib("VmHWM") - before


def _resident_mib(name: str) -> float:
    """Memory of this process as Linux counts it: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(name))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
