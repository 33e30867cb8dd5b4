"""The joint law of size and loops: what a loop is worth in parameters.

    L(N, b) = L_inf + A (N_once + b^phi N_rec)^-alpha   [ + B D^-beta ]

L is the NMSE, N_once counts the weights that are used once (read-in, read-out), N_rec those of
the looped blocks, D the training steps, whose term is there when the runs vary them. phi is the
recurrence-equivalence exponent: b loops of N_rec weights are worth b^phi N_rec weights; 1 would
be as good as b times the weights, 0 worth nothing. For language models, with cross-entropy as L,
arXiv:2604.21106 gives 0.46 [0.41, 0.53].

The fit is in bits, E = -1/2 log2 L, where runs scatter evenly. Weights and steps are counted in
units of their geometric means, so that A and B are losses.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.scaling import resampling
from analysis.scaling.resampling import Uncertainty
from analysis.scaling.run_table import LEAST_SCALE, RunTableError, pair_scale
from analysis.scaling.solver import Floats, Model, Observations, solve

PUBLISHED_PHI = (0.46, 0.41, 0.53)
"""Value and 95 % interval for language models (arXiv:2604.21106)."""

NEEDED = ("n_once", "n_rec", "b", "seed", "expressivity")
_BITS_PER_RELATIVE = 1 / (2 * np.log(2))


@dataclass(frozen=True)
class JointFit:
    """The joint law fitted to runs.

    Attributes:
        parameters: ``name``, ``value``, ``lower`` and ``upper`` (95 %), ``at_bound``.
        n_reference: weights that A is stated at.
        steps_reference: steps that B is stated at; None without that term.
        rmse: of the runs about the law, in bits.
        n_runs: fitted.
        converged: whether the search came to rest.
    """

    parameters: pd.DataFrame
    n_reference: float
    steps_reference: float | None
    rmse: float
    n_runs: int
    converged: bool

    @property
    def phi(self) -> tuple[float, float, float]:
        """The recurrence-equivalence exponent and the ends of its interval."""
        row = self.parameters.set_index("name").loc["phi"]
        return float(row["value"]), float(row["lower"]), float(row["upper"])

    def describe(self) -> list[str]:
        """Say what was found, in lines."""
        formula = f"NMSE = L_inf + A ((N_once + b^phi N_rec) / {self.n_reference:,.0f})^-alpha"
        if self.steps_reference is not None:
            formula += f" + B (steps / {self.steps_reference:,.0f})^-beta"
        lines = [formula]
        for row in self.parameters.itertuples():
            edge = "  at the edge of what was searched" if row.at_bound else ""
            span = f"[{row.lower:.4g}, {row.upper:.4g}]"
            lines.append(f"{row[1]:<5} : {row.value:>9.4g}  {span}{edge}")
        value, lower, upper = PUBLISHED_PHI
        lines.append(
            f"language models, of cross-entropy: phi {value} [{lower}, {upper}] (arXiv:2604.21106)"
        )
        lines.append(f"{self.n_runs} runs scatter by {self.rmse:.3g} bits about it")
        if not self.converged:
            lines.append("the search did not come to rest: take these values for nothing")
        return lines


def fit_joint(
    runs: pd.DataFrame, loss: str = "huber", resamples: int = 1000, seed: int = 0
) -> JointFit:
    """Fit the joint law.

    Args:
        runs: a row per run: ``n_once``, ``n_rec``, ``b``, ``seed``, ``expressivity`` (bits)
            and, where it varies, ``steps``.
        loss: as in ``fit_scaling``.
        resamples: of the bootstrap over runs.
        seed: of the bootstrap.

    Raises:
        PointsError: too few sizes, b or runs; the message says how many it takes.
    """
    missing_columns = [name for name in NEEDED if name not in runs]
    if missing_columns:
        rule = f"the joint law needs the columns {', '.join(NEEDED)}"
        raise RunTableError(f"{rule}, got no {missing_columns}")
    order = [name for name in ("n_rec", "n_once", "b", "steps", "expressivity") if name in runs]
    table = runs.sort_values(order).reset_index(drop=True)
    with_steps = "steps" in table and table["steps"].nunique() > 1
    keys = table[[name for name in order if name != "expressivity"]].to_numpy(float)
    is_new = np.r_[True, (np.diff(keys, axis=0) != 0).any(axis=1)]
    cells, firsts = np.cumsum(is_new) - 1, np.flatnonzero(is_new)
    n_parameters = 6 if with_steps else 4
    for rule, count, least in (
        ("sizes", table["n_rec"].nunique(), 2),
        ("values of b", table["b"].nunique(), 2),
        ("cells", len(firsts), n_parameters),
        ("runs", len(table), n_parameters + 2),
    ):
        if count < least:
            raise RunTableError(f"the joint law needs {least} {rule} or more, got {count}")
    terms = _Terms(table.iloc[firsts], with_steps)
    values = table["expressivity"].to_numpy(float)
    scale = pair_scale(values, cells)
    lower, upper = terms.bounds
    if scale is None:
        unit = Observations(values[None], np.ones((1, len(table))), np.ones(len(table)), cells)
        least_squares = solve(
            terms.model, unit, terms.starts, lower, upper, loss="squared"
        ).loss.min()
        scale = max(float(np.sqrt(least_squares / (len(table) - n_parameters))), LEAST_SCALE)
    weights, scales = np.ones((1, len(table))), np.full(len(table), scale)
    observations = Observations(values[None], weights, scales, cells)
    solution = solve(
        terms.model, observations, terms.starts, lower, upper, loss=loss, max_steps=300
    )
    best = int(np.argmin(solution.loss))
    theta = solution.theta[best]
    uncertainty = resampling.resample(
        terms.model,
        observations,
        theta,
        bounds=(lower, upper),
        loss=loss,
        clusters=np.arange(len(table)),
        n_resamples=resamples,
        seed=seed,
    )
    expected = terms.model(theta[None])[0][0][cells]
    return JointFit(
        parameters=_tabulate(terms, theta, uncertainty),
        n_reference=terms.n_reference,
        steps_reference=terms.steps_reference if with_steps else None,
        rmse=float(np.sqrt(((values - expected) ** 2).mean())),
        n_runs=len(table),
        converged=bool(solution.converged[best]),
    )


class _Terms:
    """The law at the runs' cells. All parameters but phi are searched for as logarithms."""

    def __init__(self, cells: pd.DataFrame, with_steps: bool) -> None:
        self.names = ["L_inf", "A", "alpha", "phi", *(["B", "beta"] if with_steps else [])]
        self.is_log = np.array([name != "phi" for name in self.names])
        n_once, n_rec = (cells[name].to_numpy(float) for name in ("n_once", "n_rec"))
        self.n_reference = float(np.exp(np.log(n_rec).mean()))
        self.once, self.rec = n_once / self.n_reference, n_rec / self.n_reference
        self.b = cells["b"].to_numpy(float)
        steps = cells["steps"].to_numpy(float) if with_steps else np.ones(len(cells))
        self.steps_reference = float(np.exp(np.log(steps).mean()))
        self.log_steps = np.log(steps / self.steps_reference)
        self.with_steps = with_steps

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Least and greatest parameters, on the scale they are searched for on."""
        ends = {
            "L_inf": (1e-7, 1), "A": (1e-7, 1e3), "alpha": (0.01, 10), "phi": (-1, 5),
            "B": (1e-7, 1e3), "beta": (0.01, 10),
        }  # fmt: skip
        rows = np.array([ends[name] for name in self.names], float)
        rows[self.is_log] = np.log(rows[self.is_log])
        return rows[:, 0], rows[:, 1]

    @property
    def starts(self) -> Floats:
        """Where to begin, of shape (starts, P)."""
        parts: list[tuple[float, ...]] = [(1e-4, 1e-2), (0.01, 0.3), (0.3, 1.5), (0.2, 0.5, 1.0)]
        parts += [(0.01,), (0.5, 1.5)] if self.with_steps else []
        rows = np.array(list(itertools.product(*parts)))
        rows[:, self.is_log] = np.log(rows[:, self.is_log])
        return rows

    @property
    def model(self) -> Model:
        """Expected bits of each cell."""

        def model(theta: Floats) -> tuple[Floats, Floats]:
            natural = np.where(self.is_log, np.exp(np.where(self.is_log, theta, 0.0)), theta)
            floor, factor, alpha, phi = (natural[:, [i]] for i in range(4))
            looped_weights = self.b**phi * self.rec
            weights = self.once + looped_weights
            term = factor * weights**-alpha
            total = floor + term
            slopes = [
                np.broadcast_to(floor, term.shape),
                term,
                -term * alpha * np.log(weights),
                -term * alpha * looped_weights / weights * np.log(self.b),
            ]
            if self.with_steps:
                factor, beta = natural[:, [4]], natural[:, [5]]
                late = factor * np.exp(-beta * self.log_steps)
                total = total + late
                slopes += [late, -late * beta * self.log_steps]
            jacobian = np.stack(slopes, axis=-1) * (-_BITS_PER_RELATIVE / total)[:, :, None]
            return -0.5 * np.log2(total), jacobian

        return model


def _tabulate(terms: _Terms, theta: Floats, uncertainty: Uncertainty) -> pd.DataFrame:
    least, most = terms.bounds
    lower, upper = uncertainty.interval(theta, uncertainty.draws, np.eye(len(theta)), 0.95)
    ends = [theta, np.maximum(lower, least), np.minimum(upper, most)]
    value, lower, upper = (np.where(terms.is_log, np.exp(end), end) for end in ends)
    edge = np.minimum(theta - least, most - theta) < 1e-3 * (most - least)
    return pd.DataFrame(
        {"name": terms.names, "value": value, "lower": lower, "upper": upper, "at_bound": edge}
    )
