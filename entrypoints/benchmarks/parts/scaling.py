"""How the time and the memory of a step grow, and those of planning a grid."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import NamedTuple

from entrypoints.benchmarks import commands, growth, timing
from entrypoints.benchmarks.timing import Probe
from entrypoints.benchmarks.wide_config import WideConfig
from entrypoints.benchmarks.workbench import Row, Rows, Workbench
from looped.config import TrainConfig
from looped.grid.options import GridOptions, RunOptions

SIZE = "small"
B = 5


class Case(NamedTuple):
    """What is timed at one x."""

    config: TrainConfig
    seeds: int = 1


class Axis(NamedTuple):
    """What a cost is measured against, and what that changes."""

    values: Sequence[int]
    case: Callable[[TrainConfig, int], Case]


def _wide(base: TrainConfig, width: int) -> WideConfig:
    return WideConfig(**asdict(base), n_embd=width)


AXES = {
    "b": Axis(
        (1, 2, 3, 4, 6, 8, 11, 15),
        lambda base, b: Case(replace(base, b=b, loop_window=b)),
    ),
    "N": Axis(
        (15, 31, 63, 95, 127, 191, 255),
        lambda base, n: Case(replace(base, n_examples=n)),
    ),
    "batch": Axis(
        (8, 16, 32, 64, 96, 128, 192, 256),
        lambda base, batch: Case(replace(base, batch_size=batch)),
    ),
    "width": Axis(
        (16, 32, 64, 96, 128, 192, 256),
        lambda base, width: Case(_wide(base, width)),
    ),
    "replicas": Axis((1, 2, 3, 4, 6, 8), Case),
}
CELLS = (100, 200, 400, 800, 1600, 3200, 6400, 12800)


def measure(bench: Workbench) -> Rows:
    """Yield a curve for each axis, with the exponents of its upper half."""
    base = bench.configuration(f"{SIZE}:{B}", "joint")
    rounds, least = bench.options.rounds, bench.options.seconds / 2
    for name, axis in AXES.items():
        cases = [axis.case(base, x) for x in axis.values]
        probes = [
            timing.in_fresh_process(timing.probe, "ours", case.config, case.seeds, rounds, least)
            for case in cases
        ]
        yield curve(name, axis.values, probes, [flops_of(case) for case in cases])
    probes = [timing.in_fresh_process(planning, n_cells) for n_cells in CELLS]
    yield curve("cells", CELLS, probes)


def flops_of(case: Case) -> int:
    """FLOPs of the matrix products of a step."""
    return case.seeds * case.config.step_flops


def curve(
    name: str, xs: Sequence[int], probes: Sequence[Probe], flops: Sequence[float] = ()
) -> Row:
    """Fit what was measured against ``xs``; with ``flops``, their exponent beside it."""
    ms = [1e3 * probe.seconds for probe in probes]
    mib = [probe.mib for probe in probes]
    time_fit, memory_fit = growth.exponent(xs, ms), growth.exponent(xs, mib)
    row: Row = {
        "name": f"scaling-{name}",
        "against": name,
        "xs": list(xs),
        "ms": ms,
        "mib": mib,
        "time_exponent": time_fit.value,
        "time_se": time_fit.se,
        "memory_exponent": memory_fit.value,
        "memory_se": memory_fit.se,
    }
    if name not in ("N", "width"):  # attention and products grow with the square of these
        row |= {f"{what}_ms": value for what, value in growth.line(xs, ms)._asdict().items()}
    if flops:
        row["flops_exponent"] = growth.exponent(xs, flops).value
    return row


def planning(n_trainings: int) -> Probe:
    """Plan a grid of so many trainings, none of them begun, from the lists to the groups."""
    from looped.grid.lists import Lists, cross
    from looped.grid.runner import GridRunner
    from looped.training.groups import replica_groups

    lists = replace(Lists(), seeds=tuple(range(-(-n_trainings // 12))), device=("cpu",))
    before = timing.peak_mib()
    start = time.perf_counter()
    with commands.temporary_place() as place:
        options = RunOptions(tracking="offline", runs_dir=str(place.folder / "runs"))
        runner = GridRunner(cross(lists)[:n_trainings], {}, GridOptions(), options)
        replica_groups(runner.to_train, "auto")
    return Probe(time.perf_counter() - start, timing.peak_mib() - before)
