"""How much longer work takes than its nominal seconds, by what was seen of it lately."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

BEGIN, TRAIN, EVALUATE, TELL = "begin", "train", "evaluate", "tell"
WORK = "work"
"""Training and evaluating: what the one says of the machine's pace holds for the other."""
SHORT_MEMORY, SHARE_REMEMBERED = 10.0, 0.1
"""What is older than this share of the work done, or so many seconds of it, counts for half."""
DOUBT = {BEGIN: 1.0, WORK: 4.0, TRAIN: 4.0, EVALUATE: 1.0, TELL: 1.0}
"""Seconds of a kind of work after which it is trusted as much as what is more general."""

Key = tuple[str, ...]


@dataclass
class _Part:
    """Seconds of a kind of work that were seen, and the nominal ones of the same work."""

    seconds: float = 0.0
    nominal: float = 0.0


@dataclass
class Pace:
    """Sums over what was seen, in which the past fades as work is done.

    A machine that sleeps does none, and forgets nothing meanwhile.
    """

    n_workers: int
    worked: float = 0.0  # seconds, of all workers
    parts: dict[Key, _Part] = field(default_factory=dict)

    def add(self, part: str, keys: Sequence[Key], seconds: float, nominal: float) -> None:
        """Take in that work of so many nominal seconds took so many."""
        self.worked += seconds
        weight = self._weight
        of_work = [(WORK,)] if part in (TRAIN, EVALUATE) else []
        for key in [*of_work, *((part, *key) for key in keys)]:
            known_part = self.parts.setdefault(key, _Part())
            known_part.seconds += weight * seconds
            known_part.nominal += weight * nominal

    def factor(
        self, part: str, keys: Sequence[Key], prior: float, doubt: float | None = None
    ) -> float:
        """Say how much longer than nominal a part takes, from the general to its own kind."""
        doubted = (DOUBT[part] if doubt is None else doubt) * self._weight
        factor = prior
        for key in keys:
            known_part = self.parts.get((part, *key))
            if known_part is not None:
                factor = (known_part.seconds + doubted) / (known_part.nominal + doubted / factor)
        return factor

    def knows(self, part: str) -> bool:
        """Tell whether any of a part was seen."""
        return (part,) in self.parts

    @property
    def _weight(self) -> float:
        """Weigh the present: what comes later counts for more, instead of the past for less."""
        elapsed, linear_until = self.worked / self.n_workers, SHORT_MEMORY / SHARE_REMEMBERED
        half_lives = min(elapsed, linear_until) / SHORT_MEMORY
        half_lives += math.log(max(1.0, elapsed / linear_until)) / SHARE_REMEMBERED
        return float(2.0**half_lives)
