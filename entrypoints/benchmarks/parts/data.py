"""Drawing the prompts of a step."""

from dataclasses import replace

from entrypoints.benchmarks import timing
from entrypoints.benchmarks.workbench import Rows, Workbench, cell_name
from looped import tasks
from looped.tasks.kinds import TASK_KINDS


def measure(bench: Workbench) -> Rows:
    """Time a batch of every task; ``share`` is of a step of the smallest cell."""
    options, points = bench.options, bench.base.n_examples + 1
    for name in TASK_KINDS:
        task = tasks.from_config(replace(bench.base, task=name).task_config)
        seconds = timing.median_seconds(
            lambda task=task: task.batch(0, 0, options.batch_size, points, device=bench.device),  # type: ignore[misc]
            bench.device,
            options.rounds,
            options.seconds / 10,
        )
        yield {
            "name": f"data-{name}",
            "ms": 1e3 * seconds,
            "prompts_per_s": options.batch_size / seconds,
            "share": seconds / bench.smallest_step_seconds,
            "of": cell_name(bench.smallest_config),
        }
