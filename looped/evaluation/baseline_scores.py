"""Scores of the baselines on the held-out prompts, computed once for each task.

They are kept in a file that says what they were computed for: the task with its settings, the
examples, loops and prompts, the seeds of the prompts and the code that draws and predicts. A file
that says anything else, or whose digest is not that of its content, is computed anew and replaced
as a whole, so that several processes may do so at once.
"""

import hashlib
import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import torch

from looped import draws
from looped.evaluation import baselines, dial_baselines, linear_baselines
from looped.evaluation.baselines import baselines_for
from looped.evaluation.held_out import held_out_batches
from looped.records.files import write_atomically
from looped.tasks import HELD_OUT_SEED, from_config, functions, kinds, task
from looped.tasks.task_config import TaskConfig

logger = logging.getLogger("looped")

Scores = dict[str, dict[str, list[float]]]
"""By baseline: its ``nmse`` and ``nmse_se`` after each loop. Only gradient descent, whose
loop is a step, and ``hop_by_hop`` have more than one; the others' score holds at any loop."""

CODE = (draws, functions, kinds, task, baselines, dial_baselines, linear_baselines)
"""Modules that decide what the baselines predict, and for which prompts."""


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

    Returns:
        The scores; none where the task is somebody's own and is not here, which is said.
    """
    if task.lack:
        logger.warning("baselines are left out: %s", task.lack)
        return {}
    identity = task.baselines_identity(n_examples, n_loops, n_prompts)
    path = cache / f"baselines-{identity}.json"
    computed_for = {
        "task": task.content,
        "n_examples": n_examples,
        "n_loops": n_loops,
        "n_prompts": n_prompts,
        "seeds": [HELD_OUT_SEED, linear_baselines.TUNING_SEED],
        "code": _code_digest(),
    }
    scores_kept = _read(path, computed_for)
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
    content = {"computed_for": computed_for, "scores": scores}
    write_atomically(path, json.dumps({**content, "digest": _digest(content)}).encode())
    return scores


def _read(path: Path, computed_for: dict[str, Any]) -> Scores | None:
    """Read scores that were kept; None where there are none, or not these.

    Files that an older version wrote have no digest, and what decided them is not known.
    """
    try:
        content = json.loads(path.read_bytes())
        digest = content.pop("digest", None)
        if digest is not None and digest != _digest(content):
            raise ValueError("another digest")
        if digest is None or content["computed_for"] != json.loads(json.dumps(computed_for)):
            return None
        return {
            str(name): {key: [float(value) for value in curves[key]] for key in ("nmse", "nmse_se")}
            for name, curves in content["scores"].items()
        }
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        logger.warning("%s is damaged: the baselines are scored again", path)
        return None


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _code_digest() -> str:
    """Name the code that decides the scores, with the version of PyTorch that runs it."""
    sources = [Path(str(module.__file__)).read_bytes() for module in CODE]
    content = b"".join([*sources, torch.__version__.encode()])
    return hashlib.sha256(content).hexdigest()[:12]


def _score(errors: torch.Tensor) -> dict[str, list[float]]:
    standard_error = errors.std(dim=1) / errors.shape[1] ** 0.5
    return {"nmse": errors.mean(dim=1).tolist(), "nmse_se": standard_error.tolist()}
