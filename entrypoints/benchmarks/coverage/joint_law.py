"""Measures what the joint law's intervals cover: a table of docs/scaling-law.md.

    python -m entrypoints.benchmarks.coverage.joint_law 300 > table.md     # 20 minutes

Studies of the joint law are planted, in which sizes may lie off it, the law is fitted, and it is
counted how often a 95 % interval holds the planted value. The standard error of a share near 0.95
is 1.3 % at 300 studies.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answers.joint_law import MISFIT, fit_joint
from analysis.scaling.form.shapes import Floats

BS, SEEDS = (1, 5, 10, 15), 3
N_ONCE, N_REC = (209, 1025), (9_774, 1_056_512)
"""Weights of the least and the greatest size, as of tiny and medium; others lie between."""

L_INF, A, ALPHA = 1e-3, 0.007, 0.76
"""About what the study's runs give, A at ``REFERENCE`` weights."""

REFERENCE = 1e5
RESAMPLES = 200
PARAMETERS = ("phi", "alpha", "A", "L_inf")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Planted studies.

    Attributes:
        n_sizes: evenly spaced in the logarithm of their weights.
        phi: planted.
        off: standard deviation of what a size lies off the law by, at every b, in bits.
        slope: standard deviation of what it has gained too much by the largest b, in bits.
        noise: standard deviation of a run, in bits; a size's where they differ.
    """

    n_sizes: int
    phi: float
    off: float = 0.0
    slope: float = 0.0
    noise: tuple[float, ...] = (0.08,)

    @property
    def title(self) -> str:
        """What it is, in the table's first column."""
        noise = " : ".join(f"{value:g}" for value in self.noise)
        parts = [f"{self.n_sizes} sizes, phi = {self.phi:g}"]
        parts += [f"{self.off:g} bits off the law"] if self.off else []
        parts += [f"{self.slope:g} bits at the largest b"] if self.slope else []
        parts += [f"runs scatter by {noise}"] if self.noise != (0.08,) else []
        return ", ".join(parts)


BY_SIZE = (0.18, 0.14, 0.34)
"""As the runs of the study scatter."""

SCENARIOS = (
    *(Scenario(n_sizes=3, phi=phi) for phi in (0.5, 1.0)),
    Scenario(n_sizes=3, phi=1.0, noise=BY_SIZE),
    *(Scenario(n_sizes=3, phi=phi, off=0.15) for phi in (0.5, 1.0)),
    Scenario(n_sizes=3, phi=1.0, slope=0.15),
    Scenario(n_sizes=3, phi=1.0, off=0.15, noise=BY_SIZE),
    *(Scenario(n_sizes=2, phi=phi, off=0.15) for phi in (0.5, 1.0)),
    *(Scenario(n_sizes=5, phi=phi, off=0.15) for phi in (0.5, 1.0)),
    Scenario(n_sizes=8, phi=1.0, off=0.15),
)


def main() -> None:
    """Print a row of coverage for each scenario."""
    n_studies = int(sys.argv[1])
    header = [*PARAMETERS, "phi, seeds alone", "width of phi, seeds alone", "said not to fit"]
    print(f"| planted | {' | '.join(header)} |")
    print("|---" * (len(header) + 1) + "|")
    for number, scenario in enumerate(SCENARIOS):
        studies = pd.DataFrame([_study(scenario, [number, i]) for i in range(n_studies)])
        shares = studies.mean()
        fields = [f"{shares[name]:.1%}" for name in (*PARAMETERS, "seeds_alone")]
        widths = studies[["width", "width_seeds_alone"]].median()
        fields.append(" and ".join(f"{width:.2f}" for width in widths))
        fields.append(f"{shares['misfit']:.1%}")
        print(f"| {scenario.title} | {' | '.join(fields)} |", flush=True)


def _study(scenario: Scenario, seed: list[int]) -> Mapping[str, float]:
    """Plant, fit, and say what held."""
    generator = np.random.default_rng(seed)
    n_once, n_rec = (np.geomspace(*ends, scenario.n_sizes) for ends in (N_ONCE, N_REC))
    runs = pd.DataFrame(
        [
            {"size": size, "n_once": n_once[size], "n_rec": n_rec[size], "b": b, "seed": seed}
            for size in range(scenario.n_sizes)
            for b in BS
            for seed in range(SEEDS)
        ]
    )
    size, b = runs["size"].to_numpy(), runs["b"].to_numpy(float)
    off, slope = (
        deviation * generator.normal(size=scenario.n_sizes)[size]
        for deviation in (scenario.off, scenario.slope)
    )
    noise = np.resize(scenario.noise, scenario.n_sizes)[size] * generator.normal(size=len(runs))
    expected = _bits(runs, scenario.phi) + off + slope * np.log(b) / np.log(BS[-1])
    fit = fit_joint(runs.assign(expressivity=expected + noise), resamples=RESAMPLES)
    truth = {
        "phi": scenario.phi,
        "alpha": ALPHA,
        "A": A * (fit.n_reference / REFERENCE) ** -ALPHA,
        "L_inf": L_INF,
    }
    table = fit.parameters.set_index("name")
    phi = table.loc["phi"]
    return {
        **{
            name: table.loc[name, "lower"] <= value <= table.loc[name, "upper"]
            for name, value in truth.items()
        },
        "seeds_alone": phi["lower_runs"] <= scenario.phi <= phi["upper_runs"],
        "width": phi["upper"] - phi["lower"],
        "width_seeds_alone": phi["upper_runs"] - phi["lower_runs"],
        "misfit": fit.lack_of_fit < MISFIT,
    }


def _bits(runs: pd.DataFrame, phi: float) -> Floats:
    weights = (runs["n_once"] + runs["b"] ** phi * runs["n_rec"]) / REFERENCE
    return np.asarray(-0.5 * np.log2(L_INF + A * weights**-ALPHA))


if __name__ == "__main__":
    main()
