"""What a training came to: how many prompts to judge it by, its figures, its tags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from looped.config import TrainConfig
from looped.evaluation.evaluation import Evaluation, standard_error
from looped.names import Metric, Tag
from looped.records.checkpoint import load_checkpoints
from looped.records.journal import Record
from looped.training.convergence import conclude_curve, samples_of
from looped.training.curve import DIVERGED_ABOVE, PLATEAU_ABOVE, DivergedError, TrainingCurve

HELD_OUT_PROMPTS = 12_800
FEWEST_PROMPTS = 640
FINAL_FACTOR = 4
"""So many times the prompts are run through the trained loops, where that is cheap: the error of
a common sample is halved, which no number of seeds does."""
FINAL_SHARE = 0.1
"""Of the training's FLOPs; the further prompts may take less than it."""


def facts(config: TrainConfig, outcome: Mapping[str, float]) -> dict[str, Any]:
    """Say what a user of the saved model should know of it."""
    settings = ("name", "size", "b", "seed", "n_examples", "steps", "precision", "identity")
    return {name: getattr(config, name) for name in settings} | {
        "recipe": config.recipe_identity,
        "task": config.task_config.arguments,
        Metric.NMSE: outcome[Metric.NMSE],
    }


def affordable_prompts(config: TrainConfig) -> int:
    """Count the held-out prompts that a training affords: fewer where it is short.

    Running one costs a third of training on it.
    """
    return min(HELD_OUT_PROMPTS, max(FEWEST_PROMPTS, int(0.3 * config.steps * config.batch_size)))


def final_prompts(config: TrainConfig, n_prompts: int) -> int:
    """Count the held-out prompts that the error after the trained loops is taken from.

    Args:
        config: resolved.
        n_prompts: those that are run through all loops, the first of them.

    Returns:
        ``FINAL_FACTOR`` times as many where running the others through b loops, forward, costs
        less than ``FINAL_SHARE`` of the training's FLOPs, whose steps run forward and backward.

    Example:
        >>> final_prompts(TrainConfig(), 12_800), final_prompts(TrainConfig(steps=100), 640)
        (51200, 640)
    """
    n_final = FINAL_FACTOR * n_prompts
    n_models = 2 if config.average == "tail" else 1
    flops = n_models * (n_final - n_prompts) * config.model_config.forward_flops(config.b)
    return n_final if flops < FINAL_SHARE * config.steps * config.step_flops else n_prompts


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
    if not np.isfinite(evaluation.further_errors).all():
        raise DivergedError(
            "errors on held-out prompts must stay finite, after the trained loops they were "
            f"{evaluation.further_errors.max():.3g}"
        )
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
    nmse, nmse_se = _mean_and_error(evaluation, config.b)
    outcome = {
        **{Metric.FINAL + name: value for name, value in curve.last.items()},
        **{Metric.BEST + name: value for name, value in curve.best.items()},
        Metric.NMSE: nmse,
        Metric.NMSE_SE: nmse_se,
        Metric.BITS: _bits(nmse),
        Metric.PROMPTS: len(evaluation.errors_at(config.b)),
    }
    if tail_evaluation is not None:
        tail_nmse, tail_nmse_se = _mean_and_error(tail_evaluation, config.b)
        outcome |= {
            Metric.TAIL_NMSE: tail_nmse,
            Metric.TAIL_NMSE_SE: tail_nmse_se,
            Metric.TAIL_BITS: _bits(tail_nmse),
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


def _mean_and_error(evaluation: Evaluation, b: int) -> tuple[float, float]:
    """Return the error after the trained loops, and its standard error over prompts."""
    errors = evaluation.errors_at(b)
    return float(errors.mean(dtype=np.float64)), float(standard_error(errors))


def _bits(nmse: float) -> float:
    return float(-0.5 * np.log2(nmse))
