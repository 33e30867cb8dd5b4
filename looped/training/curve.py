"""What the curve of a training tells: its samples, its best and its escape.

Kept apart from the loop so that a checkpoint can hold it: a training stopped between two samples
of the curve goes on to the same samples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SMOOTHING_STEPS = 100
ESCAPED_BELOW = 0.9
PLATEAU_ABOVE = 0.95
DIVERGED_ABOVE = 10.0
"""NMSE on held-out prompts above which a training has diverged. Predicting 0 gives 1, and so does a
model that never learned; weights that were never trained predict numbers as large as y, which gives
2. An NMSE of 10 takes predictions three times as large as any of these."""


class DivergedError(ArithmeticError):
    """What is computed of a training, its loss first of all, is no longer a finite number."""


@dataclass
class TrainingCurve:
    """Running summary of the loss and of the error at the query after the last loop.

    Errors are in units of Var(y). The smoothed query error is an exponential average over
    ``SMOOTHING_STEPS`` steps, corrected for its start.

    Attributes:
        n_steps: length of the whole training.
        step: gradient steps summarised so far.
        pending: (loss, query error, gradient norm) of the steps since the last sample.
        escape_step: first step at which the smoothed query error is under ``ESCAPED_BELOW``;
            looked for once the average has ``SMOOTHING_STEPS`` steps behind it.
        diverging_since: first of the steps without a break, up to now, whose smoothed query error
            is above ``DIVERGED_ABOVE`` or no number.
        best: lowest value that a sample had, by name.
        last: the newest sample.
    """

    n_steps: int
    step: int = 0
    pending: list[list[float]] = field(default_factory=list)
    average: float = 0.0
    weight: float = 0.0
    escape_step: int | None = None
    diverging_since: int | None = None
    best: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def add(self, measurements: Sequence[list[float]]) -> None:
        """Take in (loss, query error, gradient norm) of further steps, in order.

        Raises:
            DivergedError: one of them is infinite or NaN.
        """
        decay = 1 - 1 / SMOOTHING_STEPS
        for values in measurements:
            self.step += 1
            if not all(map(math.isfinite, values)):
                self.diverging_since = self.diverging_since or self.step
                raise DivergedError(
                    f"loss, query error and gradient norm must stay finite, "
                    f"at step {self.step} they were {values}"
                )
            self.pending.append(values)
            self.average = decay * self.average + (1 - decay) * values[1]
            self.weight = decay * self.weight + (1 - decay)
            is_diverging = self.smoothed > DIVERGED_ABOVE
            self.diverging_since = (self.diverging_since or self.step) if is_diverging else None
            is_settled = self.step >= SMOOTHING_STEPS
            if is_settled and self.escape_step is None and self.smoothed < ESCAPED_BELOW:
                self.escape_step = self.step

    @property
    def smoothed(self) -> float:
        """The smoothed query error."""
        return self.average / self.weight

    def sample(self) -> dict[str, float]:
        """Close the interval: return the mean of its steps as one sample of the curve."""
        names = ("loss", "query_error", "grad_norm")
        columns = zip(*self.pending, strict=True)
        self.last = {
            name: sum(column) / len(column) for name, column in zip(names, columns, strict=True)
        }
        for name in names[:2]:
            self.best[name] = min(self.last[name], self.best.get(name, self.last[name]))
        self.pending = []
        return self.last

    def state(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return asdict(self)

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> "TrainingCurve":
        """Go on from a checkpoint's state; what only older versions kept is passed over."""
        names = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in state.items() if name in names})
