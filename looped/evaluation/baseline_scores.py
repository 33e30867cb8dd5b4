"""Scores of the baselines on the held-out prompts, computed once for each task."""

import json
import logging
from pathlib import Path

import torch

from looped.evaluation.baselines import baselines_for
from looped.evaluation.held_out import held_out_batches
from looped.records.files import write_atomically
from looped.tasks import from_config
from looped.tasks.task_config import TaskConfig

logger = logging.getLogger("looped")

Scores = dict[str, dict[str, list[float]]]
"""By baseline: its ``nmse`` and ``nmse_se`` after each loop. Only gradient descent, whose
loop is a step, and ``hop_by_hop`` have more than one; the others' score holds at any loop."""


def score_baselines(
    task: TaskConfig, n_examples: int, n_loops: int, n_prompts: int, cache: Path
) -> Scores:
    """Score a task's baselines on the prompts that the models are evaluated on.

    Args:
        task: the function class.
        n_examples: in-context examples N.
        n_loops: steps of gradient descent.
        n_prompts: the first so many prompts of the held-out stream.
        cache: folder that keeps the scores.
    """
    identity = task.baselines_identity(n_examples, n_loops, n_prompts)
    path = cache / f"baselines-{identity}.json"
    scores_kept = _read(path, n_loops)
    if scores_kept is not None:
        return scores_kept
    errors: dict[str, list[torch.Tensor]] = {}
    predictors = baselines_for(from_config(task), n_loops)
    for xs, ys in held_out_batches(from_config(task), n_examples + 1, n_prompts):
        for name, predict in predictors.items():
            squares = (predict(xs, ys) - ys[:, -1:]).square().squeeze(-1).double()  # (loop, B)
            errors.setdefault(name, []).append(squares)
    scores = {name: _score(torch.cat(parts, dim=1)) for name, parts in errors.items()}
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(scores).encode())
    return scores


def _read(path: Path, n_loops: int) -> Scores | None:
    """Read scores that were kept; None where there are none, or the file is damaged."""
    try:
        content = json.loads(path.read_bytes())
        scores = {
            str(name): {key: [float(value) for value in curves[key]] for key in ("nmse", "nmse_se")}
            for name, curves in content.items()
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        logger.warning("%s is damaged: the baselines are scored again", path)
        return None
    lengths = {len(curve) for curves in scores.values() for curve in curves.values()}
    if not scores or not lengths <= {1, n_loops}:
        logger.warning("%s is damaged: the baselines are scored again", path)
        return None
    return scores


def _score(errors: torch.Tensor) -> dict[str, list[float]]:
    standard_error = errors.std(dim=1) / errors.shape[1] ** 0.5
    return {"nmse": errors.mean(dim=1).tolist(), "nmse_se": standard_error.tolist()}
