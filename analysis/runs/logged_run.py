"""A finished training as analysis sees it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from looped.config import TrainConfig
from looped.names import Convergence, Metric, Tag, Weights
from looped.training.curve import DIVERGED_ABOVE

CURVES = ("nmse", "nmse_se", "nmse_median")


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
        metrics: the last value of each that has one value or more.
        training: ``step`` and the ``loss`` and ``query_error`` there; empty unless asked for.
        speed: gradient steps a second, a sample per record of the training; empty unless asked for.
        weights: those that ``loops`` and ``state_change`` are of, one of ``Weights``.
    """

    run_id: str
    name: str
    config: TrainConfig
    tags: Mapping[str, str]
    loops: Mapping[str, Sequence[float]]
    prompts: int
    state_change: Sequence[float] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Sequence[float]] = field(default_factory=dict)
    speed: Sequence[float] = ()
    weights: str = Weights.LAST

    @property
    def task(self) -> str:
        """The task and those of its settings that are not the defaults: ``linear n_dims=10``."""
        default, config = TrainConfig(), self.config
        names = ("n_dims", *config.task_config.kind.setting_names)
        changes = [
            f"{name}={getattr(config, name):g}"
            for name in names
            if getattr(config, name) != getattr(default, name)
        ]
        return " ".join([config.task, *changes])

    @property
    def program(self) -> str | None:
        """What it trained in: runs of one program have it in common; None if older than the tag."""
        return self.tags.get(Tag.PROGRAM)

    @property
    def is_evaluated(self) -> bool:
        """Whether its error after b loops is known."""
        return min(map(len, self.loops.values())) >= self.config.b

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
