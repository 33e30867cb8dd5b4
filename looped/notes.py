"""What a person reads on a run's page: a short Markdown text."""

from pathlib import Path

from looped.training import Trained

_TASKS = {
    "linear": "linear regression",
    "noisy_linear": "noisy linear regression (noise_std {noise_std})",
    "sparse_linear": "sparse linear regression ({sparsity} non-zeros)",
    "decision_tree": "decision trees of depth {tree_depth}",
    "relu_network": "two-layer ReLU networks of {n_hidden} hidden units",
}


def result(trained: Trained) -> str:
    """Say in one line how good the model is."""
    outcome = trained.outcome
    loops = "1 loop" if trained.config.b == 1 else f"{trained.config.b} loops"
    return (
        f"NMSE {outcome['held_out/nmse']:.4g} ± {outcome['held_out/nmse_se']:.2g} "
        f"({outcome['held_out/bits']:.2f} bits) after {loops}, "
        f"on {outcome['held_out/prompts']:,} held-out prompts"
    )


def describe(trained: Trained, folder: Path, git: tuple[str, bool | None]) -> str:
    """Say in Markdown what was trained, what came of it and where it lies."""
    config, shape = trained.config, trained.model.config
    task = _TASKS[config.task].format(**config.task_config.content)
    escape = trained.curves.escape_step
    left = "never left the plateau" if escape is None else f"left the plateau at step {escape:,}"
    commit, is_dirty = git
    lines = [
        f"**{config.name}: {result(trained)}.**",
        "",
        f"- Model: `{config.size}`, {shape.n_params():,} parameters, trained at b = {config.b} "
        f"with loss on the last {config.window}.",
        f"- Task: {task} in {config.n_dims} dimensions, {config.n_examples} examples, "
        f"{config.prompt} prompt.",
        f"- Training: {config.steps:,} steps of {config.batch_size} prompts, seed {config.seed}, "
        f"rate {config.rate:g}, {config.precision} on {config.device}.",
        f"- Its smoothed query error {left}{_convergence(trained)}.",
        f"- Code: `{commit[:10]}`{' with uncommitted changes' if is_dirty else ''}; "
        f"journal and checkpoints: `{folder}`.",
    ]
    return "\n".join(lines)


def _convergence(trained: Trained) -> str:
    fall = trained.curves.late_fall
    if fall is None:
        return ""
    verdict = ", still falling: **unconverged**" if trained.curves.unconverged else ""
    return f"; over the last fifth it went to {fall:.2f} of its value{verdict}"
