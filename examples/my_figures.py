"""A figure: every training's E against its b."""

from matplotlib.figure import Figure

from analysis.report.exhibit import Exhibit


def seeds(subject):
    table = subject.table[["size", "b", "seed", "expressivity"]]
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for size, rows in table.groupby("size", sort=False):
        axes.plot(rows["b"], rows["expressivity"], "o", label=size)
    axes.set(xscale="log", xlabel="trained b", ylabel="E, bits")
    axes.legend()
    spread = table.groupby(["size", "b"])["expressivity"].std().max()
    return Exhibit(
        name="seeds",
        title="Seeds",
        look_for="A mark for each training.",
        result=f"The seeds of a cell scatter by {spread:.2f} bits at most.",
        table=table,
        figure=figure,
    )
