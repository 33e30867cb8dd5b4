"""A fitted law: every form fitted to the same runs, and what they predict together."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling import average, choice
from analysis.scaling.average import Ask, UntestedError
from analysis.scaling.form.fitted_form import FitStatus
from analysis.scaling.form.form_fit import FormFit, adds_error, exactly
from analysis.scaling.form.own_forms import form_of
from analysis.scaling.form.shapes import Floats
from analysis.scaling.held_out import Refits, errors_of
from analysis.scaling.run_table import RunTable
from analysis.scaling.solving import scatter
from analysis.scaling.solving.mixture import Mixture, StudentT
from analysis.scaling.verdict import caveat, shape_lack
from analysis.scaling.words import short, text


@dataclass(frozen=True, kw_only=True)
class ScalingFit:
    """Every form fitted to the same runs, and what they predict together.

    Attributes:
        run_table: the runs.
        fits: by form.
        refits: each form without each b and each size.
        skipped_forms: forms that these runs cannot be fitted with, and why.
        best_form: name of the form that leads, or that was asked for.
        averages: whether the average over forms predicts; else ``best_form`` does.
        comparison: one row per form: criteria, held-out errors, status.
        verdict: in words, which form it is, or that they cannot be told apart.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> fit = example_fit()
        >>> fit.best_form, fit.status.name, sorted(fit.fits)
        ('logarithmic/shared_gain', 'OK', ['logarithmic/shared_gain', 'power'])
    """

    run_table: RunTable
    fits: Mapping[str, FormFit]
    refits: Mapping[str, Refits]
    skipped_forms: Mapping[str, str]
    best_form: str
    averages: bool
    comparison: pd.DataFrame
    verdict: str

    def __repr__(self) -> str:
        return short.line_of(self)

    def _repr_html_(self) -> str:
        """Return how the forms compare, as a table for notebooks."""
        return short.table_of(self)

    @property
    def best(self) -> FormFit:
        """The fit of the form that leads.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().best.sized_form.form.formula
            'E_M + gain (log2(b))'
        """
        return self.fits[self.best_form]

    @property
    def status(self) -> FitStatus:
        """How the fit of the form that leads ended, if the runs test a shape at all.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().status
            <FitStatus.OK: 'the search converged inside its bounds'>
        """
        return FitStatus.SHAPE_UNKNOWN if shape_lack(self.run_table) else self.best.status

    @property
    def weights(self) -> dict[str, float]:
        """Akaike weights of the forms that predict, most first; they sum to 1.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> {name: round(weight, 2) for name, weight in example_fit().weights.items()}
            {'logarithmic/shared_gain': 1.0}
        """
        if not self.averages:
            return {self.best_form: 1.0}
        rows = self.comparison[self.comparison["weight"] > 0]
        return dict(zip(rows["form"], rows["weight"], strict=True)) or {self.best_form: 1.0}

    @property
    def general_weight(self) -> float:
        """Weight of the forms that are functions of E_M and b alone, and predict other sizes."""
        return sum(weight for name, weight in self.weights.items() if form_of(name).is_general)

    @property
    def held_out(self) -> pd.DataFrame:
        """What predicts says of each cell left out; see ``held_out.errors_of``."""
        if self.averages:
            return average.held_out(self.run_table, self.refits)
        return errors_of(self.run_table, self.refits[self.best_form].predictions)

    @cached_property
    def untested(self) -> UntestedError:
        """How much further what predicts may err at b that nobody trained."""
        predicting = self.refits if self.averages else {self.best_form: self.refits[self.best_form]}
        scale = self.best.common_observations.scale
        of_cells = np.array([scale[cell] for cell in np.unique(self.run_table.cells, True)[1]])
        mean_errors = of_cells / np.sqrt(np.bincount(self.run_table.cells))
        return average.untested_error(self.run_table, predicting, mean_errors)

    def predict(self, table: Mapping[str, Any] | pd.DataFrame) -> Floats:
        """Return E_LM in bits, one per row, by the average over forms or the one asked for.

        Args:
            table: column ``b``; and ``size``, one that was fitted, or ``E_M`` in bits, which
                general forms alone can answer.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> fit = example_fit()
            >>> fit.predict({"size": ["tiny", "small"], "b": [16, 16]}).round(2)
            array([3., 4.])
            >>> fit.predict({"E_M": [2.5], "b": [16]}).round(2)
            array([4.5])
        """
        return self.mixture(table).mean

    def interval(
        self,
        table: Mapping[str, Any] | pd.DataFrame,
        level: float = 0.95,
        kind: str = "mean",
        new_prompts: bool = False,
    ) -> tuple[Floats, Floats]:
        """Return the ends of an interval for each row's E_LM; see ``FormFit.interval``.

        The average's holds that another form might be true, or none: it is widened between the
        trained b, and beyond them, by what the average missed a b by when that was left out. That
        of a form that was asked for is right if that form is.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> lower, upper = example_fit().interval({"size": ["tiny"], "b": [16]}, level=0.9)
            >>> bool(lower[0] < 3.0 < upper[0])
            True
        """
        ends = self.mixture(table, kind, new_prompts).interval(level)
        if not adds_error(table, kind, new_prompts) and not self._further(table).any():
            return ends
        inner = self.mix(lambda fit: fit.student(exactly(table)), is_of_sizes="size" in table)
        return scatter.holding(ends, inner.interval(level))

    def difference(
        self, first: pd.DataFrame, second: pd.DataFrame, level: float = 0.95
    ) -> tuple[Floats, Floats, Floats]:
        """Return E_LM of one table less that of another: value and ends of the interval.

        Both have columns ``size`` and ``b``, and the other may have one row for all of the first.
        What is not tested at two b of one size errs alike.

        Example:
            >>> import pandas as pd
            >>> from analysis.scaling.example import example_fit
            >>> cells = pd.DataFrame({"size": ["tiny"], "b": [4]})
            >>> value, lower, upper = example_fit().difference(cells, cells.assign(b=1))
            >>> value.round(2), bool(lower[0] < 1.0 < upper[0])
            (array([1.]), True)
        """
        errors = [self.untested.at(table["b"].to_numpy(float)) for table in (first, second)]
        is_same_size = first["size"].to_numpy() == second["size"].to_numpy()
        further = np.where(is_same_size, np.abs(errors[0] - errors[1]), np.hypot(*errors))
        mixture = self.mix(lambda fit: fit.student_of_difference(first, second))
        ends = mixture.interval(level)
        if self.averages:
            parts = [part.widened(further, self.untested.degrees) for part in mixture.parts]
            ends = scatter.holding(Mixture(parts, mixture.weights).interval(level), ends)
        return mixture.mean, *ends

    def mixture(
        self, table: Mapping[str, Any] | pd.DataFrame, kind: str = "mean", new_prompts: bool = False
    ) -> Mixture:
        """Return what the forms that predict say of each row, and their weights; see ``interval``.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().mixture({"size": ["tiny"], "b": [4]}).weights
            array([1.])
        """
        further = self._further(table)

        def ask(fit: FormFit) -> StudentT:
            answer = fit.student(table, kind, new_prompts)
            return answer.widened(further, self.untested.degrees) if further.any() else answer

        return self.mix(ask, is_of_sizes="size" in table)

    def _further(self, table: Mapping[str, Any] | pd.DataFrame) -> Floats:
        """Return what no run tests at each row's b: an error of the average's, in bits."""
        b = np.asarray(pd.DataFrame(dict(table))["b"], float) if "b" in table else np.ones(0)
        return self.untested.at(b) if self.averages else np.zeros(len(b))

    def mix(self, ask: Ask, is_of_sizes: bool = True) -> Mixture:
        """Put a question to each form that predicts, and mix the answers by their weights.

        Args:
            ask: the question to one form, as of a difference of two predictions.
            is_of_sizes: whether it is about sizes that were fitted, which every form can answer.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> cell = {"size": ["tiny"], "b": [4]}
            >>> example_fit().mix(lambda form_fit: form_fit.student(cell)).mean.round(2)
            array([2.])
        """
        return average.mix(self._able_fits(is_of_sizes), ask)

    def _able_fits(self, is_of_sizes: bool) -> dict[str, FormFit]:
        """Return the forms that can answer: each for a size that was fitted, else general ones."""
        fits = self.fits.items()
        able_fits = {name: fit for name, fit in fits if is_of_sizes or form_of(name).is_general}
        return able_fits if self.averages and able_fits else {self.best_form: self.best}

    def between_forms(self, table: Mapping[str, Any] | pd.DataFrame) -> tuple[Floats, Floats]:
        """Return the least and the most that the forms predict which the runs do not rule out.

        These are the one that predicts and those within ``choice.PLAUSIBLE_WITHIN`` of the least
        AICc, as far as they can predict the table; for want of any, what predicts it even so.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> least, most = example_fit().between_forms({"size": ["tiny"], "b": [16]})
            >>> least.round(2), most.round(2)
            (array([3.]), array([3.]))
        """
        plausible = self.comparison["delta"] <= choice.PLAUSIBLE_WITHIN
        names = {self.best_form, *self.comparison.loc[plausible, "form"]}
        fits = [self.fits[n] for n in sorted(names) if "size" in table or form_of(n).is_general]
        predictions = np.array([fit.predict(table) for fit in fits] or [self.predict(table)])
        return predictions.min(axis=0), predictions.max(axis=0)

    def tabulate(self, table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
        """Predict each row: ``E_LM`` with intervals, and what these do not hold.

        ``lower`` and ``upper`` are for the mean over seeds, ``run_lower`` and ``run_upper`` for one
        new training, both on the prompts that the runs were judged on; ``prompt_error`` is the
        standard error that these add against anything measured on others; ``least`` and ``most``
        are of ``between_forms``; ``beyond`` says that b is larger than any trained; ``caveat``
        what the intervals do not hold, in words.

        Example:
            >>> import pandas as pd
            >>> from analysis.scaling.example import example_fit
            >>> table = pd.DataFrame({"size": ["tiny"], "b": [16]})
            >>> example_fit().tabulate(table)[["E_LM", "least", "most", "beyond"]].round(2)
               E_LM  least  most  beyond
            0   3.0    3.0   3.0    True
        """
        lower, upper = self.interval(table, level)
        run_lower, run_upper = self.interval(table, level, "new_run")
        least, most = self.between_forms(table)
        columns = {"E_LM": self.predict(table), "lower": lower, "upper": upper, "least": least}
        columns |= {"most": most, "beyond": table["b"] > self.run_table.bs[-1]}
        columns |= {"run_lower": run_lower, "run_upper": run_upper}
        able_fit = next(iter(self._able_fits("size" in table).values()))
        columns |= {"prompt_error": able_fit.prompt_errors(table)}  # whichever: it is the runs'
        caveats = [self.caveat(b, is_of_size="size" in table) for b in table["b"]]
        return pd.DataFrame(columns, index=table.index).assign(caveat=caveats)

    def caveat(self, b: float, is_of_size: bool = True) -> str:
        """Say what no interval holds of a prediction at some b; empty if nothing.

        Args:
            b: loops.
            is_of_size: whether it is of a size that was fitted.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().caveat(5), example_fit().caveat(16)
            ('', 'beyond what was trained (b up to 8)')
        """
        has_general = is_of_size or not self.averages
        return caveat(self.run_table, b, 1.0 if has_general else self.general_weight)

    def report(self) -> str:
        """Return everything as text, for a terminal.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().report().splitlines()[1].strip()
            'E_LM = E_M + gain (log2(b))    (logarithmic/shared_gain)'
        """
        return text.describe(self)
