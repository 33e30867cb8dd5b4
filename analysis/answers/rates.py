"""What the size's own rate of learning costs, and what the law says at the best rate tried.

The **regret** of a cell (size, b) is E at the best of the rates tried less E at the size's own, in
bits; it is 0 where the own rate is the best. The greatest of several noisy means lies above the
greatest truth, so it is told in two ways that allow for that. The estimate chooses the best rate by
all seeds but one and measures it on that one, each in turn. The interval is that of
``by_seed.weakest``, cut at 0: its upper end is the greatest upper end of the rates' own 95 %
intervals, one of which is the best rate's; its lower end takes intervals corrected for the number
of rates. So either end lies beyond the truth in at most 2.5 % of studies, as far as seeds go.

The law at the best rate is fitted to the run of each (size, b, seed) at the rate that the other
seeds choose there, so that no run has helped to choose itself. What is compared with it is the law
of the same (size, b, seed) at the own rate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from analysis.answers.joint_law import JointFit, fit_joint
from analysis.answers.leaving_out import degrees_of, jackknifed, without_seeds
from analysis.claims.by_seed import BySeed, Sense, interval, mean, weakest
from analysis.claims.cells import Cells
from analysis.claims.findings import comparable
from analysis.claims.measures.rates import OWN, VARIES, by_factor, over_own
from analysis.runs.logged_run import LoggedRun
from analysis.runs.selection import tabulate_runs
from analysis.scaling.run_table import RunTableError


@dataclass(frozen=True, kw_only=True)
class LawAtBest:
    """The joint law at the best rate beside that at the size's own.

    Attributes:
        fit_at_own: at the size's own rates.
        fit_at_best: at the rates that the other seeds choose.
        phi: that at the best less that at the own rate, with its 95 % interval; None where a size
            has one seed.
        cells: ``size``, ``b``, ``own`` and ``best`` (bits that the laws expect), and their
            ``difference`` with ``lower`` and ``upper``; no ends where a size has one seed.
    """

    fit_at_own: JointFit
    fit_at_best: JointFit
    phi: tuple[float, float, float] | None
    cells: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What runs at several rates say of the size's own.

    Attributes:
        regrets: a row for each (size, b) that was trained at its own rate and another: ``size``,
            ``b``, ``seeds`` (at the own rate and another), ``factors`` (those tried),
            ``best_factor`` (of the greatest mean), ``edge`` (``least`` or ``greatest`` where that
            is the end of what was tried, so that the regret is a lower bound; else empty),
            ``regret`` (of the best rate as the other seeds choose it), ``regret_low``,
            ``regret_high`` and ``greatest_mean`` (that of the best rate chosen on the seeds that
            measure it, which is biased upward).
        gains: ``size``, ``b``, ``factor``, ``seeds``, ``gain`` (bits over the own rate) and
            its 95 % interval ``low``, ``high``.
        law: the joint law at the best rate, or why there is none.
        left_out: what was left out of the comparison, in words.
    """

    regrets: pd.DataFrame = field(default_factory=pd.DataFrame)
    gains: pd.DataFrame = field(default_factory=pd.DataFrame)
    law: LawAtBest | str = "no rate was tried but the size's own"
    left_out: Sequence[str] = ()


def read_rates(runs: Sequence[LoggedRun], resamples: int = 1000) -> Rates | None:
    """Compare rates, by seed.

    Args:
        runs: of one task.
        resamples: of the joint laws' bootstrap.

    Returns:
        None where no (size, b) was trained at its own rate and another with a common seed.
    """
    cells, left_out = comparable(runs, VARIES)
    of_factors = by_factor(cells)
    places = [(size, b) for size in cells.sizes for b in cells.bs(size)]
    gains_of = {place: over_own(of_factors, *place) for place in places}
    gains_of = {place: gains for place, gains in gains_of.items() if gains}
    if not gains_of:
        return None
    own_bits = {place: of_factors[OWN].bits(*place) for place in gains_of}
    return Rates(
        regrets=pd.DataFrame(
            [_regret(*place, own_bits[place], gains) for place, gains in gains_of.items()]
        ),
        gains=pd.DataFrame(
            [
                {"size": size, "b": b, "factor": factor, "seeds": len(gain), "gain": mean(gain)}
                | dict(zip(("low", "high"), _ends(gain), strict=True))
                for (size, b), gains in gains_of.items()
                for factor, gain in gains.items()
            ]
        ),
        law=_law_at_best(of_factors, own_bits, gains_of, resamples),
        left_out=left_out,
    )


