"""Times fits of large tables with 1,000 resamples: python -m entrypoints.benchmarks.law_speed."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.scaling.fit import fit_scaling
from analysis.scaling.form.forms import FORMS

FORM, TRUTH, NOISE = "saturating_power/of_E_M", (2.5, -0.4, 0.8), 0.08
TABLES: dict[str, tuple[Sequence[float], Sequence[int], int]] = {
    "5 sizes": ((1.0, 1.85, 2.4, 2.9, 3.4), range(1, 21), 10),
    "200 sizes": ([float(e_m) for e_m in np.linspace(1, 3.5, 200)], (1, 5, 10, 15), 3),
}
"""E_M of each size, b, and how many seeds."""


def main() -> None:
    """Fit every form to tables of many b and of many sizes; print what it took."""
    for title, table in TABLES.items():
        runs = _runs(*table)
        start = time.perf_counter()
        fit = fit_scaling(runs)
        time_of_fit = time.perf_counter()
        for form_fit in fit.fits.values():
            form_fit.parameters()
        time_of_resamples = time.perf_counter()
        print(
            f"{len(runs):,} runs of {title}: fit_scaling compares {len(fit.fits)} forms in "
            f"{time_of_fit - start:.1f} s, 1,000 resamples of every other form in "
            f"{time_of_resamples - time_of_fit:.1f} s",
            flush=True,
        )


def _runs(e_m_of_sizes: Sequence[float], bs: Sequence[int], n_seeds: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "size": f"size {index}",
                "b": b,
                "seed": seed,
                "expressivity": float(FORMS[FORM](e_m, b, *TRUTH)) + NOISE * generator.normal(),
            }
            for index, e_m in enumerate(e_m_of_sizes)
            for b in bs
            for seed in range(n_seeds)
        ]
    )


if __name__ == "__main__":
    main()
