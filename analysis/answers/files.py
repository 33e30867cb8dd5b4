"""A study as files: tables, figures and the report."""

import json
from dataclasses import asdict
from pathlib import Path

from analysis.answers import figures, loop_curves, text
from analysis.answers.answers import Study, shown_curves
from analysis.answers.joint_law import JointFit
from analysis.scaling import choice
from analysis.scaling import figures as law_figures
from looped.drawing import GREY, save


def write(folder: Path, study: Study) -> None:
    """Write everything that was found.

    Args:
        folder: is made; gets ``report.txt``, ``answers.json``, tables as csv and figures as svg
            and png.
        study: what was found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fit, points = study.fit, study.selection.points
    (folder / "report.txt").write_text(text.describe(study), encoding="utf-8")
    (folder / "answers.json").write_text(json.dumps(_answers(study), indent=1), encoding="utf-8")
    residuals = fit.points.table.assign(fitted=fit.best.fitted)
    residuals["residual"] = residuals["expressivity"] - residuals["fitted"]
    tables = {
        "points": points,
        "cells": study.cells,
        "parameters": fit.best.parameters(),
        "forms": fit.comparison,
        "residuals": residuals,
        "held_out": choice.held_out_errors(fit.best),
        "costs": study.costs,
        "loop_curves": study.curves,
    }
    if isinstance(study.joint, JointFit):
        tables["joint_law"] = study.joint.parameters
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    curves = shown_curves(study)
    fitted = loop_curves.fit_curves(list(curves.values()), [b for _, b in curves])
    drawn = {
        "law": law_figures.law(fit, study.bayes),
        "residuals": law_figures.residuals(fit),
        "held_out": law_figures.held_out(fit),
        "forms": law_figures.forms(fit),
        "costs": figures.costs(study.costs),
        "loop_curves": figures.loop_curves_by_size(curves, fitted),
    }
    for name, figure in drawn.items():
        figure.suptitle(study.selection.short_account, fontsize=7, color=GREY)
        save(figure, folder / name)


def _answers(study: Study) -> dict[str, object]:
    """Say the derived answers for a program; infinity, never, is null."""

    def plain(crossing: object) -> dict[str, float | None]:
        values: dict[str, float] = asdict(crossing)  # type: ignore[call-overload]
        return {name: None if value == float("inf") else value for name, value in values.items()}

    return {
        "form": study.fit.chosen,
        "status": study.fit.status.name,
        "verdict": study.fit.verdict,
        "exchange": [
            {"size": size, "target": target, **plain(crossing)}
            for (size, target), crossing in study.exchange.items()
        ],
        "worthwhile": [
            {"size": size, **plain(crossing)} for size, crossing in study.worthwhile.items()
        ],
    }
