"""One form of **b** fitted to runs: its parameters, predictions and intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.scaling import resampling
from analysis.scaling.forms import Floats
from analysis.scaling.points import Points
from analysis.scaling.resampling import Uncertainty
from analysis.scaling.sized_form import Law
from analysis.scaling.solver import Observations
from looped.rules import require

UNLIKELY = 0.01
"""Chance below which a lack of fit is held against a form."""

_FAR = 1e12
_SHUFFLES = 500


class FitStatus(Enum):
    """How a fit ended."""

    OK = "the search converged inside its bounds"
    AT_BOUND = "a parameter ended at the edge of what was searched"
    NOT_IDENTIFIED = "the runs do not rule out that a parameter lies at the edge of the search"
    NOT_CONVERGED = "the search did not come to rest"


@dataclass(frozen=True)
class FormFit:
    """One form fitted to the runs.

    Attributes:
        law: the form with the sizes fitted.
        points: the runs.
        seen: the runs as the solver takes them.
        theta: the fit, of shape (P,).
        loss: sum of the runs' losses, in squares of what seeds scatter by.
        widened: how many times wider than that runs lie about the law; at least 1.
        status: how the search ended.
        blamed: the parameters that ``status`` is about.
        options: ``loss``, ``clusters``, ``resamples`` and ``seed`` of ``fit_scaling``.
    """

    law: Law
    points: Points
    seen: Observations
    theta: Floats
    loss: float
    widened: float
    status: FitStatus
    blamed: tuple[str, ...]
    options: Mapping[str, Any]

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """Resamples of the fit, made when first asked for."""
        return resampling.resample(
            self.law.model(self.points.cell_size, self.points.cell_b),
            self.seen,
            self.theta,
            (self.law.lower, self.law.upper),
            self.options["loss"],
            self.points.clusters(self.options["clusters"]),
            self.options["resamples"],
            self.options["seed"],
        )

    @property
    def aicc(self) -> float:
        """Akaike's criterion for small samples; the scale counts as a parameter."""
        return aicc(self.loss, len(self.points.values), len(self.theta) + 1)

    @property
    def fitted(self) -> Floats:
        """What the law says of each run, in bits, of shape (n,)."""
        model = self.law.model(self.points.size, self.points.b)
        return np.asarray(model(self.theta[None])[0][0])

    @property
    def residual_sd(self) -> float:
        """How far single runs lie from the law: standard deviation in bits."""
        spare = max(len(self.points.values) - len(self.theta), 1)
        return float(np.sqrt(((self.points.values - self.fitted) ** 2).sum() / spare))

    @cached_property
    def lack_of_fit(self) -> float:
        """Chance of means as far from the law as these if it holds and seeds are Gaussian.

        The classical test of the cells' means about the law against the runs about their means;
        NaN without runs to spare.
        """
        points = self.points
        means = points.cell_means()[points.cells]
        spare = len(points.cell_b) - len(self.theta)
        pure = len(points.values) - len(points.cell_b)
        if spare < 1 or pure < 1:
            return math.nan
        off = (((means - self.fitted) / self.seen.scale) ** 2).sum() / spare
        noise = (((points.values - means) / self.seen.scale) ** 2).sum() / pure
        return float(stats.f.sf(off / noise, spare, pure)) if noise > 0 else math.nan

    @cached_property
    def seed_correlation(self) -> tuple[float, float]:
        """How alike the runs of one size and seed err at different b, and the chance of it.

        Returns:
            The mean correlation of two such runs' residuals; and how often it is as high when
            the seeds of each cell are shuffled. NaN where no seed has runs at two b.
        """
        points = self.points
        groups = points.clusters("seed")
        z = (points.values - self.fitted) / self.seen.scale
        counts = np.bincount(groups)
        pairs = (counts * (counts - 1)).sum()
        if pairs == 0 or not z.any():
            return math.nan, math.nan
        keys = np.random.default_rng(0).random((_SHUFFLES, len(z)))
        keys[0] = np.arange(len(z)) / len(z)  # the first is as it was
        shuffled = z[np.argsort(points.cells + keys, axis=1)]
        sums = np.array([np.bincount(groups, row) for row in shuffled])
        alike = ((sums**2).sum(axis=1) - (z**2).sum()) / pairs / (z**2).mean()
        return float(alike[0]), float((alike >= alike[0] - 1e-12).mean())

    def parameters(self, level: float = 0.95) -> pd.DataFrame:
        """Return each parameter with its interval: ``name``, ``value``, ``lower``, ``upper``."""
        lower, upper = self.uncertainty.interval(
            self.theta, self.uncertainty.draws, np.eye(len(self.theta)), level
        )
        ends = (np.clip(end, self.law.lower, self.law.upper) for end in (lower, upper))
        lower, upper = (self.law.natural(end) for end in ends)
        own = self.law.parameters
        return pd.DataFrame(
            {
                "name": self.law.names,
                "value": self.law.natural(self.theta),
                "lower": lower,
                "upper": upper,
                "unit": [parameter.unit for parameter in own],
            }
        )

    def predict(self, table: Mapping[str, Any] | pd.DataFrame) -> Floats:
        """Return E_LM in bits, one per row.

        Args:
            table: column ``b``; and ``size``, one that was fitted, or ``E_M`` in bits.
        """
        return np.asarray(self.evaluate(table, self.theta[None])[0][0])

    def interval(
        self, table: Mapping[str, Any] | pd.DataFrame, level: float = 0.95
    ) -> tuple[Floats, Floats]:
        """Return the ends of an interval for each row's E_LM, the mean over seeds.

        An ``E_M`` given in the table is taken as exact.
        """
        values, gradients = self.evaluate(table, self.theta[None])
        resampled, _ = self.evaluate(table, self.uncertainty.draws)
        return self.uncertainty.interval(values[0], resampled, gradients[0], level)

    def ceilings(self, level: float = 0.95) -> tuple[Floats, Floats, Floats]:
        """Return lower end, value and upper end of what each size's E_LM tends to, in bits.

        Infinity where the form has no ceiling.
        """
        value = self.law.ceilings(self.theta[None])[0]
        if not self.law.form.has_ceiling:
            return value, value, value
        # far beyond any b the law's own derivatives are those of its ceiling
        far = {"size": list(self.law.sizes), "b": [_FAR] * len(self.law.sizes)}
        gradients = self.evaluate(far, self.theta[None])[1][0]
        resampled = self.law.ceilings(self.uncertainty.draws)
        lower, upper = self.uncertainty.interval(value, resampled, gradients, level)
        return lower, value, upper

    def evaluate(
        self, table: Mapping[str, Any] | pd.DataFrame, theta: Floats
    ) -> tuple[Floats, Floats]:
        """Return E_LM, (R, rows), and its derivatives, (R, rows, P), for some theta, (R, P).

        Raises:
            ValueError: the table lacks a column, or names a size that was not fitted.
        """
        frame = pd.DataFrame(dict(table))
        require("b" in frame, "the table must have a column b", list(frame.columns))
        b = pd.to_numeric(frame["b"], errors="coerce").to_numpy(float)
        require(bool((b >= 1).all()), "b must be at least 1", list(frame["b"]))
        if "size" in frame:
            names = frame["size"].astype(str)
            rule = f"size must be one of {', '.join(self.law.sizes)} (or give E_M)"
            unknown = sorted(set(names) - set(self.law.sizes))
            require(not unknown, rule, ", ".join(unknown))
            index = np.array([self.law.sizes.index(name) for name in names], dtype=np.intp)
            return self.law.model(index, b)(theta)
        rule = "the table must have a column size or E_M"
        require("E_M" in frame, rule, list(frame.columns))
        rule = "a form with a parameter for each size predicts those sizes alone, not an E_M"
        require(self.law.form.is_general, rule, self.law.form.name)
        return self.law.model_given(frame["E_M"].to_numpy(float), b)(theta)


def aicc(loss: float, n_runs: int, n_parameters: int) -> float:
    """Akaike's criterion for small samples, from a sum of losses.

    With a Gaussian's sum of squares it is the usual one; with Huber's it is its robust cousin.
    """
    per_run = max(loss / n_runs, 1e-12)
    spare = n_runs - n_parameters - 1
    if spare <= 0:
        return math.inf
    return n_runs * math.log(per_run) + 2 * n_parameters * (1 + (n_parameters + 1) / spare)
