"""What a training came to: how many prompts to judge it by, its figures, its tags."""

from collections.abc import Mapping
from typing import Any

from looped.config import TrainConfig
from looped.evaluation.held_out import Evaluation
from looped.training.curve import PLATEAU_ABOVE, TrainingCurve

HELD_OUT_PROMPTS = 12_800
FEWEST_PROMPTS = 640


def facts(config: TrainConfig, outcome: Mapping[str, float]) -> dict[str, Any]:
    """Say what a user of the saved model should know of it."""
    settings = ("name", "size", "b", "seed", "n_examples", "steps", "precision", "identity")
    return {name: getattr(config, name) for name in settings} | {
        "recipe": config.recipe_identity,
        "task": config.task_config.content,
        "held_out/nmse": outcome["held_out/nmse"],
    }


def affordable_prompts(config: TrainConfig) -> int:
    """Count the held-out prompts that a training affords: fewer where it is short.

    Running one costs a third of training on it.
    """
    return min(HELD_OUT_PROMPTS, max(FEWEST_PROMPTS, int(0.3 * config.steps * config.batch_size)))


def assess(
    evaluation: Evaluation, config: TrainConfig, curve: TrainingCurve
) -> tuple[dict[str, float], dict[str, str]]:
    """Say what the training came to and how it went."""
    nmse = float(evaluation.nmse[config.b - 1])
    outcome = {
        **{f"final/{name}": value for name, value in curve.last.items()},
        **{f"best/{name}": value for name, value in curve.best.items()},
        "held_out/nmse": nmse,
        "held_out/nmse_se": float(evaluation.nmse_se[config.b - 1]),
        "held_out/bits": float(evaluation.bits[config.b - 1]),
        "held_out/prompts": evaluation.query_errors.shape[1],
    }
    if curve.late_fall is not None:
        outcome["final/late_fall"] = curve.late_fall
    if curve.escape_step is not None:
        outcome["escape_step"] = curve.escape_step
    tags = {
        "escape_step": "never" if curve.escape_step is None else str(curve.escape_step),
        "plateau": str(nmse > PLATEAU_ABOVE).lower(),
        "unconverged": str(curve.unconverged).lower(),
    }
    return outcome, tags
