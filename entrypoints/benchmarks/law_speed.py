"""Times a fit of 1,000 runs with 1,000 resamples: python -m entrypoints.benchmarks.law_speed."""

import time

import numpy as np
import pandas as pd

from analysis.scaling.fit import fit_scaling
from analysis.scaling.forms import FORMS

E_M = (1.0, 1.85, 2.4, 2.9, 3.4)
N_BS, N_SEEDS, NOISE = 20, 10, 0.08
TRUTH = (2.5, -0.4, 0.8)


def main() -> None:
    """Fit every form to 5 sizes, 20 values of b and 10 seeds; print what it took."""
    generator = np.random.default_rng(0)
    rows = [
        {
            "size": f"size {index}",
            "b": b,
            "seed": seed,
            "expressivity": float(FORMS["saturating_power/of_E_M"](e_m, b, *TRUTH))
            + NOISE * generator.normal(),
        }
        for index, e_m in enumerate(E_M)
        for b in range(1, N_BS + 1)
        for seed in range(N_SEEDS)
    ]
    start = time.perf_counter()
    fit = fit_scaling(pd.DataFrame(rows), resamples=1000)
    time_of_forms = time.perf_counter()
    for form_fit in fit.fits.values():
        form_fit.parameters()
    print(
        f"{len(rows):,} runs: {len(fit.fits)} forms and their held-out errors in "
        f"{time_of_forms - start:.1f} s, 1,000 resamples of each form in "
        f"{time.perf_counter() - time_of_forms:.1f} s"
    )


if __name__ == "__main__":
    main()
