"""What a training came to: how many prompts to judge it by, its figures, its tags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from looped.config import TrainConfig
from looped.evaluation.held_out import Evaluation
from looped.names import Metric, Tag
from looped.records.checkpoint import load_checkpoints
from looped.records.journal import Record
from looped.training.convergence import conclude_curve, samples_of
from looped.training.curve import DIVERGED_ABOVE, PLATEAU_ABOVE, DivergedError, TrainingCurve

HELD_OUT_PROMPTS = 12_800
FEWEST_PROMPTS = 640


def facts(config: TrainConfig, outcome: Mapping[str, float]) -> dict[str, Any]:
    """Say what a user of the saved model should know of it."""
    settings = ("name", "size", "b", "seed", "n_examples", "steps", "precision", "identity")
    return {name: getattr(config, name) for name in settings} | {
        "recipe": config.recipe_identity,
        "task": config.task_config.content,
        Metric.NMSE: outcome[Metric.NMSE],
    }


def affordable_prompts(config: TrainConfig) -> int:
    """Count the held-out prompts that a training affords: fewer where it is short.

    Running one costs a third of training on it.
    """
    return min(HELD_OUT_PROMPTS, max(FEWEST_PROMPTS, int(0.3 * config.steps * config.batch_size)))


def last_good(checkpoints: Path, end: int) -> str:
    """Name the newest checkpoint of a folder from before a training diverged.

    Args:
        checkpoints: the folder.
        end: the step at which that showed, because of the weights that the step before it left.
    """
    for checkpoint in load_checkpoints(checkpoints):
        curve = TrainingCurve.of_state(checkpoint.state)
        if 0 < curve.step < end - 1 and curve.diverging_since is None:
            name = f"{checkpoints.name}/step-{checkpoint.step:08d}.safetensors"
            return f"the last good checkpoint is {name}"
    return "no checkpoint from before is left"


def require_finite(evaluation: Evaluation) -> None:
    """Raise DivergedError if a number of an evaluation is infinite or NaN."""
    errors = np.stack([evaluation.query_errors.max(axis=1), evaluation.point_nmse.max(axis=1)])
    moves = np.concatenate([[0.0], evaluation.state_change])
    bad_loops = np.flatnonzero(~np.isfinite(errors).all(axis=0) | ~np.isfinite(moves))
    if len(bad_loops):
        raise DivergedError(
            f"errors on held-out prompts must stay finite, after loop {bad_loops[0] + 1} "
            f"they were {errors[:, bad_loops[0]].max():.3g}"
        )


def assess(
    evaluation: Evaluation,
    tail_evaluation: Evaluation | None,
    config: TrainConfig,
    curve: TrainingCurve,
    records: Sequence[Record],
) -> tuple[dict[str, float], dict[str, str]]:
    """Say what the training came to and how it went.

    Args:
        evaluation: of the last step's weights.
        tail_evaluation: of the mean of the weights over the tail, if it was kept.
        config: resolved.
        curve: of the whole training.
        records: of its journal, without what was computed again.
    """
    nmse = float(evaluation.nmse[config.b - 1])
    outcome = {
        **{Metric.FINAL + name: value for name, value in curve.last.items()},
        **{Metric.BEST + name: value for name, value in curve.best.items()},
        Metric.NMSE: nmse,
        Metric.NMSE_SE: float(evaluation.nmse_se[config.b - 1]),
        Metric.BITS: float(evaluation.bits[config.b - 1]),
        Metric.PROMPTS: evaluation.query_errors.shape[1],
    }
    if tail_evaluation is not None:
        outcome |= {
            Metric.TAIL_NMSE: float(tail_evaluation.nmse[config.b - 1]),
            Metric.TAIL_NMSE_SE: float(tail_evaluation.nmse_se[config.b - 1]),
            Metric.TAIL_BITS: float(tail_evaluation.bits[config.b - 1]),
        }
    slope_values, slope_tags = conclude_curve(*samples_of(records))
    outcome |= slope_values
    if curve.escape_step is not None:
        outcome[Metric.ESCAPE_STEP] = curve.escape_step
    tags = {
        Tag.ESCAPE_STEP: "never" if curve.escape_step is None else str(curve.escape_step),
        Tag.PLATEAU: str(PLATEAU_ABOVE < nmse <= DIVERGED_ABOVE).lower(),
        Tag.DIVERGED: str(nmse > DIVERGED_ABOVE).lower(),
        **slope_tags,
    }
    return outcome, tags
