"""One form of **b** fitted to runs, and what it predicts: E_LM, its intervals, its ceilings."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling.form.fitted_form import FittedForm
from analysis.scaling.form.shapes import Floats
from analysis.scaling.form.sized_form import SizedModel
from analysis.scaling.solving import scatter
from analysis.scaling.solving.mixture import StudentT
from looped.rules import require, require_one_of

_FAR = 1e12


@dataclass(frozen=True, kw_only=True)
class FormFit(FittedForm):
    """A fitted form that predicts; its attributes are those of ``FittedForm``.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> fit = example_fit().fits["power"]
        >>> fit.predict({"size": ["tiny"], "b": [1]}).round(2)
        array([1.26])
    """

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
        if not adds_error(table, kind, new_prompts):
            return ends
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


def exactly(table: Mapping[str, Any] | pd.DataFrame) -> pd.DataFrame:
    """Return a table of models whose E_M is taken as exact.

    Example:
        >>> from analysis.scaling.form.form_fit import exactly
        >>> list(exactly({"E_M": [2.5], "E_M_se": [0.1], "b": [4]}))
        ['E_M', 'b']
    """
    return pd.DataFrame(dict(table)).drop(columns="E_M_se", errors="ignore")


def adds_error(table: Mapping[str, Any] | pd.DataFrame, kind: str, new_prompts: bool) -> bool:
    """Tell whether an interval is to hold more than the mean over seeds on these prompts.

    Example:
        >>> from analysis.scaling.form.form_fit import adds_error
        >>> adds_error({"E_M": [2.5], "b": [4]}, "mean", new_prompts=False)
        False
    """
    return kind != "mean" or new_prompts or "E_M_se" in table
