"""Training steps, ours and plain ones in turn."""

import statistics

from entrypoints.benchmarks import timing
from entrypoints.benchmarks.workbench import Row, Rows, Workbench, cell_name
from looped.config import TrainConfig

STEPS = 7500


def measure(bench: Workbench) -> Rows:
    """Time a step of every cell; times are of one step of all seeds.

    ``ratio`` is plain over ours, pair by pair; ``share`` is ours of the rate of a large matrix
    product in its precision (model FLOPs utilisation); ``ready_s`` is how long a fresh process,
    with its libraries loaded, takes to the end of its first step.
    """
    for config in bench.configs:
        yield _measure(config, bench)


def _measure(config: TrainConfig, bench: Workbench) -> Row:
    seeds, device, options = bench.n_seeds, bench.device, bench.options
    plain_step, our_step = (timing.PATHS[path](config, seeds) for path in ("plain", "ours"))
    for step in (plain_step, our_step):
        timing.seconds_of(step, device, 0)
    pairs = [
        [timing.seconds_of(step, device, options.seconds) for step in (plain_step, our_step)]
        for _ in range(options.rounds)
    ]
    plain_s, ours_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [first / second for first, second in pairs]
    plain_probe, ours_probe = (
        timing.in_fresh_process(timing.probe, path, config, seeds, 0, 0.0)
        for path in ("plain", "ours")
    )
    flops = seeds * config.step_flops / ours_s
    return {
        "name": cell_name(config),
        "seeds": seeds,
        "plain_ms": 1e3 * plain_s,
        "ours_ms": 1e3 * ours_s,
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "plain_mib": plain_probe.mib,
        "ours_mib": ours_probe.mib,
        "tflops": flops / 1e12,
        "share": flops / bench.rate,
        "ready_s": ours_probe.ready,
        "run_minutes": STEPS * ours_s / 60,
    }
