"""What a person reads on a run's page: a short Markdown text, made from its journal."""

from pathlib import Path

from looped.config import TrainConfig
from looped.records.journal import Record
from looped.records.origin import Origin

_TASKS = {
    "linear": "linear regression",
    "noisy_linear": "noisy linear regression (noise_std {noise_std})",
    "sparse_linear": "sparse linear regression ({sparsity} non-zeros)",
    "decision_tree": "decision trees of depth {tree_depth}",
    "relu_network": "two-layer ReLU networks of {n_hidden} hidden units",
}


def result(config: TrainConfig, outcome: Record) -> str:
    """Say in one line how good the model is, from the journal's ``outcome``."""
    values = outcome["values"]
    loops = "1 loop" if config.b == 1 else f"{config.b} loops"
    return (
        f"NMSE {values['held_out/nmse']:.4g} ± {values['held_out/nmse_se']:.2g} "
        f"({values['held_out/bits']:.2f} bits) after {loops}, "
        f"on {values['held_out/prompts']:,} held-out prompts"
    )


def describe(config: TrainConfig, outcome: Record, folder: Path, origin: Origin) -> str:
    """Say in Markdown what was trained, what came of it and where it lies.

    Args:
        config: resolved configuration.
        outcome: the journal's record of that kind.
        folder: of the run.
        origin: of the process that trained.
    """
    task = _TASKS[config.task].format(**config.task_config.content)
    escape = outcome["values"].get("escape_step")
    left = "never left the plateau" if escape is None else f"left the plateau at step {escape:,}"
    drawn = "" if config.b_draw == "fixed" else f" on average, drawn {config.b_draw},"
    lines = [
        f"**{config.name}: {result(config, outcome)}.**",
        "",
        f"- Model: `{config.size}`, {config.model_config.n_params():,} parameters, "
        f"trained at b = {config.b}{drawn} with loss on the last {config.window}.",
        f"- Task: {task} in {config.n_dims} dimensions, {config.n_examples} examples, "
        f"{config.prompt} prompt.",
        f"- Training: {config.steps:,} steps of {config.batch_size} prompts, seed {config.seed}, "
        f"rate {config.rate:g}, {config.precision} on {config.device}.",
        f"- Its smoothed query error {left}{_convergence(outcome)}.",
        f"- Code: `{origin.commit[:10]}`{' with uncommitted changes' if origin.is_dirty else ''}; "
        f"journal and checkpoints: `{folder}`.",
    ]
    return "\n".join(lines)


def _convergence(outcome: Record) -> str:
    fall = outcome["values"].get("final/late_fall")
    if fall is None:
        return ""
    is_falling = outcome["tags"]["unconverged"] == "true"
    verdict = ", still falling: **unconverged**" if is_falling else ""
    return f"; over the last fifth it went to {fall:.2f} of its value{verdict}"
