"""Student's t distributions of predictions, and mixtures of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from analysis.scaling.form.shapes import Floats

_HALVINGS = 50
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class StudentT:
    """What one form says of Q quantities: Student's t about an estimate.

    Attributes:
        centre: of shape (Q,).
        spread: standard errors, of shape (Q,).
        degrees: of freedom, of shape (Q,).

    Example:
        >>> import numpy as np
        >>> from analysis.scaling.solving.mixture import StudentT
        >>> answer = StudentT(np.array([1.0]), np.array([0.1]), np.array([4.0]))
        >>> [end.round(2) for end in answer.interval(0.95)]
        [array([0.72]), array([1.28])]
    """

    centre: Floats
    spread: Floats
    degrees: Floats

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Return the ends of an interval about each centre."""
        half_width = stdtrit(self.degrees, 0.5 + level / 2) * self.spread
        return self.centre - half_width, self.centre + half_width

    def widened(self, error: Floats, degrees: Floats | float) -> "StudentT":
        """Add an independent error whose standard deviation is known to some degrees of freedom.

        The degrees of the sum are Welch's and Satterthwaite's.

        Example:
            >>> import numpy as np
            >>> from analysis.scaling.solving.mixture import StudentT
            >>> answer = StudentT(np.array([1.0]), np.array([0.3]), np.array([9.0]))
            >>> wider = answer.widened(np.array([0.4]), degrees=3.0)
            >>> wider.spread, wider.degrees.round(1)
            (array([0.5]), array([6.6]))
        """
        variance, further = self.spread**2, np.asarray(error) ** 2
        both = variance + further
        doubt = variance**2 / self.degrees + further**2 / degrees
        return StudentT(
            self.centre,
            np.sqrt(both),
            np.where(doubt > 0, both**2 / np.where(doubt > 0, doubt, 1.0), self.degrees),
        )


@dataclass(frozen=True)
class Mixture:
    """What several forms say of the same quantities, each with a weight.

    Attributes:
        parts: a distribution from each form.
        weights: of the forms, which sum to 1, of shape (forms,).
    """

    parts: Sequence[StudentT]
    weights: Floats

    @property
    def mean(self) -> Floats:
        """The weighted mean of the centres, of shape (Q,)."""
        return np.asarray(self.weights @ np.array([part.centre for part in self.parts]))

    def interval(self, level: float) -> tuple[Floats, Floats]:
        """Return the ends between which the mixture has this share of its weight, the mean inside.

        Example:
            >>> import numpy as np
            >>> from analysis.scaling.solving.mixture import Mixture, StudentT
            >>> parts = [StudentT(np.array([c]), np.array([0.1]), np.array([9.0])) for c in (1, 2)]
            >>> mixture = Mixture(parts, np.array([0.5, 0.5]))
            >>> [end.round(2) for end in (mixture.mean, *mixture.interval(0.95))]
            [array([1.5]), array([0.82]), array([2.18])]
        """
        tail = (1 - level) / 2
        mean = self.mean
        return np.minimum(self._quantile(tail), mean), np.maximum(self._quantile(1 - tail), mean)

    def _quantile(self, share: float) -> Floats:
        """Find by halving where the mixture has a share of its weight below, of shape (Q,)."""
        centre, spread, degrees = (
            np.array([getattr(part, name) for part in self.parts])
            for name in ("centre", "spread", "degrees")
        )
        spread = np.maximum(spread, _NO_SPREAD)
        of_parts = centre + stdtrit(degrees, share) * spread
        low, high = of_parts.min(axis=0), of_parts.max(axis=0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            is_below = self.weights @ stdtr(degrees, (middle - centre) / spread) < share
            low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
        return np.asarray((low + high) / 2)
