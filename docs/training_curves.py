"""Draw the README's training curves from journals: error at the query against steps.

python docs/training_curves.py docs/training-curves.png LABEL=RUN_FOLDER ...
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg" if sys.argv[1].endswith("svg") else "agg")
import matplotlib.pyplot as plt

from looped.journal import history, read

figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
for style, argument in zip(("-", "--", "-."), sys.argv[2:], strict=False):
    label, folder = argument.rsplit("=", 1)
    records = history(read(Path(folder) / "journal.jsonl")[0])
    points = [r for r in records if r["kind"] == "metrics"]
    steps = [r["step"] for r in points]
    errors = [r["values"]["train/query_error"] for r in points]
    outcome = next(r["values"] for r in records if r["kind"] == "outcome")
    label = f"{label}: held-out {outcome['held_out/nmse']:.4f} ± {outcome['held_out/nmse_se']:.4f}"
    (line,) = axes.plot(steps, errors, style, linewidth=1, label=label)
axes.axhline(1, color="grey", linewidth=0.8)
axes.text(steps[-1], 1.04, "predicting 0", ha="right", va="bottom", color="grey", fontsize=8)
axes.set(
    yscale="log",
    xlabel="gradient step",
    ylabel="squared error at the query / Var(y)\n(mean of 25 training batches)",
    title="tiny, linear regression in 5 dimensions, 63 examples, seed 42",
)
figure.legend(loc="outside lower center", frameon=False, fontsize=9)
figure.savefig(sys.argv[1], dpi=150)
