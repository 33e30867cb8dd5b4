"""How often the late slope of a curve is called falling that only wanders, and kept runs' slopes.

python -m entrypoints.benchmarks.coverage.late_slopes results/h100
"""

import sys
from collections import Counter
from itertools import product
from pathlib import Path

import numpy as np

from looped.names import Convergence, Tag
from looped.records.journal import history, read
from looped.training.convergence import LITTLE, T_OF_BLOCKS, late_slope, samples_of

CURVES = 1000
LENGTHS = (1500, 7500)
INTERVAL = 25
WANDERING = ((0.0, 0.2), (0.3, 0.2), (0.7, 0.4), (0.9, 0.4))
"""Correlation of neighbouring samples of log error about their trend, and their standard
deviation: in the 36 kept trainings 0.02 to 0.77 and 0.06 to 0.54."""
SLOPES = (0.0, -LITTLE, -0.5, -1.0)


def rates(
    slope: float, correlation: float, deviation: float, n_steps: int, rng: np.random.Generator
) -> Counter[str]:
    """Count the verdicts on planted curves.

    Args:
        slope: of log error on log step.
        correlation: of neighbouring samples about it.
        deviation: of them.
        n_steps: length of the training.
        rng: draws the samples.
    """
    steps = np.arange(INTERVAL, n_steps + 1, INTERVAL)
    noise = rng.normal(size=(len(steps), CURVES))
    for i in range(1, len(steps)):
        noise[i] = correlation * noise[i - 1] + (1 - correlation**2) ** 0.5 * noise[i]
    curves = np.exp(slope * np.log(steps)[:, None] + deviation * noise)
    return Counter(late_slope(steps, curve).convergence for curve in curves.T)


def main() -> int:
    """Print both tables."""
    rng = np.random.default_rng(0)
    states = (Convergence.LEARNING, Convergence.SETTLED, Convergence.CANNOT_TELL)
    print(f"steps  correlation  deviation  slope  {'  '.join(states)}, % of {CURVES} curves")
    for n_steps, (correlation, deviation), slope in product(LENGTHS, WANDERING, SLOPES):
        counts = rates(slope, correlation, deviation, n_steps, rng)
        shares = "  ".join(f"{100 * counts[state] / CURVES:8.1f}" for state in states)
        print(f"{n_steps:5}  {correlation:11}  {deviation:9}  {slope:5}  {shares}", flush=True)
    for path in sorted(Path(name) for root in sys.argv[1:] for name in Path(root).glob("*-s*")):
        records = history(read(path / "journal.jsonl")[0])
        slope_of_run = late_slope(*samples_of(records))
        tags = [record["tags"] for record in records if record["kind"] == "outcome"]
        half_width = T_OF_BLOCKS * slope_of_run.standard_error
        before = tags[-1].get(Tag.UNCONVERGED, "") if tags else ""
        name = "-".join(path.name.split("-")[:3])
        print(f"{name:18} tagged {before:5}  {slope_of_run.slope:+.2f} ± {half_width:.2f}  "
              f"{slope_of_run.convergence}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
