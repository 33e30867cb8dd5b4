"""A finished training as analysis sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from looped.config import TrainConfig
from looped.names import Tag

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
        return self.tags.get(Tag.PLATEAU) == "true"

    @property
    def is_unconverged(self) -> bool:
        """Whether it was still learning when it ended."""
        return self.tags.get(Tag.UNCONVERGED) == "true"
