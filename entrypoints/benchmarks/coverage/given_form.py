"""Measures what the intervals of a fitted law cover: the table of docs/scaling-law.md.

    python -m entrypoints.benchmarks.coverage.given_form 400 > table.md     # a quarter of an hour

Laws are planted, noise is drawn, laws are fitted, and it is counted how often a 95 % interval
holds the planted truth. The standard error of a share near 0.95 is 1.1 % at 400 studies.
"""

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling.fit import FormFit, fit_scaling
from analysis.scaling.form.forms import FORMS
from analysis.scaling.form.shapes import Floats
from analysis.scaling.solving.solver import solve

E_M = {"tiny": 1.85, "small": 2.9, "medium": 3.4}
NOISE, RESAMPLES = 0.08, 600
PROMPTS = 0.07
"""Standard error of the held-out prompts in bits, where a scenario has it; half at b = 1."""
LAWS = {
    "power": (0.2,),
    "logarithmic/of_E_M": (0.6, -0.4),
    "saturating_power/of_E_M": (2.5, -0.4, 0.8),
    "saturating_exponential/of_E_M": (2.2, -0.4, 0.25),
}
Noise = Callable[[np.random.Generator, pd.DataFrame], Floats]


@dataclass(frozen=True)
class Design:
    """What is trained."""

    sizes: tuple[str, ...] = ("tiny", "small", "medium")
    bs: tuple[int, ...] = (1, 5, 10, 15)
    n_seeds: int = 3

    def runs(self) -> pd.DataFrame:
        """List the trainings."""
        names, seeds = ["size", "b", "seed"], range(self.n_seeds)
        return pd.DataFrame(itertools.product(self.sizes, self.bs, seeds), columns=names)


QUICK = Design(("tiny", "small"), (1, 2, 4, 8), 5)


@dataclass(frozen=True)
class Scenario:
    """Planted studies: a law, noise, and which runs the fit takes to err together."""

    title: str
    form: str
    noise: Noise
    clusters: str = "auto"
    design: Design = Design()
    has_prompt_error: bool = False


def _gaussian(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    return generator.normal(size=len(runs))


def _heavy(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    return generator.standard_t(4, size=len(runs)) / 2**0.5


def _by_size(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    deviations = runs["size"].map({"tiny": 2.0, "small": 1.0, "medium": 0.5})
    return np.asarray(_gaussian(generator, runs) * deviations.to_numpy(float))


def _by_b(generator: np.random.Generator, runs: pd.DataFrame) -> Floats:
    deviations = runs["b"].map({1: 0.5, 5: 1.0, 10: 1.0, 15: 2.0})
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


POWER, LOGARITHM = "saturating_power/of_E_M", "logarithmic/of_E_M"
SCENARIOS = (
    *(Scenario(f"Gaussian, {form}", form, _gaussian) for form in LAWS),
    Scenario("Student's t, 4 degrees of freedom", POWER, _heavy),
    Scenario("deviation 2 : 1 : 0.5 by size", POWER, _by_size),
    Scenario("deviation 0.5 : 1 : 1 : 2 by b", POWER, _by_b),
    Scenario("one run fails by a bit", POWER, _failures),
    Scenario("one Gaussian draw for all held-out prompts", POWER, _gaussian, has_prompt_error=True),
    Scenario("Gaussian, clusters=run", POWER, _gaussian, "run"),
    Scenario("half of the variance by seed, clusters=run", POWER, _by_seed, "run"),
    Scenario("half of the variance by seed", POWER, _by_seed),
    Scenario("the same, 2 sizes, b = 1, 2, 4, 8, 5 seeds", LOGARITHM, _by_seed, design=QUICK),
)
QUESTIONS: dict[str, dict[str, list[Any]]] = {
    "E_M, small": {"size": ["small"], "b": [1]},
    "E_LM, tiny, b = 5": {"size": ["tiny"], "b": [5]},
    "E_LM, small, b = 10": {"size": ["small"], "b": [10]},
    "E_LM, small, b = 30": {"size": ["small"], "b": [30]},
    "E_LM, E_M = 2.5, b = 10": {"E_M": [2.5], "b": [10]},
    "E_M = 2.5 measured to 0.1, b = 10": {"E_M": [2.5], "E_M_se": [0.1], "b": [10]},
}


def main() -> None:
    """Print a row of coverage for each scenario."""
    n_studies = int(sys.argv[1])
    columns = [*QUESTIONS, "the form's parameters", "all", "one new training", "plain bootstrap"]
    print(f"| noise and law | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    for number, scenario in enumerate(SCENARIOS):
        holds, run_shares, plain_holds = zip(
            *(_study(scenario, [number, i]) for i in range(n_studies)), strict=True
        )
        shares = np.mean(holds, axis=0)
        n_questions = len(QUESTIONS)
        shown_shares = [*shares[:n_questions], shares[n_questions:].mean(), shares.mean()]
        shown_shares += [np.mean(run_shares), np.mean(plain_holds)]
        fields = [f"{share:.1%}" for share in shown_shares]
        print(f"| {scenario.title} | {' | '.join(fields)} |", flush=True)


def _study(scenario: Scenario, seed: list[int]) -> tuple[list[bool], float, list[bool]]:
    """Say which intervals hold the truth, what share of new runs, and which plain ones do."""
    generator = np.random.default_rng(seed)
    form, truth = FORMS[scenario.form], LAWS[scenario.form]
    runs = scenario.design.runs()
    expected = form(runs["size"].map(E_M), runs["b"], *truth)
    if scenario.has_prompt_error:
        runs["standard_error"] = PROMPTS * np.where(runs["b"] == 1, 0.5, 1.0)
        on_these_prompts = expected + generator.normal() * runs["standard_error"].to_numpy(float)
    else:
        on_these_prompts = expected
    bits_of_runs, bits_of_new_runs = (
        on_these_prompts + NOISE * np.asarray(scenario.noise(generator, runs)) for _ in range(2)
    )
    fit = fit_scaling(
        runs.assign(expressivity=bits_of_runs),
        forms=[scenario.form],
        clusters=scenario.clusters,
        resamples=RESAMPLES,
    ).best
    lower, upper = fit.interval(runs, kind="new_run")
    run_share = float(((lower <= bits_of_new_runs) & (bits_of_new_runs <= upper)).mean())
    table = fit.parameters().set_index("name")
    holds, plain_holds, draws = [], [], _pairs(fit, generator)
    for question in QUESTIONS.values():
        start = [E_M[size] for size in question["size"]] if "size" in question else question["E_M"]
        answer = float(form(start, question["b"], *truth)[0])
        asked_question = dict(question)
        if "E_M_se" in question:  # what is told of E_M errs
            error = question["E_M_se"][0] * generator.normal()
            asked_question["E_M"] = [question["E_M"][0] + error]
        lower, upper = fit.interval(asked_question, new_prompts=scenario.has_prompt_error)
        holds.append(bool(lower[0] <= answer <= upper[0]))
        low, high = np.quantile(fit.evaluate(question, draws)[0], [0.025, 0.975])
        plain_holds.append(bool(low <= answer <= high))
    for parameter, answer in zip(form.parameters, truth, strict=True):
        row = table.loc[parameter.name]
        holds.append(bool(row["lower"] <= answer <= row["upper"]))
    return holds, run_share, plain_holds


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
