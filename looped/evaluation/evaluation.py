"""What a model's predictions are worth after each loop: errors, curves and what is kept of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from looped.evaluation.loop_band import loops_as_good
from looped.names import Metric
from looped.records.prompt_errors import PromptErrors
from looped.tasks.task_config import TaskConfig

Floats = npt.NDArray[np.floating]

TAIL_CURVES = ("nmse", "nmse_se", "nmse_median", "state_change", "prediction_change")
"""Kept of the mean of the last weights; the other curves are of the last step's alone."""


@dataclass(frozen=True)
class Evaluation:
    """What a model's predictions are worth after each loop.

    Errors are squared and in units of Var(y), so that a mean of them is an NMSE.

    Attributes:
        query_errors: at the full-context query, of shape (loop, prompt).
        point_nmse: mean over prompts at each query, of shape (loop, query); its column j is
            the error with j examples for the interleaved prompt.
        state_change: |z_t+1 - z_t| / |z_t|, mean over prompts, of shape (loop - 1,): from
            loop 1 to 2, from 2 to 3, ... (from z_0 = 0 it would be infinite).
        further_errors: at the query after the trained loops alone, of prompts that follow those
            of ``query_errors`` in the stream, of shape (further prompt,).
        prediction_change: |prediction_t+1 - prediction_t| at the query in standard deviations of
            y, mean over prompts, of shape (loop - 1,) as ``state_change``.
        dynamics: what the state does beyond b; see ``dynamics.follow``. Empty where untold.
    """

    query_errors: Floats
    point_nmse: Floats
    state_change: Floats
    further_errors: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    prediction_change: Floats = field(default_factory=lambda: np.zeros(0))
    dynamics: Mapping[str, float] = field(default_factory=dict)

    def errors_at(self, b: int) -> Floats:
        """Return the errors after the trained loops, of all prompts: what E is taken from."""
        return np.concatenate([self.query_errors[b - 1], self.further_errors])

    @property
    def nmse(self) -> Floats:
        """Normalised mean squared error at the query after each loop, of shape (loop,)."""
        return np.asarray(self.query_errors.mean(axis=1, dtype=np.float64))

    @property
    def nmse_se(self) -> Floats:
        """Standard error of ``nmse`` over prompts, of shape (loop,)."""
        return np.asarray(standard_error(self.query_errors))

    @property
    def bits(self) -> Floats:
        """Expressivity E = 1/2 log2(Var(y) / MSE) at the query, of shape (loop,)."""
        return np.asarray(-0.5 * np.log2(self.nmse))

    def by_loop(self) -> dict[str, list[float]]:
        """Return every curve over loops 1, 2, ...; changes begin at loop 2.

        ``nmse``, its standard error, median, 5 % and 95 % quantile are those at the query
        over prompts; ``nmse_all_points`` is the mean over all queries of a prompt.
        """
        low, median, high = np.quantile(self.query_errors, [0.05, 0.5, 0.95], axis=1)
        curves = {
            "nmse": self.nmse,
            "nmse_se": self.nmse_se,
            "nmse_median": median,
            "nmse_q05": low,
            "nmse_q95": high,
            "nmse_all_points": self.point_nmse.mean(axis=1),
            "state_change": self.state_change,
            "prediction_change": self.prediction_change,
        }
        return {name: [float(value) for value in curve] for name, curve in curves.items()}

    def by_examples(self, b: int) -> list[float]:
        """Return the NMSE after ``b`` loops with 0, 1, 2, ... examples (one query: empty)."""
        by_query = self.point_nmse[b - 1]
        return [float(value) for value in by_query] if len(by_query) > 1 else []

    def band(self) -> dict[str, float]:
        """Return the first and the last loop that are as good as the best, and how many are.

        See ``loops_as_good``; where the number is less than they span, some in between are worse.
        """
        band = np.flatnonzero(loops_as_good(self.query_errors)) + 1
        return {
            "band_first": float(band[0]),
            "band_last": float(band[-1]),
            "band_loops": float(len(band)),
        }

    def summary(self, b: int) -> dict[str, float]:
        """Say in a few numbers how a model trained at ``b`` extrapolates.

        ``doubling_loop`` is the first loop beyond b whose error is twice that at b; it is
        missing where none is, and so is what refers to b if the loops end before it.
        """
        nmse = self.nmse
        last, best = len(nmse), int(nmse.argmin())
        summary = {
            "b_max": last,
            "nmse_at_1": nmse[0],
            "best_loop": best + 1,
            "nmse_at_best": nmse[best],
            "nmse_at_b_max": nmse[-1],
        } | self.band()
        if b <= last:
            summary |= {"nmse_at_b": nmse[b - 1], "ratio_b_max_to_b": nmse[-1] / nmse[b - 1]}
            doublings = np.flatnonzero(nmse[b:] >= 2 * nmse[b - 1])
            if len(doublings):
                summary["doubling_loop"] = b + 1 + doublings[0]
        return {name: float(value) for name, value in summary.items()}

    def record(self, b: int, tail: "Evaluation | None" = None) -> dict[str, Any]:
        """Return all of the above as JSON, for a journal.

        Args:
            b: the loop count that the model was trained at.
            tail: of the mean of its last weights on the same prompts; what a law or a report
                reads of it comes beside, named ``tail_nmse``, ...
        """
        curves = {} if tail is None else tail.by_loop()
        tail_curves = {Metric.TAIL + name: curves[name] for name in TAIL_CURVES if curves}
        summary, dynamics = self.summary(b), dict(self.dynamics)
        if tail is not None:
            summary |= {Metric.TAIL + name: value for name, value in tail.band().items()}
            dynamics |= {Metric.TAIL + name: value for name, value in tail.dynamics.items()}
        return {
            "n_prompts": self.query_errors.shape[1],
            "loops": self.by_loop() | tail_curves,
            "examples": self.by_examples(b),
            "summary": summary,
            "dynamics": dynamics,
        }


def by_prompt(
    evaluation: Evaluation, tail: Evaluation | None, task: TaskConfig, n_examples: int, b: int
) -> PromptErrors:
    """Return what is kept of each prompt: its errors after b loops and after the last.

    Args:
        evaluation: to b loops or more.
        tail: of the mean of the last weights on the same prompts, if it was kept.
        task: the function class.
        n_examples: in-context examples N.
        b: the loop count that the model was trained at.
    """

    def kept(of_model: Evaluation) -> dict[int, Floats]:
        last = len(of_model.query_errors)
        return {last: of_model.query_errors[-1]} | {b: of_model.errors_at(b)}

    tail_by_loop = {} if tail is None else kept(tail)
    return PromptErrors(task.prompts_identity(n_examples), kept(evaluation), tail_by_loop)


def standard_error(errors: Floats) -> Floats:
    """Return the standard error of a mean over prompts, the last axis.

    Example:
        >>> float(standard_error(np.array([1.0, 3.0, 1.0, 3.0])).round(3))
        0.577
    """
    deviation = errors.std(axis=-1, ddof=1, dtype=np.float64)
    return np.asarray(deviation / math.sqrt(errors.shape[-1]))
