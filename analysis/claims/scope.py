"""Which of the study's cells a claim speaks of, and what stands for them where runs lack those."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.claims.cells import FARTHEST_LOOP, STUDIED_BS, STUDIED_SIZES, Cells
from analysis.claims.measures.study import NAMED_BS, bs_of_gaps


class Bs(enum.Enum):
    """Which of the b that were trained, and evaluated as far as it takes, a claim is judged on."""

    EVERY = "every"
    NAMED = "those that the claim names"
    LARGEST = "the largest"
    LAST_TWO = "the last two"
    OF_GAPS = "those with a gap between them"
    OF_LAST_GAP = "those about the last gap"

    def of(self, bs: Sequence[int]) -> Sequence[int]:
        """Choose among b in rising order.

        Example:
            >>> Bs.LAST_TWO.of([1, 5, 10, 15]), Bs.NAMED.of([5, 10])
            ([10, 15], [10])
        """
        if self is Bs.EVERY:
            return bs
        if self is Bs.NAMED:
            return [b for b in bs if b in NAMED_BS]
        if self in {Bs.LARGEST, Bs.LAST_TWO}:
            return bs[-1:] if self is Bs.LARGEST else bs[-2:]
        with_gaps = bs_of_gaps(bs)
        return with_gaps if self is Bs.OF_GAPS else with_gaps[-2:]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The cells of the study that a claim speaks of.

    Attributes:
        bs: at which it is judged.
        sizes: of which.
        loop: the farthest after which it looks at the error; None where it looks at b, or at the
            training.
    """

    bs: Bs
    sizes: tuple[str, ...] = STUDIED_SIZES
    loop: int | None = None

    def substitute(self, cells: Cells) -> str:
        """Say what stands for the study's cells; empty where those are there.

        Args:
            cells: by which the claim is judged.

        Example:
            >>> from analysis.claims.cells import Cells
            >>> Scope(bs=Bs.LARGEST, sizes=("tiny",)).substitute(Cells([], reach=0))
            ''
        """
        sizes = cells.sizes if len(self.sizes) > 1 else self.sizes
        bs_of_sizes = [cells.bs(size) if self.loop is None else cells.beyond(size)
                       for size in sizes]  # fmt: skip
        if self.bs in {Bs.OF_GAPS, Bs.OF_LAST_GAP}:  # between the b that any size has
            bs_of_sizes = [cells.bs()]
        bs = sorted({b for bs_of_size in bs_of_sizes for b in self.bs.of(bs_of_size)})
        studied_bs = self.bs.of(STUDIED_BS if self.loop is None else STUDIED_BS[1:])
        loop = min(self.loop or FARTHEST_LOOP, cells.farthest_loop)
        parts = {
            f"b = {_listed(bs)}": bs != list(studied_bs),
            f"loop {loop}": self.loop is not None and loop != self.loop,
            f"sizes {_listed(sizes)}": set(sizes) != set(self.sizes),
        }
        words = "; ".join(part for part, is_substitute in parts.items() if is_substitute)
        return f"here {words}" if bs and words else ""


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
