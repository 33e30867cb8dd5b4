"""A form of **b** fitted to runs: its parameters, how the search ended and how well it fits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling.form.shapes import Floats
from analysis.scaling.form.sized_form import SizedForm
from analysis.scaling.run_table import RunTable
from analysis.scaling.solving import resampling, scatter
from analysis.scaling.solving.resampling import Uncertainty
from analysis.scaling.solving.solver import Observations

UNLIKELY = 0.01
"""Chance below which a lack of fit is held against a form."""


class FitStatus(Enum):
    """How a fit ended.

    Example:
        >>> from analysis.scaling import FitStatus
        >>> from analysis.scaling.example import example_fit
        >>> example_fit().status is FitStatus.OK
        True
    """

    OK = "the search converged inside its bounds"
    AT_BOUND = "a parameter ended at the edge of what was searched"
    NOT_IDENTIFIED = "the runs do not rule out that a parameter lies at the edge of the search"
    NOT_CONVERGED = "the search did not come to rest"
    SHAPE_UNKNOWN = "the runs do not test any shape between the trained b, nor beyond"


@dataclass(frozen=True, kw_only=True)
class FittedForm:
    """One form fitted to the runs.

    Attributes:
        sized_form: the form with the sizes that it was fitted to.
        run_table: the runs.
        observations: the runs as the solver takes them.
        theta: the fit, of shape (P,).
        loss: sum of the runs' losses, in squares of what seeds scatter by.
        common_loss: the same on the scale that all forms share, for comparing them.
        common_widening: of that scale; the least of all forms' ``widening``.
        n_units: independent runs that tell as much as these; see ``RunTable.independent_units``.
        widening: how many times wider than that runs lie about the law; at least 1.
        status: how the search ended.
        blamed_parameters: the parameters that ``status`` is about.
        options: ``loss``, ``clusters``, ``resamples`` and ``seed``, as ``fit_scaling`` got them.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> fit = example_fit().fits["power"]
        >>> fit.sized_form.names, fit.theta.round(2)
        (('E_M[tiny]', 'E_M[small]', 'phi'), array([1.26, 1.94, 0.3 ]))
    """

    sized_form: SizedForm
    run_table: RunTable
    observations: Observations
    theta: Floats
    loss: float
    common_loss: float
    common_widening: float
    n_units: float
    widening: float
    status: FitStatus
    blamed_parameters: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def cluster_kind(self) -> str:
        """Which runs are taken to err together, ``run`` or ``seed``.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().best.cluster_kind  # its seeds stand at every b
            'seed'
        """
        asked_kind = str(self.options["clusters"])
        return self.run_table.natural_clusters if asked_kind == "auto" else asked_kind

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """Resamples of the fit, made when first asked for."""
        return resampling.resample(
            self.sized_form.model(self.run_table.cell_size, self.run_table.cell_b),
            self.observations,
            self.theta,
            bounds=(self.sized_form.lower, self.sized_form.upper),
            loss=self.options["loss"],
            clusters=self.run_table.clusters(self.cluster_kind),
            n_resamples=self.options["resamples"],
            seed=self.options["seed"],
        )

    @property
    def aicc(self) -> float:
        """Akaike's criterion for small samples; the scale counts as a parameter."""
        return aicc(self.common_loss, len(self.run_table.values), len(self.theta) + 1, self.n_units)

    @property
    def common_observations(self) -> Observations:
        """The runs on the scale that all forms share."""
        ratio = self.common_widening / self.widening
        return replace(self.observations, scale=self.observations.scale * ratio)

    @property
    def fitted_bits(self) -> Floats:
        """What the law says of each run, in bits, of shape (n,)."""
        model = self.sized_form.model(self.run_table.size, self.run_table.b)
        return np.asarray(model.values(self.theta[None])[0])

    @property
    def residual_sd(self) -> float:
        """How far single runs lie from the law: standard deviation in bits."""
        spare = max(len(self.run_table.values) - len(self.theta), 1)
        return float(np.sqrt(((self.run_table.values - self.fitted_bits) ** 2).sum() / spare))

    @cached_property
    def lack_of_fit(self) -> float:
        """Chance of means as far from the law as these if it holds and seeds are Gaussian.

        The classical test of the cells' means about the law against the runs about their means;
        NaN without runs to spare.
        """
        return scatter.lack_of_fit(
            self.run_table, self.fitted_bits, self.observations.scale, len(self.theta)
        )

    @cached_property
    def seed_correlation(self) -> tuple[float, float]:
        """How alike the runs of one size and seed err at different b, and the chance of it.

        Returns:
            The mean correlation of two such runs' residuals; and how often it is as high when
            the seeds of each cell are shuffled. NaN where no seed has runs at two b.
        """
        z = (self.run_table.values - self.fitted_bits) / self.observations.scale
        return scatter.seed_correlation(self.run_table, z)

    def parameters(self, level: float = 0.95) -> pd.DataFrame:
        """Return each parameter with its interval: ``name``, ``value``, ``lower``, ``upper``.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().best.parameters()[["name", "value", "unit"]].round(2)
                     name  value  unit
            0   E_M[tiny]    1.0  bits
            1  E_M[small]    2.0  bits
            2        gain    0.5  bits
        """
        lower, upper = self.uncertainty.interval(
            self.theta, self.uncertainty.draws, np.eye(len(self.theta)), level
        )
        ends = (
            np.clip(end, self.sized_form.lower, self.sized_form.upper) for end in (lower, upper)
        )
        lower, upper = (self.sized_form.natural(end) for end in ends)
        return pd.DataFrame(
            {
                "name": self.sized_form.names,
                "value": self.sized_form.natural(self.theta),
                "lower": lower,
                "upper": upper,
                "unit": [parameter.unit for parameter in self.sized_form.parameters],
            }
        )


def aicc(loss: float, n_runs: int, n_parameters: int, n_units: float | None = None) -> float:
    """Akaike's criterion for small samples, from a sum of losses.

    With a Gaussian's sum of squares it is the usual one; with Huber's it is its robust cousin.
    Where runs err alike it is QAICc (Burnham and Anderson 2002, section 2.5): what the data say is
    divided by the number of runs to an independent one.

    Args:
        loss: sum over the runs.
        n_runs: of the sum.
        n_parameters: the scale among them.
        n_units: independent runs that tell as much as these; as many as the runs if left out.

    Example:
        >>> from analysis.scaling.form.fitted_form import aicc
        >>> round(aicc(loss=16.0, n_runs=16, n_parameters=3), 2)
        8.0
    """
    per_run = max(loss / n_runs, 1e-12)
    spare = n_runs - n_parameters - 1
    if spare <= 0:
        return math.inf
    penalty = 2 * n_parameters * (1 + (n_parameters + 1) / spare)
    return (n_runs if n_units is None else n_units) * math.log(per_run) + penalty
