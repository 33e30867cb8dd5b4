"""One form of **b** fitted to runs: its parameters, predictions and intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling.form.shapes import Floats
from analysis.scaling.form.sized_form import SizedForm, SizedModel
from analysis.scaling.run_table import RunTable
from analysis.scaling.solving import resampling, scatter
from analysis.scaling.solving.mixture import StudentT
from analysis.scaling.solving.resampling import Uncertainty
from analysis.scaling.solving.solver import Observations
from looped.rules import require, require_one_of

UNLIKELY = 0.01
"""Chance below which a lack of fit is held against a form."""

_FAR = 1e12


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
class FormFit:
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

    @cached_property
    def _run_variances(self) -> tuple[Floats, Floats]:
        """How single runs vary about the law, of each size and of one never trained."""
        scale = self.observations.scale
        z = (self.run_table.values - self.fitted_bits) / scale
        residuals = self.uncertainty.projection.enlarge(z[:, None])[:, 0] * scale
        likeness = max(np.nan_to_num(self.seed_correlation[0]), 0.0)
        if self.cluster_kind == "run":
            likeness = 0.0
        return scatter.run_variances(self.run_table, residuals, len(self.theta), likeness)

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

    def predict(self, table: Mapping[str, Any] | pd.DataFrame) -> Floats:
        """Return E_LM in bits, one per row.

        Args:
            table: column ``b``; and ``size``, one that was fitted, or ``E_M`` in bits.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().best.predict({"size": ["tiny", "tiny"], "b": [1, 16]}).round(2)
            array([1., 3.])
        """
        return np.asarray(self._model_of(table).values(self.theta[None])[0])

    def interval(
        self,
        table: Mapping[str, Any] | pd.DataFrame,
        level: float = 0.95,
        kind: str = "mean",
        new_prompts: bool = False,
    ) -> tuple[Floats, Floats]:
        """Return the ends of an interval for each row's E_LM.

        Args:
            table: as for ``predict``; a column ``E_M_se`` beside ``E_M`` gives its standard error
                in bits, else E_M is taken as exact.
            level: share of intervals that should hold the truth.
            kind: ``mean`` for the mean over seeds, ``new_run`` for one new training.
            new_prompts: whether it is held against anything that was not measured on the same
                held-out prompts, whose own error is then part of it.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> fit = example_fit().best
            >>> lower, upper = fit.interval({"E_M": [2.5], "b": [16]})
            >>> bool(lower[0] < 4.5 < upper[0])
            True
            >>> run_lower, run_upper = fit.interval({"E_M": [2.5], "b": [16]}, kind="new_run")
            >>> bool(run_lower[0] < lower[0] and upper[0] < run_upper[0])
            True
        """
        ends = self.student(table, kind, new_prompts).interval(level)
        return scatter.holding(ends, self.student(exactly(table)).interval(level))

    def student(
        self,
        table: Mapping[str, Any] | pd.DataFrame,
        kind: str = "mean",
        new_prompts: bool = False,
    ) -> StudentT:
        """Return what this form says of each row's E_LM: Student's t about its prediction.

        The arguments are those of ``interval``.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().best.student({"size": ["tiny"], "b": [16]}).centre.round(2)
            array([3.])
        """
        return StudentT(self.predict(table), *self.standard_error(table, kind, new_prompts))

    def student_of_difference(self, first: pd.DataFrame, second: pd.DataFrame) -> StudentT:
        """Return what this form says of E_LM of one table less that of another.

        Example:
            >>> import pandas as pd
            >>> from analysis.scaling.example import example_fit
            >>> cells = pd.DataFrame({"size": ["tiny"], "b": [4]})
            >>> example_fit().best.student_of_difference(cells, cells.assign(b=1)).centre.round(2)
            array([1.])
        """
        (value, slopes), (other_value, other_slopes) = (
            self.evaluate(table, self.theta[None]) for table in (first, second)
        )
        resampled, other_resampled = (
            self._model_of(table).values(self.uncertainty.draws) for table in (first, second)
        )
        return self.uncertainty.student(
            (value - other_value)[0], resampled - other_resampled, (slopes - other_slopes)[0]
        )

    def standard_error(
        self,
        table: Mapping[str, Any] | pd.DataFrame,
        kind: str = "mean",
        new_prompts: bool = False,
    ) -> tuple[Floats, Floats]:
        """Return the standard error of each row's E_LM in bits, and its degrees of freedom.

        See ``interval``, which is the value plus and minus Student's t times this.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> fit = example_fit().best
            >>> exact, _ = fit.standard_error({"E_M": [2.5], "b": [16]})
            >>> measured, _ = fit.standard_error({"E_M": [2.5], "E_M_se": [0.1], "b": [16]})
            >>> (measured**2 - exact**2).round(4)  # here E_LM rises by as much as E_M does
            array([0.01])
        """
        require_one_of("kind", kind, scatter.KINDS)
        model, frame = self._model_of(table), pd.DataFrame(dict(table))
        slopes = model.layout.dense(model(self.theta[None])[1])[0]
        variances = [model.values(self.uncertainty.draws).var(axis=0)]
        degrees = [self.uncertainty.degrees_of_freedom(slopes)]
        if kind == "new_run":
            of_runs, of_runs_degrees = self._run_variances
            index = model.size if model.e_m is None else np.full(len(model.b), -1)
            variances.append(of_runs[index])
            degrees.append(of_runs_degrees[index])
        known_errors = []
        if new_prompts:
            known_errors.append(self.prompt_errors(table))
        if model.e_m is not None and "E_M_se" in frame:
            errors = pd.to_numeric(frame["E_M_se"], errors="coerce").to_numpy(float)
            require(bool((errors >= 0).all()), "E_M_se must be 0 or more", list(frame["E_M_se"]))
            known_errors.append(model.slope_along_e_m(self.theta[None])[0] * errors)
        variances += [error**2 for error in known_errors]
        degrees += [np.full(len(model.b), np.inf)] * len(known_errors)
        return scatter.combine(np.array(variances), np.array(degrees))

    def prompt_errors(self, table: Mapping[str, Any] | pd.DataFrame) -> Floats:
        """Return the standard error of the held-out prompts at each row; see ``scatter``.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().best.prompt_errors({"size": ["tiny"], "b": [16]})  # unknown there
            array([0.])
        """
        model = self._model_of(table)
        size = model.size if model.e_m is None else None
        return scatter.prompt_errors(self.run_table, size, model.b)

    def ceilings(self, level: float = 0.95) -> tuple[Floats, Floats, Floats]:
        """Return lower end, value and upper end of what each size's E_LM tends to, in bits.

        Infinity where the form has no ceiling.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> lower, value, upper = example_fit().best.ceilings()
            >>> value  # a logarithm has none
            array([inf, inf])
        """
        value = self.sized_form.ceilings(self.theta[None])[0]
        if not self.sized_form.form.has_ceiling:
            return value, value, value
        # far beyond any b the law's own derivatives are those of its ceiling
        far_table = {"size": list(self.sized_form.sizes), "b": [_FAR] * len(self.sized_form.sizes)}
        gradients = self.evaluate(far_table, self.theta[None])[1][0]
        resampled_ceilings = self.sized_form.ceilings(self.uncertainty.draws)
        lower, upper = self.uncertainty.interval(value, resampled_ceilings, gradients, level)
        return lower, value, upper

    def evaluate(
        self, table: Mapping[str, Any] | pd.DataFrame, theta: Floats
    ) -> tuple[Floats, Floats]:
        """Return E_LM, (R, rows), and its derivatives, (R, rows, P), for some theta, (R, P).

        Raises:
            ValueError: the table lacks a column, or names a size that was not fitted.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> fit = example_fit().best
            >>> values, slopes = fit.evaluate({"size": ["tiny"], "b": [16]}, fit.theta[None])
            >>> values.round(2), slopes.round(2)
            (array([[3.]]), array([[[1., 0., 4.]]]))
        """
        model = self._model_of(table)
        values, slopes = model(theta)
        return values, model.layout.dense(slopes)

    def _model_of(self, table: Mapping[str, Any] | pd.DataFrame) -> SizedModel:
        frame = pd.DataFrame(dict(table))
        require("b" in frame, "the table must have a column b", list(frame.columns))
        b = pd.to_numeric(frame["b"], errors="coerce").to_numpy(float)
        require(bool((b >= 1).all()), "b must be at least 1", list(frame["b"]))
        if "size" in frame:
            names = frame["size"].astype(str)
            rule = f"size must be one of {', '.join(self.sized_form.sizes)} (or give E_M)"
            unknown_sizes = sorted(set(names) - set(self.sized_form.sizes))
            require(not unknown_sizes, rule, ", ".join(unknown_sizes))
            index = np.array([self.sized_form.sizes.index(name) for name in names], dtype=np.intp)
            return self.sized_form.model(index, b)
        rule = "the table must have a column size or E_M"
        require("E_M" in frame, rule, list(frame.columns))
        rule = "a form with a parameter for each size predicts those sizes alone, not an E_M"
        require(self.sized_form.form.is_general, rule, self.sized_form.form.name)
        return self.sized_form.model_from_e_m(frame["E_M"].to_numpy(float), b)


def exactly(table: Mapping[str, Any] | pd.DataFrame) -> pd.DataFrame:
    """Return a table of models whose E_M is taken as exact.

    Example:
        >>> from analysis.scaling.form_fit import exactly
        >>> list(exactly({"E_M": [2.5], "E_M_se": [0.1], "b": [4]}))
        ['E_M', 'b']
    """
    return pd.DataFrame(dict(table)).drop(columns="E_M_se", errors="ignore")


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
        >>> from analysis.scaling.form_fit import aicc
        >>> round(aicc(loss=16.0, n_runs=16, n_parameters=3), 2)
        8.0
    """
    per_run = max(loss / n_runs, 1e-12)
    spare = n_runs - n_parameters - 1
    if spare <= 0:
        return math.inf
    penalty = 2 * n_parameters * (1 + (n_parameters + 1) / spare)
    return (n_runs if n_units is None else n_units) * math.log(per_run) + penalty
