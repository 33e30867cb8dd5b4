"""A small table of runs with a known law, and its fit, for the examples in this package."""

import math

import pandas as pd

from analysis.scaling.fit import ScalingFit, fit_scaling


def example_runs() -> pd.DataFrame:
    """Return 16 runs of E_LM = E_M + log2(b) / 2: of two seeds one lies 0.05 bits above, one below.

    Example:
        >>> from analysis.scaling.example import example_runs
        >>> example_runs().head(4)
           size  b  seed  expressivity
        0  tiny  1     0          1.05
        1  tiny  1     1          0.95
        2  tiny  2     0          1.45
        3  tiny  2     1          1.55
    """
    return pd.DataFrame(
        [
            {
                "size": size,
                "b": 2**doublings,
                "seed": seed,
                "expressivity": e_m + doublings / 2 + 0.05 * math.cos(math.pi * (doublings + seed)),
            }
            for size, e_m in (("tiny", 1.0), ("small", 2.0))
            for doublings in range(4)
            for seed in (0, 1)
        ]
    )


def example_fit() -> ScalingFit:
    """Return the fit of two forms to them, one of which is the law.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> example_fit().best_form
        'logarithmic/shared_gain'
    """
    forms = ["power", "logarithmic/shared_gain"]
    return fit_scaling(example_runs(), forms=forms, resamples=100)
