"""A finished training as analysis sees it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from looped.config import TrainConfig
from looped.names import Convergence, Metric, Tag, Weights
from looped.records.prompt_errors import PromptErrors
from looped.training.curve import DIVERGED_ABOVE

CURVES = ("nmse", "nmse_se", "nmse_median")
ENOUGH_BY_PROMPT = 40
"""Seeds of a cell whose errors by prompt tell what the common prompts do to the mean of all."""


_USUAL = TrainConfig()


class FinalError(NamedTuple):
    """The error after the trained loops, its standard error, and on how many prompts."""

    nmse: float
    nmse_se: float
    n_prompts: int


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """A finished training.

    Attributes:
        run_id: in MLflow.
        name: of the run.
        config: what was trained.
        tags: of the run.
        loops: after each loop 1, 2, ... the ``nmse``, ``nmse_se`` and ``nmse_median``; empty
            where nobody evaluated it.
        prompts: how many they were measured on.
        state_change: |z_t+1 - z_t| / |z_t| from t = 1 on; empty where nobody measured it.
        prediction_change: |prediction_t+1 - prediction_t| / sd(y) at the query, likewise.
        metrics: the last value of each that has one value or more.
        training: ``step`` and the ``loss`` and ``query_error`` there; empty unless asked for.
        speed: gradient steps a second, a sample per record of the training; empty unless asked for.
        weights: those that ``loops`` and the changes are of, one of ``Weights``.
        prompt_errors: on each held-out prompt; None unless asked for, and where none were kept.
    """

    run_id: str
    name: str
    config: TrainConfig
    tags: Mapping[str, str]
    loops: Mapping[str, Sequence[float]]
    prompts: int
    state_change: Sequence[float] = ()
    prediction_change: Sequence[float] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Sequence[float]] = field(default_factory=dict)
    speed: Sequence[float] = ()
    weights: str = Weights.LAST
    prompt_errors: PromptErrors | None = None

    @cached_property
    def task(self) -> str:
        """The task and those of its settings that are not the defaults: ``linear n_dims=10``."""
        task = self.config.task_config
        settings = {"n_dims": task.n_dims, **dict(task.settings)}
        changes = [
            f"{name}={value:g}"
            for name, value in settings.items()
            if value != getattr(_USUAL, name, None)
        ]
        return " ".join([task.word, *changes])

    @property
    def program(self) -> str | None:
        """What it trained in: runs of one program have it in common; None if older than the tag."""
        return self.tags.get(Tag.PROGRAM)

    @property
    def is_evaluated(self) -> bool:
        """Whether its error after b loops is known."""
        return min(map(len, self.loops.values())) >= self.config.b

    @property
    def on_curve(self) -> FinalError:
        """The error after b loops on the prompts of the curve over loops."""
        at_b = self.config.b - 1
        nmse_se = self.loops.get("nmse_se", ())
        return FinalError(
            nmse=self.loops["nmse"][at_b],
            nmse_se=nmse_se[at_b] if nmse_se else math.nan,
            n_prompts=self.prompts,
        )

    @property
    def final(self) -> FinalError:
        """The error after b loops on the most prompts that it was measured on.

        A training measures it on more prompts than its curve over loops, where that is cheap. The
        first of them are those of the curve. What is compared with an error after other loops, or
        with runs that were not measured on the others, is ``on_curve``.
        """
        nmse, nmse_se = Metric.NMSE, Metric.NMSE_SE
        if self.weights == Weights.TAIL:
            nmse, nmse_se = Metric.TAIL_NMSE, Metric.TAIL_NMSE_SE
        n_prompts = round(self.metrics.get(Metric.PROMPTS, 0))
        if n_prompts <= self.prompts or nmse not in self.metrics:
            return self.on_curve
        return FinalError(self.metrics[nmse], self.metrics[nmse_se], n_prompts)

    def errors_after(self, loop: int) -> npt.NDArray[np.float32] | None:
        """Return the error on each held-out prompt after some loops; None where not kept."""
        if self.prompt_errors is None:
            return None
        errors = self.prompt_errors
        by_loop = errors.tail_by_loop if self.weights == Weights.TAIL else errors.by_loop
        return by_loop.get(loop)

    @property
    def dynamics(self) -> Mapping[str, float]:
        """What states do beyond b (``behaviour.shares``), of its weights; empty where untold."""
        return self._of_weights(Metric.DYNAMICS)

    @property
    def band(self) -> tuple[int, int] | None:
        """The first and the last loop that are as good as the best; None where untold."""
        ends = self._of_weights(Metric.EXTRAPOLATION + "band_")
        return (round(ends["first"]), round(ends["last"])) if len(ends) > 1 else None

    def _of_weights(self, family: str) -> dict[str, float]:
        family, _, name = family.rpartition("/")
        if self.weights == Weights.TAIL:
            name = Metric.TAIL + name
        start = f"{family}/{name}"
        of_family = {
            key.removeprefix(start): value
            for key, value in self.metrics.items()
            if key.startswith(start)
        }
        return {key: value for key, value in of_family.items() if not key.startswith(Metric.TAIL)}

    @property
    def is_plateau(self) -> bool:
        """Whether it never learned."""
        return self.tags.get(Tag.PLATEAU) == "true" and not self.is_diverged

    @property
    def is_diverged(self) -> bool:
        """Whether its error ended far above the variance; older runs have no tag that says so."""
        tag = self.tags.get(Tag.DIVERGED)
        return self._nmse > DIVERGED_ABOVE if tag is None else tag == "true"

    @property
    def has_learned(self) -> bool:
        """Whether it compares with others: it neither stayed on the plateau nor diverged."""
        return not self.is_plateau and not self.is_diverged

    @property
    def _nmse(self) -> float:
        """Its held-out error after b loops; NaN where nobody measured it."""
        by_loop = self.loops.get("nmse", ())
        at_b = by_loop[self.config.b - 1] if len(by_loop) >= self.config.b else math.nan
        return self.metrics.get(Metric.NMSE, at_b)

    @property
    def convergence(self) -> str:
        """Whether it was still learning when it ended; one of ``Convergence``."""
        return self.tags.get(Tag.CONVERGENCE, Convergence.CANNOT_TELL)

    @property
    def has_tail(self) -> bool:
        """Whether the mean of its last weights was evaluated as well."""
        return Metric.LOOPS + Metric.TAIL + "nmse" in self.metrics


def are_on_all_prompts(runs: Iterable[LoggedRun]) -> bool:
    """Tell whether runs compare by their error on all prompts: it is of as many for each.

    Else it is that on the prompts of their curves, so that the error of the common prompts falls
    out of their differences as far as it can.
    """
    return len({run.final.n_prompts for run in runs if run.is_evaluated}) == 1
