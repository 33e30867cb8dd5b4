"""Fits E_LM = b(E_M) to any table of runs: needs neither MLflow nor torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling import choice, text
from analysis.scaling.form_fit import FitStatus, FormFit
from analysis.scaling.form_search import fit_form, search
from analysis.scaling.forms import FORMS, Floats, Form
from analysis.scaling.run_table import RunTable, RunTableError, read_run_table, run_scales
from analysis.scaling.sized_form import SizedForm
from analysis.scaling.solver import LOSSES, Observations
from looped.rules import require_one_of, require_whole

__all__ = ["FORMS", "FitStatus", "FormFit", "RunTableError", "ScalingFit", "fit_scaling"]

CLUSTERS = ("auto", "run", "seed")
SECONDS_TO_A_BAR = 3.0


@dataclass(frozen=True, kw_only=True)
class ScalingFit:
    """Every form fitted to the same runs, and the one to predict with.

    Attributes:
        run_table: the runs.
        fits: by form.
        skipped_forms: forms that these runs cannot be fitted with, and why.
        best_form: name of the form that predicts; see ``choice.choose``.
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
    skipped_forms: Mapping[str, str]
    best_form: str
    comparison: pd.DataFrame
    verdict: str

    @property
    def best(self) -> FormFit:
        """The fit that predicts.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().best.sized_form.form.formula
            'E_M + gain (log2(b))'
        """
        return self.fits[self.best_form]

    @property
    def status(self) -> FitStatus:
        """How the fit that predicts ended.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().status
            <FitStatus.OK: 'the search converged inside its bounds'>
        """
        return self.best.status

    def predict(self, table: Mapping[str, Any] | pd.DataFrame) -> Floats:
        """Return E_LM in bits, one per row; see ``FormFit.predict``.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> fit = example_fit()
            >>> fit.predict({"size": ["tiny", "small"], "b": [16, 16]}).round(2)
            array([3., 4.])
            >>> fit.predict({"E_M": [2.5], "b": [16]}).round(2)
            array([4.5])
        """
        return self.best.predict(table)

    def interval(
        self,
        table: Mapping[str, Any] | pd.DataFrame,
        level: float = 0.95,
        kind: str = "mean",
        new_prompts: bool = False,
    ) -> tuple[Floats, Floats]:
        """Return the ends of an interval for each row; see ``FormFit.interval``.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> lower, upper = example_fit().interval({"size": ["tiny"], "b": [16]}, level=0.9)
            >>> bool(lower[0] < 3.0 < upper[0])
            True
        """
        return self.best.interval(table, level, kind, new_prompts)

    def between_forms(self, table: Mapping[str, Any] | pd.DataFrame) -> tuple[Floats, Floats]:
        """Return the least and the most that the forms predict which the runs do not rule out.

        These are the one that predicts and those within ``choice.PLAUSIBLE_WITHIN`` of the least
        AICc, as far as they can predict the table.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> least, most = example_fit().between_forms({"size": ["tiny"], "b": [16]})
            >>> least.round(2), most.round(2)
            (array([3.]), array([3.]))
        """
        plausible = self.comparison["delta"] <= choice.PLAUSIBLE_WITHIN
        names = {self.best_form, *self.comparison.loc[plausible, "form"]}
        has_size = "size" in table
        able_fits = [self.fits[n] for n in sorted(names) if has_size or FORMS[n].is_general]
        predictions = np.array([fit.predict(table) for fit in able_fits])
        return predictions.min(axis=0), predictions.max(axis=0)

    def tabulate(self, table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
        """Predict each row: ``E_LM`` with intervals, ``least``, ``most`` and ``beyond``.

        ``lower`` and ``upper`` are for the mean over seeds, ``run_lower`` and ``run_upper`` for one
        new training, both on the prompts that the runs were judged on; ``prompt_error`` is the
        standard error that these add against anything measured on others; ``least`` and ``most``
        are of ``between_forms``; ``beyond`` says that b is larger than any trained.

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
        columns = {"E_LM": self.predict(table), "lower": lower, "upper": upper}
        columns |= {"least": least, "most": most, "beyond": table["b"] > self.run_table.bs[-1]}
        columns |= {"run_lower": run_lower, "run_upper": run_upper}
        columns |= {"prompt_error": self.best.prompt_errors(table)}
        return pd.DataFrame(columns, index=table.index)

    def report(self) -> str:
        """Return everything as text, for a terminal.

        Example:
            >>> from analysis.scaling.example import example_fit
            >>> example_fit().report().splitlines()[1].strip()
            'E_LM = E_M + gain (log2(b))    (logarithmic/shared_gain)'
        """
        return text.describe(self)


def fit_scaling(
    points: Mapping[str, Any] | pd.DataFrame,
    forms: Sequence[str] | None = None,
    form: str | None = None,
    loss: str = "huber",
    clusters: str = "auto",
    resamples: int = 1000,
    seed: int = 0,
) -> ScalingFit:
    """Fit forms of **b** to runs and compare them.

    Args:
        points: a row per run: ``size``, ``b``, ``seed``, ``expressivity`` (bits) and, where
            known, ``standard_error`` (over prompts, bits), ``task`` and ``recipe``. The order of
            rows and the seeds' values do not matter, a row said twice counts once.
        forms: names from ``FORMS`` to compare; all if left out.
        form: the one to predict with; chosen by the comparison if left out.
        loss: ``huber``, ``soft_l1`` or ``squared``.
        clusters: which runs err together: each for itself (``run``), all b of a size and seed
            (``seed``), or as the table calls for (``auto``): seeds where they recur over b.
        resamples: of the bootstrap, 100 or more.
        seed: of the bootstrap.

    Raises:
        RunTableError: no law can be fitted to the table; the message says what it takes.
        ValueError: an option breaks its rule.

    Example:
        >>> from analysis.scaling import fit_scaling
        >>> from analysis.scaling.example import example_runs
        >>> fit = fit_scaling(example_runs(), forms=["logarithmic/shared_gain"], resamples=100)
        >>> fit.predict({"size": ["small"], "b": [32]}).round(2)
        array([4.5])
    """
    require_one_of("loss", loss, LOSSES)
    require_one_of("clusters", clusters, CLUSTERS)
    require_whole("resamples", resamples, 100)
    for name in (*(forms or ()), *([form] if form else ())):
        require_one_of("form", name, tuple(FORMS))
    options = {"loss": loss, "clusters": clusters, "resamples": resamples, "seed": seed}
    run_table = read_run_table(points)
    names = [name for name in FORMS if forms is None or name in (*forms, form)]
    reasons = {name: choice.why_not(FORMS[name], run_table) for name in names}
    skipped_forms = {name: reason for name, reason in reasons.items() if reason}
    candidates = [FORMS[name] for name in names if not reasons[name]]
    if not candidates or (form in skipped_forms):
        name = form or min(skipped_forms, key=lambda name: len(FORMS[name].parameters))
        raise RunTableError(f"{name} {skipped_forms[name]}")
    observations = _observe(run_table, candidates)
    fits = {
        candidate.name: fit_form(candidate, run_table, observations, options)
        for candidate in _with_bar(candidates)
    }
    comparison = choice.compare(fits)
    best_form = form or choice.choose(comparison)
    verdict = choice.verdict(fits, comparison, best_form)
    return ScalingFit(
        run_table=run_table,
        fits=fits,
        skipped_forms=skipped_forms,
        best_form=best_form,
        comparison=comparison,
        verdict=verdict,
    )


def _with_bar(forms: Sequence[Form]) -> Iterable[Form]:
    """Go through forms; on a terminal a bar says how far it is, where that takes long."""
    from tqdm import tqdm  # a law that is served is not fitted, and does without

    return tqdm(forms, "forms fitted", delay=SECONDS_TO_A_BAR, disable=None, leave=False)


def _observe(run_table: RunTable, forms: Sequence[Form]) -> Observations:
    """Give each run its standard deviation: from its cell, or without any pair from the fits."""
    values, weights = run_table.values[None], np.ones((1, len(run_table.values)))
    scale = run_scales(run_table)
    if scale is None:
        unit = Observations(values, weights, np.ones(len(run_table.values)), run_table.cells)
        sized_forms = [SizedForm(form, run_table.sizes) for form in forms]
        mean_squares = [
            search(sized_form, run_table, unit, "squared").loss[0]
            / max(len(run_table.values) - len(sized_form.names), 1)
            for sized_form in sized_forms
        ]
        scale = np.maximum(np.sqrt(min(mean_squares)), np.maximum(run_table.errors, 1e-3))
    return Observations(values, weights, scale, run_table.cells)
