"""Answers as files: tables, figures and text."""

import json
from dataclasses import asdict
from pathlib import Path

from analysis.answers import figures, text
from analysis.answers.answers import Answers, shown_curves
from analysis.answers.lengths import figures as length_figures
from analysis.answers.lengths.lengths import Lengths
from analysis.answers.loops import figures as loop_figures
from analysis.answers.loops import loop_curves
from analysis.answers.loops.loop_law import LoopLawFit
from analysis.scaling import figures as law_figures
from looped.drawing import GREY, save


def write(folder: Path, answers: Answers) -> None:
    """Write all answers.

    Args:
        folder: is made; gets ``fit.txt``, ``answers.json``, tables as csv and figures as svg
            and png.
        answers: to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fit = answers.fit
    (folder / "fit.txt").write_text(text.describe(answers), encoding="utf-8")
    (folder / "answers.json").write_text(
        json.dumps(_for_programs(answers), indent=1), encoding="utf-8"
    )
    residuals = fit.run_table.rows.assign(fitted=fit.best.fitted_bits)
    residuals["residual"] = residuals["expressivity"] - residuals["fitted"]
    tables = {
        "points": answers.selection.table,
        "cells": answers.cells,
        "parameters": fit.best.parameters(),
        "forms": fit.comparison,
        "residuals": residuals,
        "held_out": fit.held_out,
        "costs": answers.costs,
        "doublings": answers.doublings,
        "loop_curves": answers.curves,
    }
    for part in (answers.joint, answers.lengths, answers.loop_law):
        if not isinstance(part, str):  # else it says why there is none
            tables |= part.tables
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    curves = shown_curves(answers)
    fitted_curves = loop_curves.fit_curves(list(curves.values()), [b for _, b in curves])
    figures_by_name = {
        "law": law_figures.law(fit, answers.bayes),
        "residuals": law_figures.residuals(fit),
        "held_out": law_figures.held_out(fit),
        "forms": law_figures.forms(fit),
        "costs": figures.costs(answers.costs, answers.length),
        "loop_curves": loop_figures.loop_curves_by_size(curves, fitted_curves),
    }
    if isinstance(answers.lengths, Lengths):
        figures_by_name["lengths"] = length_figures.draw(answers.lengths)
    if isinstance(answers.loop_law, LoopLawFit):
        figures_by_name["loop_law"] = loop_figures.loop_law(answers.loop_law)
    for name, figure in figures_by_name.items():
        figure.suptitle(answers.selection.short_account, fontsize=7, color=GREY)
        save(figure, folder / name)


def _for_programs(answers: Answers) -> dict[str, object]:
    """Say the derived answers for a program; infinity, never, is null."""

    def plain(span: object) -> dict[str, float | None]:
        values: dict[str, float] = asdict(span)  # type: ignore[call-overload]
        return {name: None if value == float("inf") else value for name, value in values.items()}

    return {
        "form": answers.fit.best_form,
        "status": answers.fit.status.name,
        "verdict": answers.fit.verdict,
        "exchange": [
            {
                "size": size,
                "target": target,
                **plain(crossing),
                "flops": {
                    kind: plain(ratio)
                    for kind, ratio in answers.exchange_flops[size, target].items()
                },
            }
            for (size, target), crossing in answers.exchange.items()
        ],
        "worthwhile": [
            {"size": size, **plain(crossing)} for size, crossing in answers.worthwhile.items()
        ],
    }
