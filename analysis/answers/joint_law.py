"""The joint law of size and loops: what a loop is worth in parameters.

    L(N, b) = L_inf + A (N_once + b^phi N_rec)^-alpha   [ + B D^-beta ]

L is the NMSE, N_once counts the weights that are used once (read-in, read-out), N_rec those of
the looped blocks, D the training steps, whose term is there when the runs vary them. phi is the
recurrence-equivalence exponent: b loops of N_rec weights are worth b^phi N_rec weights; 1 would
be as good as b times the weights, 0 worth nothing. For language models, with cross-entropy as L,
arXiv:2604.21106 gives 0.46 [0.41, 0.53].

The fit is in bits, E = -1/2 log2 L, where runs scatter evenly within a size. Weights and steps are
counted in units of their geometric means, so that A and B are losses. phi compares what loops do
within a size with what weights do between sizes, so it is as sure as sizes follow one law: its
interval holds what sizes do by themselves; see ``joint_checks``.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.answers import joint_checks
from analysis.answers.joint_form import JointForm
from analysis.answers.joint_runs import JointRuns, read_joint_runs
from analysis.scaling.run_table import Floats
from analysis.scaling.solving import resampling
from analysis.scaling.solving.scales import LEAST_SCALE
from analysis.scaling.solving.solver import Observations, solve

PUBLISHED_PHI = (0.46, 0.41, 0.53)
"""Value and 95 % interval for language models (arXiv:2604.21106)."""

MISFIT = 0.05
"""Chance below which the law is said not to fit: that of a 95 % interval to miss."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a joint law is of.

    Attributes:
        loss: its name.
        length: of a training, by name.
        unit: the loss of which E = -1/2 log2 is 0; L_inf, A and B are said as losses.
    """

    loss: str = "NMSE"
    length: str = "steps"
    unit: float = 1.0


NMSE = Quantity()
"""What trainings of our own are measured by."""


@dataclass(frozen=True, kw_only=True)
class JointFit:
    """The joint law fitted to runs.

    Attributes:
        parameters: ``name``, ``value``; ``lower`` and ``upper`` (95 %), which hold that sizes may
            lie off the law; ``lower_runs`` and ``upper_runs``, which take the law to be exact for
            every size; ``at_bound``.
        is_by_leaving_out: whether the first of these come from leaving out each size.
        sizes: names, the smallest first.
        n_reference: weights that A is stated at.
        steps_reference: steps that B is stated at; None without that term.
        rmse: of the runs about the law, in bits.
        n_runs: fitted.
        converged: whether the search came to rest.
        lack_of_fit: chance of cells' means so far off the law if it holds, with each size's own
            scatter; NaN without runs to spare.
        lack_of_fit_alike: the same if all sizes scatter alike.
        cells: ``size``, ``b``, ``steps`` where they vary, ``mean``, ``expected``, in bits.
        phi_by_sizes: phi without each size, and by pairs of sizes; see ``joint_checks``.
        quantity: what the law is of.
    """

    parameters: pd.DataFrame
    is_by_leaving_out: bool
    sizes: tuple[str, ...]
    n_reference: float
    steps_reference: float | None
    rmse: float
    n_runs: int
    converged: bool
    lack_of_fit: float
    lack_of_fit_alike: float
    cells: pd.DataFrame
    phi_by_sizes: pd.DataFrame
    quantity: Quantity = NMSE

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All of them, by the name of their file."""
        return {
            "joint_law": self.parameters,
            "joint_law_cells": self.cells,
            "joint_law_by_sizes": self.phi_by_sizes,
        }

    @property
    def phi(self) -> tuple[float, float, float]:
        """The recurrence-equivalence exponent and the ends of its interval."""
        row = self.parameters.set_index("name").loc["phi"]
        return float(row["value"]), float(row["lower"]), float(row["upper"])

    @property
    def fits(self) -> bool | None:
        """Whether the cells' means lie no farther off than seeds explain; None if unknown."""
        chances = (self.lack_of_fit, self.lack_of_fit_alike)
        known_chances = [chance for chance in chances if not math.isnan(chance)]
        return known_chances[0] >= MISFIT if known_chances else None


