"""Evaluation far beyond b."""

from entrypoints.benchmarks import timing
from entrypoints.benchmarks.workbench import Row, Rows, Workbench
from looped import tasks
from looped.config import TrainConfig
from looped.evaluation.held_out import DRAWS_ON_GPU, PROMPTS_PER_BATCH, evaluate
from looped.training import loop
from looped.training.outcome import HELD_OUT_PROMPTS

LOOPS = 50
FEWEST = 16
EXPECTED_SHARE = 0.5  # of the machine's rate; only decides how many prompts to time


def measure(bench: Workbench) -> Rows:
    """Time prompts to ``LOOPS`` loops, for each size and prompt; always in float32."""
    for config in {(config.size, config.prompt): config for config in bench.configs}.values():
        yield _measure(config, bench)


def _measure(config: TrainConfig, bench: Workbench) -> Row:
    task = tasks.from_config(config.task_config)
    model = loop.seeded_model(config).to(config.device)
    flops = config.model_config.forward_flops(LOOPS)
    batch = PROMPTS_PER_BATCH * (DRAWS_ON_GPU if config.device == "cuda" else 1)
    affordable = int(bench.options.seconds * EXPECTED_SHARE * bench.rate / flops)
    n_prompts = min(batch, max(FEWEST, affordable))
    rounds = max(1, bench.options.rounds // 2)
    evaluate(model, task, 1, FEWEST)
    seconds = timing.median_seconds(
        lambda: evaluate(model, task, LOOPS, n_prompts), config.device, rounds, 0
    )
    per_second = n_prompts / seconds
    return {
        "name": f"evaluation-{config.size}-{config.prompt}",
        "loops": LOOPS,
        "prompts": n_prompts,
        "prompts_per_s": per_second,
        "tflops": per_second * flops / 1e12,
        "share": per_second * flops / bench.rate,
        "run_minutes": HELD_OUT_PROMPTS / per_second / 60,
    }
