"""One training on its way: its model, its records and, if it came to that, why it ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from looped.config import TrainConfig
from looped.model import LoopedTransformer
from looped.names import Metric
from looped.records.checkpoint import Checkpoint
from looped.records.folder import RunFolder
from looped.records.journal import Journal
from looped.training.curve import DivergedError, TrainingCurve
from looped.training.outcome import last_good


@dataclass
class TrainingRun:
    """A training that is being taken to its end.

    Attributes:
        config: resolved.
        folder: where it is kept, if anywhere.
        model: with the weights that it starts from, in the end the last step's.
        curve: as far as measured.
        journal: its record.
        checkpoint: what it starts from.
        error: why it was given up.
        tail_model: with the mean of the last steps' weights; None where it was not kept.
    """

    config: TrainConfig
    folder: RunFolder | None
    model: LoopedTransformer
    curve: TrainingCurve
    journal: Journal
    checkpoint: Checkpoint | None = None
    error: DivergedError | None = None
    tail_model: LoopedTransformer | None = None

    def take_in(self, measurements: Sequence[list[float]]) -> None:
        """Add what further steps measured to the curve; give the run up where it diverged."""
        if self.error is None:
            try:
                self.curve.add(measurements)
            except DivergedError as error:
                self.give_up(error)

    def give_up(self, error: DivergedError) -> DivergedError:
        """Record that the training diverged; return the error with what is left of it."""
        advice = "" if self.folder is None else f"; {self.last_good}"
        self.error = DivergedError(f"{error}{advice}")
        self.journal.append("diverged", step=self.curve.step, reason=str(self.error))
        return self.error

    @property
    def last_good(self) -> str:
        """Say which checkpoint is from before the training diverged."""
        if self.folder is None:
            return "nothing of it is kept"
        return last_good(self.folder.checkpoints, self.curve.diverging_since or self.curve.step)

    def sample(self, rate: float, speed: float, peak_mib: float | None) -> dict[str, float]:
        """Close an interval of the curve; return all that its sample holds."""
        tokens = speed * self.config.batch_size * self.config.model_config.n_tokens
        return {
            **{Metric.TRAIN + name: value for name, value in self.curve.sample().items()},
            Metric.LEARNING_RATE: rate,
            Metric.STEPS_PER_S: speed,
            Metric.TOKENS_PER_S: tokens,
            **({} if peak_mib is None else {Metric.PEAK_MIB: peak_mib}),
        }
