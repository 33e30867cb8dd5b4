"""Measures how often verdicts on claims are wrong: the tables of docs/claims.md.

    python -m entrypoints.benchmarks.coverage.claims 20000 > tables.md     # a minute

Numbers by seed are drawn whose truth lies at the threshold, where a verdict is wrong most often,
and it is counted how often either verdict comes. Then studies are drawn, and where one leaves a
claim undecided, a fresh one has as many seeds as the first says would decide it.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from analysis.claims.by_seed import Parts, Sense, weakest
from analysis.claims.claim import Claim, Verdict
from analysis.claims.power import outlook_of

THRESHOLD = 0.1
Noise = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """Planted numbers: the truth of each part, how it scatters, and over how many seeds."""

    title: str
    sense: Sense
    means: tuple[float, ...]
    scatter: float
    noise: Noise
    seeds: int = 3


def _normal(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.normal(size=count)


def _heavy(generator: np.random.Generator, count: int) -> np.ndarray:
    return generator.standard_t(4, size=count) / 2**0.5


def _failing(generator: np.random.Generator, count: int) -> np.ndarray:
    """One training in ten ends five standard deviations lower; the mean is still 0."""
    return generator.normal(size=count) - 5 * (generator.random(count) < 0.1) + 0.5


ABOVE, WITHIN, T = Sense.ABOVE, Sense.WITHIN, THRESHOLD
SCENARIOS = (
    Scenario("above, one part", ABOVE, (T,), 0.3, _normal),
    Scenario("above, three parts at it", ABOVE, (T, T, T), 0.3, _normal),
    Scenario("above, one of three at it", ABOVE, (T, 9.0, 9.0), 0.3, _normal),
    *(
        Scenario(f"absolute value, scatter {scatter:g}", WITHIN, (T,), scatter, _normal)
        for scatter in (0.03, 0.1, 0.3, 3.0)
    ),
    Scenario("absolute value, nine parts", WITHIN, (T, -T, T) * 3, 0.3, _normal),
    Scenario("above, five seeds", ABOVE, (T,), 0.3, _normal, 5),
    Scenario("above, Student's t, 4 degrees of freedom", ABOVE, (T,), 0.3, _heavy),
    Scenario("above, one seed in ten fails", ABOVE, (T,), 0.3, _failing),
    Scenario("above, one seed in ten fails, ten seeds", ABOVE, (T,), 0.3, _failing, 10),
)
EFFECTS = (0.5, 1.0, 2.0, 3.0)
"""Distances of the truth from the threshold, in standard deviations over seeds."""


def main() -> None:
    """Print both tables."""
    n_studies = int(sys.argv[1])
    print("| truth at the threshold | supported | contradicted |\n|---|---|---|")
    for number, scenario in enumerate(SCENARIOS):
        counts = _verdicts(scenario, n_studies, np.random.default_rng(number))
        shares = [counts[verdict] / n_studies for verdict in (SUPPORTED, CONTRADICTED)]
        print(f"| {scenario.title} | {' | '.join(f'{s:.1%}' for s in shares)} |", flush=True)
    header = ("the truth, in standard deviations", "undecided after 3 seeds", "no number up to 30",
              "seeds said, middle half", "a fresh study of so many decides")  # fmt: skip
    print(f"\n| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for number, effect in enumerate(EFFECTS):
        generator = np.random.default_rng([9, number])
        rows = np.array(list(_outlooks(effect, n_studies // 10, generator)))
        answered_rows = rows[np.isfinite(rows[:, 0])]
        middle = "{:.0f} to {:.0f}".format(*np.quantile(answered_rows[:, 0], [0.25, 0.75]))
        parts_of_all = (
            len(rows) / (n_studies // 10),
            1 - len(answered_rows) / len(rows),
            answered_rows[:, 1].mean(),
        )
        undecided, without, decided_again = (f"{part:.0%}" for part in parts_of_all)
        fields = [f"{effect:g}", undecided, without, middle, decided_again]
        print(f"| {' | '.join(fields)} |", flush=True)


SUPPORTED, CONTRADICTED = Verdict.SUPPORTED, Verdict.CONTRADICTED


def _verdicts(
    scenario: Scenario, n_studies: int, generator: np.random.Generator
) -> dict[Verdict, int]:
    """Count the verdicts of studies."""
    counts = dict.fromkeys(Verdict, 0)
    claim = _claim(scenario.sense)
    for _ in range(n_studies):
        _, low, high = weakest(_parts(scenario, generator), scenario.sense)
        counts[claim.verdict(low, high)] += 1
    return counts


def _outlooks(
    effect: float, n_studies: int, generator: np.random.Generator
) -> Iterator[tuple[float, float]]:
    """Yield of each undecided study the seeds it asks for, and whether so many decide."""
    claim = _claim(ABOVE)
    first = Scenario("", ABOVE, (THRESHOLD + effect,), 1.0, _normal)
    for _ in range(n_studies):
        parts = _parts(first, generator)
        if claim.verdict(*weakest(parts, ABOVE)[1:]) is not Verdict.UNDECIDED:
            continue
        seeds = outlook_of(parts, claim).seeds
        if math.isnan(seeds):
            yield seeds, math.nan
            continue
        again = Scenario("", ABOVE, first.means, 1.0, _normal, int(seeds))
        verdict = claim.verdict(*weakest(_parts(again, generator), ABOVE)[1:])
        yield seeds, float(verdict is not Verdict.UNDECIDED)


def _parts(scenario: Scenario, generator: np.random.Generator) -> Parts:
    return {
        str(index): dict(
            enumerate(mean + scenario.scatter * scenario.noise(generator, scenario.seeds))
        )
        for index, mean in enumerate(scenario.means)
    }


def _claim(sense: Sense) -> Claim:
    return Claim(
        slug="planted",
        statement="",
        statistic="",
        sense=sense,
        threshold=THRESHOLD,
        reason="",
        measure=lambda cells: {},
    )


if __name__ == "__main__":
    main()
