"""Numbers by seed that know what each held-out prompt does to them.

All runs are judged on one sample of prompts. Its error is common to the seeds, so that their
scatter does not show it, and it falls out of a difference of two numbers only as far as the models
err on the same prompts. So each number carries its influences: by how much each prompt moves it. A
sum or a difference has the sum or difference of them, prompt by prompt, and the squares of those of
a mean over seeds sum to that of its error (the paired error).
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from analysis.runs.expressivity import Floats

BySeed: TypeAlias = Mapping[int, float]


class Measured(dict[int, float]):
    """Numbers by seed, all of them measured on prompts of one stream.

    Args:
        numbers: by seed.
        prompts: names the stream.
        influences: by how much each prompt moves each number, by seed, of shape (prompt,); a number
            that was measured on fewer prompts has the first of them.
    """

    def __init__(self, numbers: BySeed, prompts: str, influences: Mapping[int, Floats]) -> None:
        super().__init__(numbers)
        self.prompts = prompts
        self.influences = {seed: influences[seed] for seed in numbers}


def combined(numbers: BySeed, terms: Sequence[tuple[float, BySeed]]) -> BySeed:
    """Let numbers know what prompts do to them, if all that they are made of does.

    Args:
        numbers: by seed, each the sum over the terms of a factor times the seed's number.
        terms: factors, and numbers of as many seeds or more.

    Example:
        >>> first = Measured({1: 3.0}, "p", {1: np.array([0.3, 0.1])})
        >>> second = Measured({1: 2.0}, "p", {1: np.array([0.3, 0.0])})
        >>> round(prompt_error(combined({1: 1.0}, [(1, first), (-1, second)])), 3)
        0.1
        >>> prompt_error(combined({1: 1.0}, [(1, first), (-1, {1: 2.0})]))
        0.0
    """
    measured_parts = [part for _, part in terms if isinstance(part, Measured)]
    streams = {part.prompts for part in measured_parts}
    if len(measured_parts) < len(terms) or len(streams) != 1:
        return numbers
    factors = [factor for factor, _ in terms]
    influences = {
        seed: _sum(factors, [part.influences[seed] for part in measured_parts]) for seed in numbers
    }
    return Measured(numbers, streams.pop(), influences)


def prompt_error(part: BySeed) -> float:
    """Return the standard error over prompts of the mean over seeds; 0 where it is not known."""
    if not isinstance(part, Measured) or not part:
        return 0.0
    return float(np.sqrt((mean_influence(list(part.influences.values())) ** 2).sum()))


def mean_influence(influences: Sequence[Floats]) -> Floats:
    """Average influences, those of fewer prompts with nothing beyond them."""
    return _sum([1 / len(influences)] * len(influences), influences)


def _sum(factors: Sequence[float], influences: Sequence[Floats]) -> Floats:
    """Sum influences, those of fewer prompts with nothing beyond them."""
    total = np.zeros(max(map(len, influences)))
    for factor, influence in zip(factors, influences, strict=True):
        total[: len(influence)] += factor * influence
    return total
