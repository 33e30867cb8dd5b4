"""What a person reads on a run's page: a short Markdown text, made from its journal."""

from pathlib import Path

from looped.config import TrainConfig
from looped.counting import counted
from looped.names import Convergence, Metric, Tag
from looped.records.journal import Record
from looped.records.origin import Origin
from looped.titles import title_of
from looped.training.convergence import SHARE, T_OF_BLOCKS


def result(config: TrainConfig, outcome: Record) -> str:
    """Say in one line how good the model is, from the journal's ``outcome``."""
    values = outcome["values"]
    loops = counted(config.b, "loop")
    return (
        f"NMSE {values[Metric.NMSE]:.4g} ± {values[Metric.NMSE_SE]:.2g} "
        f"({values[Metric.BITS]:.2f} bits) after {loops}, "
        f"on {values[Metric.PROMPTS]:,} held-out prompts{_divergence(outcome)}"
    )


def _divergence(outcome: Record) -> str:
    if outcome["tags"].get(Tag.DIVERGED) != "true":
        return ""
    return f"; it diverged, {outcome['advice']}" if "advice" in outcome else "; it diverged"


def describe(config: TrainConfig, outcome: Record, folder: Path, origin: Origin) -> str:
    """Say in Markdown what was trained, what came of it and where it lies.

    Args:
        config: resolved configuration.
        outcome: the journal's record of that kind.
        folder: of the run.
        origin: of the process that trained.
    """
    escape = outcome["values"].get(Metric.ESCAPE_STEP)
    when_left = (
        "never left the plateau" if escape is None else f"left the plateau at step {escape:,}"
    )
    for_whom = " for every prompt" if config.draws_by_prompt else ""
    when_drawn = f" on average, drawn {config.b_draw}{for_whom},"
    how_b_comes = "" if config.b_draw == "fixed" else when_drawn
    ties = f", a stack for each of the {config.b} loops" if config.is_untied else ""
    loss, grad = config.windows
    stops = "" if grad == loss else f" and gradients through {grad} at most"
    lines = [
        f"**{title_of(config)}: {result(config, outcome)}.**",
        "",
        f"- Model: `{config.size}`, {config.model_config.n_params():,} parameters{ties}, "
        f"trained at b = {config.b}{how_b_comes} with loss on the last {loss}{stops}.",
        f"- Task: {config.task_config.title} in {config.n_dims} dimensions, "
        f"{counted(config.n_examples, 'example')}, {config.prompt} prompt.",
        f"- Training: {counted(config.steps, 'step')} of "
        f"{counted(config.batch_size, 'prompt')}, seed {config.seed}, rate {config.rate:g}, "
        f"{config.precision} on {config.device}.",
        *_first_steps(config, origin),
        f"- Its smoothed query error {when_left}{_convergence(outcome)}.",
        *_tail(outcome),
        f"- Code: `{origin.commit[:10]}`{' with uncommitted changes' if origin.is_dirty else ''}; "
        f"journal and checkpoints: `{folder}`.",
    ]
    return "\n".join(lines)


def _convergence(outcome: Record) -> str:
    state, slope = outcome["tags"].get(Tag.CONVERGENCE), outcome["values"].get(Metric.LATE_SLOPE)
    verdict = {
        Convergence.LEARNING: "it was still **learning** when it ended",
        Convergence.SETTLED: "it had **settled**",
    }.get(state, "whether it was still learning, its curve **cannot tell**")
    if slope is None:
        return f"; {verdict}: too few samples of its curve"
    half_width = T_OF_BLOCKS * outcome["values"][Metric.LATE_SLOPE_SE]
    return (
        f"; {verdict}: over the last {SHARE:.0%} of the steps log error went by "
        f"{slope:.2f} ± {half_width:.2f} (95 %) of log step"
    )


def _first_steps(config: TrainConfig, origin: Origin) -> list[str]:
    first = origin.first_steps
    if first is None:
        return []
    flops = config.steps * config.step_flops
    return [
        f"- Its first {counted(first.steps, 'step')} are those of `{first.training}`, which took "
        f"{first.seconds:,.0f} s, and were not trained again: of its {flops:.3g} FLOP "
        f"{flops - first.flops:.3g} were trained here."
    ]


def _tail(outcome: Record) -> list[str]:
    values = outcome["values"]
    if Metric.TAIL_NMSE not in values:
        return []
    return [
        "- The mean of its weights over the last tenth of the steps (`tail`): "
        f"NMSE {values[Metric.TAIL_NMSE]:.4g} ± {values[Metric.TAIL_NMSE_SE]:.2g} "
        f"({values[Metric.TAIL_BITS]:.2f} bits) on the same prompts."
    ]
