"""What a claim is: its words, its number, the threshold that it turns on, and what it explains."""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

from analysis.claims.by_seed import BySeed, Parts, Sense
from analysis.claims.cells import Cells
from analysis.claims.scope import Scope


class Verdict(enum.StrEnum):
    """What the runs say of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    MISSING = "not measured"


@dataclass(frozen=True)
class Premise:
    """What a claim explains; unless it is shown to be there the verdict stays undecided.

    Attributes:
        failing: what is so where it fails, in words.
        measure: takes the cells to bits by seed.
        least: how many bits there must be; shown where the interval lies above.
    """

    failing: str
    measure: Callable[[Cells], BySeed]
    least: float


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about a study that runs can support or contradict.

    Attributes:
        slug: its name.
        statement: in one sentence.
        statistic: what number it comes to, with its unit.
        sense: where the number lies, against the threshold, if the claim holds.
        threshold: in the unit of the statistic.
        reason: why that threshold.
        measure: takes the cells to numbers by seed, in bits, for each part of the claim. Raises
            ``MissingRunsError`` where nothing compares.
        for_some: it holds if it holds for one part; otherwise it must hold for all of them.
        ratio: the statistic is a ratio of errors, 4 to the power of its bits.
        varies: settings of the recipe in which the claim's runs may differ.
        premise: what there must be for the claim to explain.
        beside: what else to tell with it, in bits by seed, which is not judged.
        scope: which of the study's cells it speaks of; None where it names none of them.
        asked_of: keeps the sizes it can be asked of, where it speaks of the largest size.
    """

    slug: str
    statement: str
    statistic: str
    sense: Sense
    threshold: float
    reason: str
    measure: Callable[[Cells], Parts]
    for_some: bool = False
    ratio: bool = False
    varies: tuple[str, ...] = ()
    premise: Premise | None = None
    beside: Callable[[Cells], Parts] | None = None
    scope: Scope | None = None
    asked_of: Callable[[Cells], Cells] | None = None

    @property
    def rule(self) -> str:
        """How the verdict follows from the interval, in words."""
        threshold = f"{self.threshold:.4g}"
        if self.sense is Sense.WITHIN:
            threshold = f"{threshold} in absolute value"
        opposite_side = "below" if self.sense is Sense.ABOVE else "above"
        side = "above" if self.sense is Sense.ABOVE else "below"
        rule = (
            f"supported if the interval lies {side} {threshold}, contradicted if {opposite_side} it"
        )
        if self.premise is None:
            return rule
        return f"{rule}, undecided where {self.premise.failing}, or that is not ruled out"

    @property
    def deciding_part(self) -> Sense:
        """As of which claim about all parts the one that decides is chosen; see ``weakest``.

        That a part lies above holds for some where it is not so that all lie below.
        """
        opposites = {Sense.ABOVE: Sense.BELOW, Sense.BELOW: Sense.ABOVE}
        return opposites[self.sense] if self.for_some else self.sense

    @property
    def threshold_bits(self) -> float:
        """The threshold in bits."""
        return math.log(self.threshold, 4) if self.ratio else self.threshold

    def in_unit(self, bits: float) -> float:
        """Return a number of bits in the unit of the statistic."""
        if not self.ratio:
            return bits
        return 4.0**bits if bits < 500 else math.inf

    def substitute(self, cells: Cells) -> str:
        """Say what stands for the cells that it speaks of; empty where those are there."""
        if self.scope is not None:
            return self.scope.substitute(cells)
        if self.asked_of is None or not cells.runs:
            return ""
        largest = self.asked_of(cells).largest
        return f"here {largest}" if largest != cells.largest else ""

    def verdict(self, low: float, high: float) -> Verdict:
        """Say what an interval, in the unit of the statistic, means for the claim."""
        above = self.sense is Sense.ABOVE
        if low > self.threshold:
            return Verdict.SUPPORTED if above else Verdict.CONTRADICTED
        if high < self.threshold:
            return Verdict.CONTRADICTED if above else Verdict.SUPPORTED
        return Verdict.UNDECIDED
