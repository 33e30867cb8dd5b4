"""The scaling function **b** fitted to runs; needs neither MLflow nor torch.

Any table will do that has a row per run: ``size``, ``b``, ``seed`` and ``expressivity`` (bits).

Example:
    >>> from analysis.scaling import FORMS, fit_scaling
    >>> from analysis.scaling.example import example_runs
    >>> fit = fit_scaling(example_runs(), resamples=100)
    >>> fit.best_form, fit.status.name
    ('logarithmic/shared_gain', 'OK')
    >>> fit.predict({"size": ["small"], "b": [4]}).round(2)  # of a size that was trained
    array([3.])
    >>> lower, upper = fit.interval({"E_M": [2.5], "b": [16]})  # of any other
    >>> bool(lower[0] < 4.5 < upper[0])
    True
    >>> text = fit.report()  # what was fitted to what, how well, and how sure that is
    >>> FORMS[fit.best_form].formula
    'E_M + gain (log2(b))'
"""

from analysis.scaling.fit import FORMS, FitStatus, FormFit, RunTableError, ScalingFit, fit_scaling

__all__ = [
    "FORMS",
    "FitStatus",
    "FormFit",
    "PointsError",
    "RunTableError",
    "ScalingFit",
    "fit_scaling",
]

PointsError = RunTableError
"""Its older name."""
