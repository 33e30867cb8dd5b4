"""What a table of losses tells, as files: the names that ``fit_scaling`` gives those of runs."""

from pathlib import Path

import pandas as pd

from analysis.answers.joint_law import JointFit
from analysis.loss_tables import text
from analysis.loss_tables.laws import TableFit
from analysis.runs.expressivity import cells
from analysis.scaling import figures as law_figures
from analysis.scaling.fit import ScalingFit
from looped.drawing import GREY, save


def write(folder: Path, table_fit: TableFit) -> None:
    """Write ``fit.txt``, tables as csv and figures as svg and png to a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fit.txt").write_text(text.describe(table_fit), encoding="utf-8")
    tables = {"losses": table_fit.table.rows}
    fit, joint, curves = table_fit.fit, table_fit.joint, table_fit.curves
    if isinstance(fit, ScalingFit):
        points = fit.run_table.rows
        residuals = points.assign(fitted=fit.best.fitted_bits)
        residuals["residual"] = residuals["expressivity"] - residuals["fitted"]
        tables |= {
            "points": points,
            "cells": cells(points),
            "parameters": fit.best.parameters(),
            "forms": fit.comparison,
            "residuals": residuals,
            "held_out": fit.held_out,
        }
        figures = {
            "law": law_figures.law(fit),
            "residuals": law_figures.residuals(fit),
            "held_out": law_figures.held_out(fit),
            "forms": law_figures.forms(fit),
        }
        for name, figure in figures.items():
            figure.suptitle(f"{len(points)} losses of {table_fit.name}", fontsize=7, color=GREY)
            save(figure, folder / name)
    if isinstance(joint, JointFit):
        tables |= joint.tables
    if isinstance(curves, pd.DataFrame):
        tables["loop_curves"] = curves
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
