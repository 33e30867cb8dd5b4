"""Draw the training curves of docs/training.md from journals: error at the query against steps.

python -m entrypoints.benchmarks.training_curves docs/training-curves.png LABEL=RUN_FOLDER ...
"""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from looped.drawing import styled
from looped.names import Metric
from looped.records.journal import history, read


@styled
def main() -> None:
    """Draw the curves that the command line names."""
    picture, *labelled = sys.argv[1:]
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    for style, argument in zip(("-", "--", "-."), labelled, strict=False):
        label, folder = argument.rsplit("=", 1)
        _draw_run(axes, style, label, Path(folder))
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.text(0.99, 1.04, "predicting 0", ha="right", va="bottom", color="grey", fontsize=8,
              transform=axes.get_yaxis_transform())  # fmt: skip
    axes.set(
        yscale="log",
        xlabel="gradient step",
        ylabel="squared error at the query / Var(y)\n(mean of 25 training batches)",
        title="tiny, linear regression in 5 dimensions, 63 examples, seed 42",
    )
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    figure.savefig(picture, dpi=150)


def _draw_run(axes: Axes, style: str, label: str, folder: Path) -> None:
    records = history(read(folder / "journal.jsonl")[0])
    samples = [record for record in records if record["kind"] == "metrics"]
    outcome = next(record["values"] for record in records if record["kind"] == "outcome")
    error, standard_error = outcome[Metric.NMSE], outcome[Metric.NMSE_SE]
    axes.plot(
        [sample["step"] for sample in samples],
        [sample["values"][Metric.QUERY_ERROR] for sample in samples],
        style,
        linewidth=1,
        label=f"{label}: held-out {error:.4f} ± {standard_error:.4f}",
    )


if __name__ == "__main__":
    main()
