"""A metric of the user's own: a function of predictions and answers, measured after every loop."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from looped.evaluation.held_out import held_out_batches
from looped.model import LoopedTransformer
from looped.names import Metric
from looped.plugins import loading
from looped.rules import one_line, require
from looped.tasks.functions import from_config
from looped.tasks.task_config import TaskConfig


@dataclass(frozen=True)
class OwnMetric:
    """What a metric came to on held-out prompts.

    Attributes:
        name: of the function, with the beginning of its source's digest.
        means: over prompts, after each loop.
        standard_errors: of these.
    """

    name: str
    means: Sequence[float]
    standard_errors: Sequence[float]

    @property
    def curves(self) -> dict[str, Sequence[float]]:
        """By the name that MLflow knows them by."""
        name = f"{Metric.OWN}{self.name}"
        return {name: self.means, f"{name}_se": self.standard_errors}

    def words(self, loop: int) -> str:
        """Say what it is after some loops."""
        mean, error = self.means[loop - 1], self.standard_errors[loop - 1]
        return f"{self.name} {mean:.4g} ± {error:.2g} after {loop}"


@torch.no_grad()
def measure(
    model: LoopedTransformer, task: TaskConfig, n_loops: int, n_prompts: int, word: str
) -> OwnMetric:
    """Measure a metric on the first held-out prompts.

    Args:
        model: any looped transformer.
        task: where the prompts come from.
        n_loops: loops to run, and to measure after each.
        n_prompts: prompts, 2 or more.
        word: where the function is, as ``my_metrics.py:within_tenth``. It takes predictions at
            the query, of shape (loop, prompt), and the answers, of shape (prompt,), in units of
            y, and returns a number for each loop and prompt.

    Raises:
        ValueError: the function is not there, fails, or returns another shape.
    """
    reference = loading.pin("metrics", word)
    function = loading.load(reference)
    require(callable(function), f"{word} must be a function", type(function).__name__)
    device = next(model.parameters()).device
    parts = []
    for xs, ys in held_out_batches(from_config(task), model.config.n_points, n_prompts):
        predictions = model(xs.to(device), ys.to(device), n_loops)[:, :, -1].cpu()
        try:
            values = function(predictions, ys[:, -1])
        except Exception as error:
            came = f"{type(error).__name__}: {one_line(error)}"
            raise ValueError(f"the metric {word} must measure predictions, got {came}") from error
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        rule = f"the metric {word} must return numbers of shape {tuple(predictions.shape)}"
        require(shape == tuple(predictions.shape), rule, shape)
        parts.append(values.double())
    values = torch.cat(parts, dim=1)
    require(
        bool(values.isfinite().all()), f"the metric {word} must return finite numbers", "others"
    )
    errors = values.std(dim=1) / values.shape[1] ** 0.5
    return OwnMetric(reference.short, values.mean(dim=1).tolist(), errors.tolist())