def fit_joint(
    runs: pd.DataFrame,
    loss: str = "huber",
    resamples: int = 1000,
    seed: int = 0,
    quantity: Quantity = NMSE,
    with_loops: bool = True,
) -> JointFit:
    """Fit the joint law.

    Args:
        runs: a row per run: ``n_once``, ``n_rec``, ``b``, ``seed``, ``expressivity`` (bits)
            and, where known, ``size`` and, where it varies, ``steps``.
        loss: as in ``fit_scaling``.
        resamples: of the bootstrap over runs.
        seed: of the bootstrap.
        quantity: what the law is of.
        with_loops: whether to ask for phi; without it the law is of b = 1.

    Raises:
        RunTableError: too few sizes, b or runs; the message says how many it takes.
    """
    joint_runs = read_joint_runs(runs, with_loops)
    form = JointForm(joint_runs.rows.iloc[joint_runs.firsts], joint_runs.with_steps, with_loops)
    observations = observe(form, joint_runs)
    solution = solve(form.model, observations, form.starts, *form.bounds, loss=loss, max_steps=300)
    best = int(np.argmin(solution.loss))
    theta = solution.theta[best]
    clusters = {"seed": joint_runs.seed_clusters, "size": joint_runs.size}
    thetas_without = joint_checks.without_sizes(form, joint_runs, observations, theta, loss)
    uncertainties = {
        kind: resampling.resample(
            form.model,
            observations,
            theta,
            bounds=form.bounds,
            loss=loss,
            clusters=clusters_of_kind,
            n_resamples=resamples,
            seed=seed,
        )
        for kind, clusters_of_kind in clusters.items()
        if kind == "seed" or thetas_without is None
    }
    spread = (
        joint_checks.spread_between_sizes(uncertainties["size"], len(joint_runs.sizes))
        if thetas_without is None
        else joint_checks.spread_over_sizes(theta, thetas_without)
    )
    of_runs = uncertainties["seed"]
    ends_of_runs = of_runs.interval(theta, of_runs.draws, np.eye(len(theta)), 0.95)
    own_scatter, alike = joint_checks.lack_of_fit(form, joint_runs)
    expected = form.model(theta[None])[0][0]
    errors = joint_runs.values - expected[joint_runs.cells]
    return JointFit(
        parameters=_tabulate(
            form, theta, (theta - spread, theta + spread), ends_of_runs, quantity.unit
        ),
        is_by_leaving_out=thetas_without is not None,
        sizes=joint_runs.sizes,
        n_reference=form.n_reference,
        steps_reference=form.steps_reference if joint_runs.with_steps else None,
        rmse=float(np.sqrt((errors**2).mean())),
        n_runs=len(errors),
        converged=bool(solution.converged[best]),
        lack_of_fit=own_scatter,
        lack_of_fit_alike=alike,
        cells=_tabulate_cells(joint_runs, expected),
        phi_by_sizes=joint_checks.phi_by_sizes(
            form, joint_runs, observations, theta, loss, thetas_without
        ),
        quantity=quantity,
    )


def observe(form: JointForm, runs: JointRuns) -> Observations:
    """Give each run its standard deviation: its size's, or without any pair that about the law."""
    values, weights = runs.values[None], np.ones((1, len(runs.values)))
    scales = runs.scales
    if scales is None:
        unit = Observations(values, weights, np.ones(len(runs.values)), runs.cells)
        solution = solve(form.model, unit, form.starts, *form.bounds, loss="squared")
        spare = len(runs.values) - runs.n_parameters
        scale = max(float(np.sqrt(solution.loss.min() / spare)), LEAST_SCALE)
        scales = np.full(len(runs.values), scale)
    return Observations(values, weights, scales, runs.cells)


def _tabulate(
    form: JointForm,
    theta: Floats,
    ends: tuple[Floats, Floats],
    ends_of_runs: tuple[Floats, Floats],
    unit: float,
) -> pd.DataFrame:
    units = np.array([unit if name in ("L_inf", "A", "B") else 1.0 for name in form.names])
    columns = {"name": form.names, "value": form.natural(theta) * units}
    names = ("lower", "upper", "lower_runs", "upper_runs")
    for name, end in zip(names, (*ends, *ends_of_runs), strict=True):
        columns[name] = form.natural(np.clip(end, *form.bounds)) * units
    return pd.DataFrame(columns | {"at_bound": form.is_at_bound(theta)})


def _tabulate_cells(runs: JointRuns, expected: Floats) -> pd.DataFrame:
    first_rows = runs.rows.iloc[runs.firsts]
    columns = {"size": [runs.sizes[i] for i in runs.size[runs.firsts]], "b": first_rows["b"]}
    if runs.with_steps:
        columns["steps"] = first_rows["steps"]
    table = pd.DataFrame(columns).reset_index(drop=True)
    return table.assign(mean=runs.cell_means, expected=expected)
