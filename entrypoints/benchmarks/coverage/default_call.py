"""Measures what the default call's intervals cover, where it averages forms: docs/scaling-law.md.

    python -m entrypoints.benchmarks.coverage.default_call 150 > table.md    # an hour on one core
    python -m entrypoints.benchmarks.coverage.default_call 150 Hill          # rows that hold a word

Laws are planted inside the forms and outside them; ``fit_scaling`` is called as anybody calls it,
and it is counted how often a 95 % interval for the mean over seeds holds the planted truth: between
the trained b and beyond them, of the average that predicts and of the form that leads alone.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.scaling.fit import fit_scaling
from analysis.scaling.form.forms import FORMS
from analysis.scaling.form.shapes import Floats

E_M = {"tiny": 1.85, "small": 2.9, "medium": 3.4}
BS, SEEDS, NOISE, RESAMPLES = (1, 5, 10, 15), 3, 0.08, 200
ASKED_BS = (3, 7, 30)
EXPONENTS = {1.85: 1.0, 2.9: 0.4, 3.4: 0.13}
GAINS = {1.85: 2.2, 2.9: 2.0, 3.4: 3.0}
Law = Callable[[Floats, Floats], Floats]


def _form(name: str, *parameters: float) -> Law:
    return lambda e_m, b: FORMS[name](e_m, b, *parameters)


def _less_for_better(e_m: Floats) -> Floats:
    return np.asarray(np.exp(-0.4 * (e_m - 2)))


def _hill(e_m: Floats, b: Floats) -> Floats:
    power = (b - 1) ** 1.3
    return np.asarray(e_m + 2.2 * _less_for_better(e_m) * power / (power + 4**1.3))


def _fast_and_slow(e_m: Floats, b: Floats) -> Floats:
    gain = 1.2 * (1 - np.exp(-(b - 1.0))) + 0.35 * np.log2(b)
    return np.asarray(e_m + _less_for_better(e_m) * gain)


def _exponent_of_each_size(e_m: Floats, b: Floats) -> Floats:
    exponents, gains = (np.vectorize(values.get)(e_m) for values in (EXPONENTS, GAINS))
    return np.asarray(e_m + gains * (1 - b**-exponents))


def _falls_beyond_8(e_m: Floats, b: Floats) -> Floats:
    doublings = np.log2(b)
    return np.asarray(e_m + np.minimum(doublings, 3) - 0.6 * np.maximum(doublings - 3, 0))


@dataclass(frozen=True)
class World:
    """A planted law, and whether it is one of the forms."""

    title: str
    law: Law
    place: str


WORLDS = (
    World("saturating power", _form("saturating_power/of_E_M", 2.5, -0.4, 0.8), "inside"),
    World("logarithm", _form("logarithmic/of_E_M", 0.6, -0.4), "inside"),
    World("exponential", _form("saturating_exponential/of_E_M", 2.2, -0.4, 0.25), "inside"),
    World("exponent of each size", _exponent_of_each_size, "inside"),
    World("Hill curve", _hill, "outside"),
    World("fast part and slow logarithm", _fast_and_slow, "outside"),
    World("rises to b = 8, then falls", _falls_beyond_8, "outside"),
)


def main() -> None:
    """Print a row for each world."""
    n_studies, word = int(sys.argv[1]), " ".join(sys.argv[2:])
    places = [f"b = {b}" for b in ASKED_BS]
    header = [*places, "width", "leading form alone", "rms error", "leading form alone"]
    print(f"| law | | {' | '.join(header)} |")
    print("|---" * (len(header) + 2) + "|")
    for index, world in enumerate(WORLDS):
        if word in world.title:
            studies = np.array([_study(world, [index, i]) for i in range(n_studies)])
            shares = studies[:, :2].mean(axis=(0, 3))  # over studies and sizes
            widths = np.median(studies[:, 2], axis=(0, 2))
            roots = np.sqrt((studies[:, 3:] ** 2).mean(axis=(0, 3)))
            fields = [
                *(f"{share:.0%}" for share in shares[0]),
                _join(widths, ".2f"),
                _join(shares[1], ".0%"),
                _join(roots[0], ".2f"),
                _join(roots[1], ".2f"),
            ]
            print(f"| {world.title} | {world.place} | {' | '.join(fields)} |", flush=True)


def _join(values: Floats, how: str) -> str:
    return ", ".join(format(value, how) for value in values)


def _study(world: World, seed: list[int]) -> Floats:
    """Return coverage, the leading form's, widths and both errors: (5, asked b, sizes)."""
    generator = np.random.default_rng(seed)
    runs = pd.DataFrame(
        [{"size": s, "b": b, "seed": k} for s in E_M for b in BS for k in range(SEEDS)]
    )
    expected = world.law(runs["size"].map(E_M).to_numpy(), runs["b"].to_numpy(float))
    runs["expressivity"] = expected + NOISE * generator.normal(size=len(runs))
    fit = fit_scaling(runs, resamples=RESAMPLES)
    table = pd.DataFrame([{"size": size, "b": b} for b in ASKED_BS for size in E_M])
    truth = world.law(table["size"].map(E_M).to_numpy(), table["b"].to_numpy(float))
    lower, upper = fit.interval(table)
    best_lower, best_upper = fit.best.interval(table)
    rows = [
        (lower <= truth) & (truth <= upper),
        (best_lower <= truth) & (truth <= best_upper),
        upper - lower,
        fit.predict(table) - truth,
        fit.best.predict(table) - truth,
    ]
    return np.array(rows, dtype=float).reshape(len(rows), len(ASKED_BS), len(E_M))


if __name__ == "__main__":
    main()
