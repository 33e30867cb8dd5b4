"""Answers as text: the runs, the law and all that follows, in the manner of lmfit."""

import math

import pandas as pd

from analysis.answers import costs, exchange, joint_text
from analysis.answers.answers import MOST_CURVES, Answers
from analysis.answers.flops import KINDS
from analysis.answers.joint_law import JointFit
from analysis.answers.lengths import text as lengths_text
from analysis.answers.loops import loop_curves
from analysis.answers.loops import text as loops_text
from analysis.answers.loops.loop_law import MOST_GROUPS
from analysis.runs.expressivity import DEFINITION
from analysis.scaling.words.form_text import number
from analysis.scaling.words.text import section
from looped.counting import counted


def describe(answers: Answers) -> str:
    """Say all of them."""
    joint = [str(answers.joint)]
    if isinstance(answers.joint, JointFit):
        law_of_b = f"(about the law of b above: {answers.fit.best.residual_sd:.3g})"
        joint = [*joint_text.describe(answers.joint), law_of_b]
    if answers.n_without_mean:
        joint.append(
            f"left out: {counted(answers.n_without_mean, 'run')} of other lengths, which "
            "hold no mean of their last weights (weights=last takes them)"
        )
    parts = [
        section("Runs", [answers.selection.account], wrap=True),
        section("Expressivity", _cell_lines(answers)),
        answers.fit.report(),
        section("Joint law of size and loops", joint, hang=True),
        section("Loops for size", _exchange_lines(answers), hang=True),
        section(f"The loop that gains less than {exchange.WORTHWHILE_BITS:g} bits",
                [f"{size}: {crossing}{_beyond(answers, crossing)}"
                 for size, crossing in answers.worthwhile.items()]),
        section(f"What to train, at {answers.length}, and what to run", _cost_lines(answers)),
        section("What a doubling of the FLOPs buys, in bits", _doubling_lines(answers)),
        section("Shorter trainings", lengths_text.describe(answers.lengths), hang=True),
        section("Beyond the trained b", _curve_lines(answers)),
        section("One law of all curves", loops_text.describe(answers.loop_law)),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _cell_lines(answers: Answers) -> list[str]:
    table = answers.cells
    lines = ["size        b  seeds   E, bits  s.e. seeds  s.e. prompts  E of the median prompt"]
    for row in table.to_dict("records"):
        lines.append(
            f"{row['size']:<9} {row['b']:>3g}  {row['seeds']:>5}  {row['expressivity']:>8.3f}"
            f"  {number(row['se_seeds']):>10}  {number(row['se_prompts']):>12}"
            f"  {row['expressivity_median']:>22.3f}"
        )
    if answers.bayes is not None:
        lines.append(
            f"Bayes predictor: {answers.bayes:.3f} bits, which no model can pass on average"
        )
    return [*lines, DEFINITION]


def _exchange_lines(answers: Answers) -> list[str]:
    lines = []
    for (size, target), crossing in answers.exchange.items():
        line = f"{size} reaches {target} at b = 1: {crossing}{_beyond(answers, crossing)}"
        if math.isfinite(crossing.lower):
            ratios = answers.exchange_flops[size, target]
            line += f"; FLOPs: {ratios['train']} {target}'s to train, {ratios['infer']} to run"
        lines.append(line)
    return lines or ["one size has nothing to reach"]


def _beyond(answers: Answers, crossing: exchange.Crossing) -> str:
    is_beyond = answers.fit.run_table.bs[-1] < crossing.b < math.inf
    return ", beyond what was trained" if is_beyond else ""


def _cost_lines(answers: Answers) -> list[str]:
    lines: list[str] = []
    for kind, what in KINDS.items():
        length = f" of {answers.length}" if kind == "train" else ""
        best = costs.best_for(answers.costs, kind, costs.budgets(answers.costs, kind))
        for row in best.to_dict("records"):
            suffix = ", beyond what was trained" if row["beyond"] else ""
            lines.append(
                f"{row['budget']:.0e} FLOPs for {what}{length}: {row['size']} at b = {row['b']}, "
                f"{row['bits']:.2f} bits [{row['lower']:.2f}, {row['upper']:.2f}]{suffix}"
            )
    return lines


def _doubling_lines(answers: Answers) -> list[str]:
    rows = answers.doublings.to_dict("records")
    ways = [f"{row['size']}:{row['b']} to {row['to_size']}:{row['to_b']}" for row in rows]
    width = max(map(len, ways))
    lines = [f"{'size:b':<{width}}  {'FLOPs of a training':<22}  FLOPs of one prompt"]
    for way, row in zip(ways, rows, strict=True):
        spans = [
            f"{row[f'{kind}_bits']:>5.2f} [{row[f'{kind}_lower']:.2f}, {row[f'{kind}_upper']:.2f}]"
            for kind in KINDS
        ]
        suffix = "  beyond what was trained" if row["beyond"] else ""
        lines.append(f"{way:<{width}}  {spans[0]:<22}  {spans[1]:<19}{suffix}".rstrip())
    return lines


def _curve_lines(answers: Answers) -> list[str]:
    table = loop_curves.summarise(answers.curves)
    lines = [
        "size        b  peak at loop (of seeds)  peak, bits  lost  half-life, loops (of seeds)"
    ]
    for values in table.to_dict("records"):
        peak = _spread(values["peak_loop"], values["peak_loop_least"], values["peak_loop_greatest"])
        half = _spread(values["half_life"], values["half_life_least"], values["half_life_greatest"])
        lines.append(
            f"{values['size']:<9} {values['b']:>3}  {peak:>23}  {number(values['peak_bits']):>10}"
            f"  {number(values['lost']):>4}  {half:>28}"
        )
    n_left_out = len(answers.selection.runs) - len(answers.curves)
    if n_left_out:
        further = f"{n_left_out:,} more curves were not fitted"
        lines.append(f"of the first {MOST_CURVES} seeds of a cell; {further}")
    if len({run.config.seed for run in answers.selection.runs}) > MOST_GROUPS:
        lines.append(f"the law over loops leaves out {MOST_GROUPS} groups of seeds, not each seed")
    return lines


def _spread(middle: float, least: float, greatest: float) -> str:
    if pd.isna(middle):
        return "too few loops"
    words = [
        "keeps" if value == float("inf") else f"{value:g}" for value in (middle, least, greatest)
    ]
    return words[0] if len(set(words)) == 1 else f"{words[0]} ({words[1]} to {words[2]})"
