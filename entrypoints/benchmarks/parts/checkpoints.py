"""Steps that recompute loops beside steps that keep them, in turn."""

import statistics
from dataclasses import replace

from entrypoints.benchmarks import timing
from entrypoints.benchmarks.workbench import Rows, Workbench

SIZE = "small"
BS = (10, 20, 40, 80)


def measure(bench: Workbench) -> Rows:
    """Time a step whose window holds every loop, for several b; ``ratio`` is time for time."""
    for b in BS:
        keeping_config = replace(bench.configuration(f"{SIZE}:{b}", "joint"), loop_window=b)
        configs = (keeping_config, replace(keeping_config, checkpoint_loops=True))
        steps = [timing.our_steps(config, bench.n_seeds) for config in configs]
        for step in steps:
            timing.seconds_of(step, bench.device, 0)
        pairs = [
            [timing.seconds_of(step, bench.device, bench.options.seconds) for step in steps]
            for _ in range(bench.options.rounds)
        ]
        ratios = [recomputes_s / keeps_s for keeps_s, recomputes_s in pairs]
        memory = [
            timing.in_fresh_process(timing.probe, "ours", config, bench.n_seeds, 0, 0.0).mib
            for config in configs
        ]
        yield {
            "name": f"{SIZE}-b{b}",
            "keeps_ms": 1e3 * statistics.median(pair[0] for pair in pairs),
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
            "keeps_mib": memory[0],
            "checkpoint_mib": memory[1],
        }
