"""The scaling function **b** fitted to runs; needs neither MLflow nor torch.

fit = fit_scaling(points)        # columns size, b, seed, expressivity
print(fit.report())
fit.predict({"size": ["small"], "b": [30]}), fit.interval({"E_M": [2.5], "b": [30]})
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
