"""Fits E_LM = b(E_M) to any table of runs: needs neither MLflow nor torch."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.scaling import choice
from analysis.scaling.form.fitted_form import FitStatus
from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.form.form_search import fit_form, on_common_scale, search
from analysis.scaling.form.forms import FORMS, Form
from analysis.scaling.form.own_forms import forms_with
from analysis.scaling.form.sized_form import SizedForm
from analysis.scaling.held_out import refit
from analysis.scaling.run_table import RunTable, RunTableError, read_run_table
from analysis.scaling.scaling_fit import ScalingFit
from analysis.scaling.solving.scales import run_scales
from analysis.scaling.solving.solver import LOSSES, Observations
from analysis.scaling.verdict import verdict
from looped.rules import require_one_of, require_whole

__all__ = ["FORMS", "FitStatus", "FormFit", "RunTableError", "ScalingFit", "fit_scaling"]

CLUSTERS = ("auto", "run", "seed")
SECONDS_TO_A_BAR = 3.0


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
        forms: names from ``FORMS`` to compare, or shapes of one's own, ``my_forms.py:hill``; all
            of ``FORMS`` if left out.
        form: the one to predict with, alone; the average over forms if left out.
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
    known_forms = dict(FORMS)
    names_asked = {}
    for word in (*(forms or ()), *([form] if form else ())):
        names_asked[word], own_variants = forms_with(word)
        known_forms |= own_variants
    forms = None if forms is None else [names_asked[word] for word in forms]
    form = names_asked[form] if form else None
    options = {"loss": loss, "clusters": clusters, "resamples": resamples, "seed": seed}
    run_table = read_run_table(points)
    names = [name for name in known_forms if forms is None or name in (*forms, form)]
    asked_forms = {*(forms or ()), form}
    reasons = {
        name: choice.why_not(known_forms[name], run_table, name in asked_forms) for name in names
    }
    skipped_forms = {name: reason for name, reason in reasons.items() if reason}
    candidates = [known_forms[name] for name in names if not reasons[name]]
    if not candidates or (form in skipped_forms):
        name = form or min(skipped_forms, key=lambda name: len(known_forms[name].parameters))
        raise RunTableError(f"{name} {skipped_forms[name]}")
    observations = _observe(run_table, candidates)
    fits = on_common_scale(
        {
            candidate.name: fit_form(candidate, run_table, observations, options)
            for candidate in _with_bar(candidates)
        }
    )
    return compare(run_table, fits, skipped_forms, form)


def compare(
    run_table: RunTable,
    fits: Mapping[str, FormFit],
    skipped_forms: Mapping[str, str],
    form: str | None,
    averages: bool | None = None,
) -> ScalingFit:
    """Compare forms that were fitted to the same runs.

    Args:
        run_table: the runs.
        fits: by form, on their common scale.
        skipped_forms: those that were not fitted, and why.
        form: the one that leads; chosen by the comparison if left out.
        averages: whether the average predicts; if left out, where no form is given.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.fit import compare
        >>> fit = example_fit()
        >>> asked_for = compare(fit.run_table, fit.fits, {}, form="power")
        >>> asked_for.best_form, asked_for.averages
        ('power', False)
    """
    refits = {name: refit(form_fit) for name, form_fit in fits.items()}
    comparison = choice.compare(fits, refits)
    best_form = form or choice.choose(comparison)
    return ScalingFit(
        run_table=run_table,
        fits=fits,
        refits=refits,
        skipped_forms=skipped_forms,
        best_form=best_form,
        averages=form is None if averages is None else averages,
        comparison=comparison,
        verdict=verdict(run_table, fits, comparison, best_form),
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
