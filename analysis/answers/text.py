"""Answers as text: the runs, the law and all that follows, in the manner of lmfit."""

import pandas as pd

from analysis.answers import exchange, loop_curves
from analysis.answers.answers import Answers, budgets
from analysis.answers.joint_law import JointFit
from analysis.scaling.text import number, section


def describe(answers: Answers) -> str:
    """Say all of them."""
    joint = [str(answers.joint)]
    if isinstance(answers.joint, JointFit):
        law_of_b = f"(about the law of b above: {answers.fit.best.residual_sd:.3g})"
        joint = [*answers.joint.describe(), law_of_b]
    parts = [
        section("Runs", [answers.selection.account], wrap=True),
        section("Expressivity", _cell_lines(answers)),
        answers.fit.report(),
        section("Joint law of size and loops", joint),
        section("Loops for size", _exchange_lines(answers)),
        section(f"The loop that gains less than {exchange.WORTHWHILE_BITS:g} bits",
                [f"{size}: {crossing}" for size, crossing in answers.worthwhile.items()]),
        section("What to train, and what to run", _cost_lines(answers)),
        section("Beyond the trained b", _curve_lines(answers)),
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
    return lines


def _exchange_lines(answers: Answers) -> list[str]:
    return [
        f"{size} reaches {target} at b = 1: {crossing}"
        for (size, target), crossing in answers.exchange.items()
    ] or ["one size has nothing to reach"]


def _cost_lines(answers: Answers) -> list[str]:
    lines: list[str] = []
    for kind, what in (("train", "a training"), ("infer", "one prompt")):
        best = exchange.best_for(answers.costs, kind, budgets(answers.costs, kind))
        for row in best.to_dict("records"):
            suffix = ", beyond what was trained" if row["beyond"] else ""
            lines.append(
                f"{row['budget']:.0e} FLOPs for {what}: {row['size']} at b = {row['b']}, "
                f"{row['bits']:.2f} bits [{row['lower']:.2f}, {row['upper']:.2f}]{suffix}"
            )
        most = exchange.per_flop(answers.costs, kind)
        lines.append(f"most bits per FLOP of {what}: {most['size']} at b = {most['b']}")
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
    return lines


def _spread(middle: float, least: float, greatest: float) -> str:
    if pd.isna(middle):
        return "too few loops"
    words = [
        "keeps" if value == float("inf") else f"{value:g}" for value in (middle, least, greatest)
    ]
    return words[0] if len(set(words)) == 1 else f"{words[0]} ({words[1]} to {words[2]})"