def law_line(law: LawAtBest | str) -> str:
    """Say in a sentence or two what the joint law is at the best rate, or why there is none."""
    if isinstance(law, str):
        return f"No law is fitted at the best rate: {law}."
    own_phi, best_phi = (
        f"{value:.2f} [{low:.2f}, {high:.2f}]"
        for value, low, high in (law.fit_at_own.phi, law.fit_at_best.phi)
    )
    line = f"The joint law has phi {own_phi} at the own rates and {best_phi} at the best"
    if law.phi is None:
        return f"{line}; a difference takes two seeds of each size."
    value, low, high = law.phi
    words = "differs" if low > 0 or high < 0 else "is not shown to differ"
    return (
        f"{line}: it {words} ({value:+.2f} [{low:+.2f}, {high:+.2f}] if every size obeys the law; "
        "jackknife over seeds of sizes, with the choice of rates held)."
    )


def choices_of_others(own_bits: BySeed, gains: Mapping[float, BySeed]) -> dict[int, float]:
    """Choose the best rate of a cell without each seed in turn.

    Args:
        own_bits: at the size's own rate, by seed.
        gains: bits over that, by other factor and seed.

    Returns:
        The factor of the greatest mean gain over the other seeds, by seed; the size's own where
        none is above 0. Seeds that were trained at the own rate alone have none, and so has a
        single seed.

    Example:
        >>> choices_of_others({1: 0.0, 2: 0.0, 3: 0.0}, {2.0: {1: 0.9, 2: -0.1, 3: -0.1}})
        {1: 1.0, 2: 2.0, 3: 2.0}
    """
    seeds = [seed for seed in own_bits if any(seed in gain for gain in gains.values())]
    choices = {}
    for seed in seeds if len(seeds) > 1 else ():
        means = {OWN: 0.0}
        for factor, gain in gains.items():
            gains_of_others = [value for seed_there, value in gain.items() if seed_there != seed]
            if gains_of_others and seed in gain:
                means[factor] = sum(gains_of_others) / len(gains_of_others)
        choices[seed] = max(means, key=lambda factor: means[factor])
    return choices


def _regret(
    size: str, b: int, own_bits: BySeed, gains: Mapping[float, BySeed]
) -> dict[str, object]:
    means = {OWN: 0.0} | {factor: mean(gain) for factor, gain in gains.items()}
    best_factor = max(means, key=lambda factor: means[factor])
    ends = {min(means): "least", max(means): "greatest"}
    choices = choices_of_others(own_bits, gains)
    left_out = [gains[factor][seed] if factor != OWN else 0.0 for seed, factor in choices.items()]
    _, low, high = weakest({f"{factor:g}": gain for factor, gain in gains.items()}, Sense.BELOW)
    is_told = any(len(gain) > 1 for gain in gains.values())
    return {
        "size": size,
        "b": b,
        "seeds": len({seed for gain in gains.values() for seed in gain}),
        "factors": ", ".join(f"{factor:g}" for factor in sorted(means)),
        "best_factor": best_factor,
        "edge": ends.get(best_factor, ""),
        "regret": sum(left_out) / len(left_out) if left_out else math.nan,
        "regret_low": max(low, 0.0) if is_told else math.nan,
        "regret_high": max(high, 0.0) if is_told else math.nan,
        "greatest_mean": means[best_factor],
    }


def _ends(gain: BySeed) -> tuple[float, float]:
    return interval(gain) if len(gain) > 1 else (math.nan, math.nan)


def _law_at_best(
    of_factors: Mapping[float, Cells],
    own_bits: Mapping[tuple[str, int], BySeed],
    gains_of: Mapping[tuple[str, int], Mapping[float, BySeed]],
    resamples: int,
) -> LawAtBest | str:
    own_runs, best_runs = [], []
    for (size, b), gains in gains_of.items():
        for seed, factor in choices_of_others(own_bits[size, b], gains).items():
            own_runs.append(of_factors[OWN].of_cell(size, b)[seed])
            best_runs.append(of_factors[factor].of_cell(size, b)[seed])
    if not own_runs:
        return "choosing a rate without the seed that it is measured on takes 2 seeds"
    tables = [tabulate_runs(runs, {}) for runs in (own_runs, best_runs)]
    try:
        fits = own_fit, best_fit = [fit_joint(table, resamples=resamples) for table in tables]
    except RunTableError as error:
        return str(error)
    cells = own_fit.cells[["size", "b"]].copy()
    cells["own"], cells["best"] = (fit.cells["expected"] for fit in fits)
    cells["difference"] = cells["best"] - cells["own"]
    degrees, phi = degrees_of(tables[0]), None
    if degrees:
        own_without, best_without = (
            without_seeds(table, fit, "huber") for table, fit in zip(tables, fits, strict=True)
        )
        phi = jackknifed(
            best_fit.phi[0] - own_fit.phi[0], best_without.phi - own_without.phi, degrees
        )
        of_cells = (best_without.expected - own_without.expected).T
        ends = [
            jackknifed(value, without, degrees)[1:]
            for value, without in zip(cells["difference"], of_cells, strict=True)
        ]
        cells[["lower", "upper"]] = ends
    return LawAtBest(fit_at_own=own_fit, fit_at_best=best_fit, phi=phi, cells=cells)
