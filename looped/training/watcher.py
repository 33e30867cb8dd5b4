"""Whoever wants to know how trainings go, and may stop them. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from looped.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a training ended.

    Attributes:
        config: of the training, resolved.
        status: FINISHED, FAILED or KILLED, as MLflow says it, or REFUSED when it could not begin.
        reason: why, in a line.
        run_id: of its MLflow run; empty where there is none.
        is_told: whether MLflow knows how it ended.
        nmse: on held-out prompts; None where it was not evaluated.
        problems: lines to say of what went wrong beside the training.
        where_to_look: how to open its page, in lines.
        registered: the name and version of its registered model, if any.
        unregistered: why its model is not registered, although that was asked for.
        numbers: all that it came to, by the names of its metrics; empty where it came to nothing.
        folder: where its journal and its model lie.
    """

    config: TrainConfig
    status: str
    reason: str
    run_id: str = ""
    is_told: bool = False
    nmse: float | None = None
    problems: tuple[str, ...] = ()
    where_to_look: str = ""
    registered: str = ""
    unregistered: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    folder: str = ""


class Stopped(Exception):  # noqa: N818
    """The training was asked to stop; its checkpoint is written."""


class Watcher:
    """Is told how trainings go, each by its configuration, and asked whether to stop.

    Does nothing of its own and never stops one; whoever cares overrides a method.
    """

    def opened(self, config: TrainConfig, run_id: str) -> None:
        """A training is about to begin; ``run_id`` is its MLflow run, empty where there is none."""

    def began(self, config: TrainConfig, step: int) -> None:
        """A training takes its first step after ``step``, 0 where it did not go on from before."""

    def sampled(self, config: TrainConfig, step: int, values: Mapping[str, float]) -> None:
        """A training came to a sample of its curve."""

    def evaluated(self, config: TrainConfig, prompts_done: int, n_prompts: int) -> None:
        """A trained model was run on ``prompts_done`` of ``n_prompts`` held-out prompts.

        Those of the mean of its last weights, where it is kept, count once more.
        """

    def ended(self, ending: Ending) -> None:
        """A training ended, well or not."""

    def should_stop(self) -> bool:
        """Tell whether to stop; asked after every step and every batch of an evaluation.

        Yes saves checkpoints and ends all trainings that run together.
        """
        return False


SILENT = Watcher()
"""Watches nothing and never stops anything."""
