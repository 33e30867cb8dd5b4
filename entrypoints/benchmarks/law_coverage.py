"""Measures what the intervals of a fitted law cover: the table of docs/scaling-law.md.

    python -m entrypoints.benchmarks.law_coverage 1000 > table.md     # half an hour

Laws are planted, noise is drawn, laws are fitted, and it is counted how often a 95 % interval
holds the planted truth. The standard error of a share near 0.95 is 0.7 % at 1,000 studies.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling.fit import FormFit, fit_scaling
from analysis.scaling.forms import FORMS
from analysis.scaling.shapes import Floats
from analysis.scaling.solver import solve

E_M = {"tiny": 1.85, "small": 2.9, "medium": 3.4}
BS, SEEDS, NOISE = (1, 5, 10, 15), 3, 0.08
RESAMPLES = 600
LAWS = {
    "power": (0.2,),
    "logarithmic/of_E_M": (0.6, -0.4),
    "saturating_power/of_E_M": (2.5, -0.4, 0.8),
    "saturating_exponential/of_E_M": (2.2, -0.4, 0.25),
}
Noise = Callable[[np.random.Generator, pd.DataFrame], Floats]


@dataclass(frozen=True)
class Scenario:
    """Planted studies: a law, noise, and which runs the fit takes to err together."""

    title: str
    form: str
    noise: Noise
    clusters: str = "run"


def _gaussian(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    return generator.normal(size=len(runs))


def _heavy(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    return generator.standard_t(4, size=len(runs)) / 2**0.5


def _by_size(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    deviations = runs["size"].map({"tiny": 2.0, "small": 1.0, "medium": 0.5})
    return np.asarray(_gaussian(generator, runs) * deviations.to_numpy(float))


def _by_b(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    deviations = runs["b"].map(dict(zip(BS, (0.5, 1, 1, 2), strict=True)))
    return np.asarray(_gaussian(generator, runs) * deviations.to_numpy(float))


def _by_seed(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    """Half of the variance is common to all b of a size and seed."""
    keys = runs["size"] + runs["seed"].astype(str)
    common = dict(zip(sorted(set(keys)), generator.normal(size=keys.nunique()), strict=True))
    return np.asarray((keys.map(common).to_numpy(float) + _gaussian(generator, runs)) / 2**0.5)


def _failures(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    """One run of the study ends a whole bit below what it should reach."""
    noise = _gaussian(generator, runs)
    noise[generator.integers(len(runs))] -= 1 / NOISE
    return noise


POWER = "saturating_power/of_E_M"
SCENARIOS = (
    *(Scenario(f"Gaussian, {form}", form, _gaussian) for form in LAWS),
    Scenario("Student's t, 4 degrees of freedom", POWER, _heavy),
    Scenario("deviation 2 : 1 : 0.5 by size", POWER, _by_size),
    Scenario("deviation 0.5 : 1 : 1 : 2 by b", POWER, _by_b),
    Scenario("one run fails by a bit", POWER, _failures),
    Scenario("half of the variance by seed, clusters=run", POWER, _by_seed),
    Scenario("half of the variance by seed, clusters=seed", POWER, _by_seed, "seed"),
)
TABLES: dict[str, dict[str, list[Any]]] = {
    "E_M, medium": {"size": ["medium"], "b": [1]},
    "E_LM, tiny, b = 5": {"size": ["tiny"], "b": [5]},
    "E_LM, small, b = 10": {"size": ["small"], "b": [10]},
    "E_LM, small, b = 30": {"size": ["small"], "b": [30]},
    "E_LM, E_M = 2.5, b = 10": {"E_M": [2.5], "b": [10]},
}


def main() -> None:
    """Print a row of coverage for each scenario."""
    n_studies = int(sys.argv[1])
    header = [*TABLES, "the form's parameters", "all", "plain bootstrap"]
    print(f"| noise and law | {' | '.join(header)} |")
    print("|---" * (len(header) + 1) + "|")
    for number, scenario in enumerate(SCENARIOS):
        holds, plain_holds = zip(
            *(_study(scenario, [number, i]) for i in range(n_studies)), strict=True
        )
        shares = np.mean(holds, axis=0)
        shown_shares = [*shares[: len(TABLES)], shares[len(TABLES) :].mean(), shares.mean()]
        fields = [f"{share:.1%}" for share in (*shown_shares, np.mean(plain_holds))]
        print(f"| {scenario.title} | {' | '.join(fields)} |", flush=True)


def _study(scenario: Scenario, seed: list[int]) -> tuple[list[bool], list[bool]]:
    generator = np.random.default_rng(seed)
    form, truth = FORMS[scenario.form], LAWS[scenario.form]
    runs = pd.DataFrame(
        [{"size": s, "b": b, "seed": k} for s in E_M for b in BS for k in range(SEEDS)]
    )
    expected = form(runs["size"].map(E_M), runs["b"], *truth)
    runs["expressivity"] = expected + NOISE * np.asarray(scenario.noise(generator, runs))
    fit = fit_scaling(
        runs, forms=[scenario.form], clusters=scenario.clusters, resamples=RESAMPLES
    ).best
    table = fit.parameters().set_index("name")
    holds, plain_holds, draws = [], [], _pairs(fit, generator)
    for question in TABLES.values():
        start = [E_M[size] for size in question["size"]] if "size" in question else question["E_M"]
        answer = float(form(start, question["b"], *truth)[0])
        lower, upper = fit.interval(question)
        holds.append(bool(lower[0] <= answer <= upper[0]))
        low, high = np.quantile(fit.evaluate(question, draws)[0], [0.025, 0.975])
        plain_holds.append(bool(low <= answer <= high))
    for parameter, answer in zip(form.parameters, truth, strict=True):
        row = table.loc[parameter.name]
        holds.append(bool(row["lower"] <= answer <= row["upper"]))
    return holds, plain_holds


def _pairs(fit: FormFit, generator: np.random.Generator, count: int = 300) -> Floats:
    """Draw each cell's runs with replacement and fit: the plain bootstrap, for comparison."""
    run_table, sized_form, observations = fit.run_table, fit.sized_form, fit.observations
    weights = np.zeros((count, len(run_table.values)))
    for cell in range(len(run_table.cell_b)):
        indices = np.flatnonzero(run_table.cells == cell)
        shares = np.full(len(indices), 1 / len(indices))
        weights[:, indices] = generator.multinomial(len(indices), shares, count)
    return solve(
        sized_form.model(run_table.cell_size, run_table.cell_b),
        replace(observations, weights=weights),
        np.repeat(fit.theta[None], count, axis=0),
        sized_form.lower,
        sized_form.upper,
        tolerance=1e-6,
    ).theta


if __name__ == "__main__":
    main()
