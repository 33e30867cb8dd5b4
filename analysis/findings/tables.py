"""The tables of the page of findings, as Markdown; every number is the package's own."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from analysis.answers.lengths.lengths import Lengths, read_lengths
from analysis.answers.lengths.phi import PhiByLength
from analysis.answers.rates import law_line, read_rates
from analysis.claims.claim import Verdict
from analysis.claims.claims import judge
from analysis.claims.family import family_reading
from analysis.claims.findings import Finding
from analysis.claims.hypotheses import HYPOTHESES, joint_reading
from analysis.claims.treatments import judge_treatments
from analysis.findings.recipes import Recipe, Study, recipes_of, studies_of
from looped.names import Convergence, Weights

Lines = list[str]


def tables_of(results: Path, resamples: int = 1000) -> dict[str, str]:
    """Make every table of the page, by its name.

    Args:
        results: the folder of kept trainings.
        resamples: of the bootstrap at each length of training.
    """
    recipes, studies = recipes_of(results), studies_of(results)
    plain = _distinct([recipe for recipe in recipes if recipe.is_plain])
    findings = {recipe.letter: judge(recipe.runs) for recipe in plain}
    full = [recipe for recipe in plain if recipe.sees_all_loops]
    # the curves of a training are the same whichever weights were evaluated
    of_curves = [recipe for recipe in full if recipe.weights == Weights.LAST]
    lengths = {recipe.letter: _lengths_of(recipe, resamples) for recipe in of_curves}
    tables = {
        "recipes": _recipes(recipes),
        "claims": _claims(plain, findings),
        "claims-in-numbers": _claims_in_numbers(full, findings),
        "hypotheses": _hypotheses(studies),
        "ways": _ways(studies),
        "rates": _rates(studies, resamples),
        "phi": _by_recipe(of_curves, lengths, _phi),
        "equal-flops": _by_recipe(of_curves, lengths, _pairs),
        "budgets": _by_recipe(of_curves, lengths, _budgets),
    }
    return {name: "\n".join(lines) for name, lines in tables.items()}


def _distinct(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Leave out recipes whose trainings another folder holds too."""
    of_trainings = {
        (recipe.weights, frozenset(run.config.identity for run in recipe.runs)): recipe
        for recipe in reversed(recipes)
    }
    return [recipe for recipe in recipes if recipe in of_trainings.values()]


def _recipes(recipes: Sequence[Recipe]) -> Lines:
    header = "| | trainings | sizes | b | seeds | steps | learned | learning / settled / unknown |"
    lines = [header, "|---|---|---|---|---|---|---|---|"]
    for recipe in recipes:
        runs = sorted(recipe.runs, key=lambda run: run.config.model_config.n_params())
        states = [
            sum(run.convergence == state for run in runs)
            for state in (Convergence.LEARNING, Convergence.SETTLED, Convergence.CANNOT_TELL)
        ]
        cells = [
            f"**{recipe.letter}** {recipe.title}",
            len(runs),
            _listed(dict.fromkeys(run.config.size for run in runs)),
            _listed(sorted({run.config.b for run in runs})),
            len({run.config.seed for run in runs}),
            _listed(sorted({run.config.steps for run in runs})),
            sum(run.has_learned for run in runs),
            " / ".join(map(str, states)),
        ]
        lines.append(_row(cells))
    return lines


def _claims(recipes: Sequence[Recipe], findings: Mapping[str, Sequence[Finding]]) -> Lines:
    """Write for each folder and kind of weights a row for each claim, a column for each recipe.

    A star is at verdicts on other sizes, b or loops than those that the study speaks of.
    """
    lines: Lines = []
    for folder, weights in dict.fromkeys((recipe.folder, recipe.weights) for recipe in recipes):
        columns = [each for each in recipes if (each.folder, each.weights) == (folder, weights)]
        header = [f"{recipe.letter}: {recipe.way}" for recipe in columns]
        lines += ["", f"*{folder}, {weights} weights*", ""]
        lines += [_row(["claim", *header]), _rule(len(header) + 1)]
        of_columns = [findings[recipe.letter] for recipe in columns]
        for of_claim in zip(*of_columns, strict=True):
            verdicts = [
                f"{finding.verdict}{' *' * bool(finding.substitute)}" for finding in of_claim
            ]
            lines.append(_row([f"{of_claim[0].statement} (`{of_claim[0].claim}`)", *verdicts]))
        counts = [Counter(finding.verdict for finding in column) for column in of_columns]
        for verdict in Verdict:
            lines.append(_row([f"*{verdict}*", *(count[verdict] for count in counts)]))
    return lines[1:]


def _claims_in_numbers(
    recipes: Sequence[Recipe], findings: Mapping[str, Sequence[Finding]]
) -> Lines:
    lines: Lines = []
    for recipe in recipes:
        lines += _heading(recipe.letter, recipe.title)
        lines += _finding_rows(findings[recipe.letter])
        lines += ["", family_reading(findings[recipe.letter])]
    return lines[1:]


def _hypotheses(studies: Sequence[Study]) -> Lines:
    lines: Lines = []
    for study in studies:
        findings = judge(study.runs, HYPOTHESES)
        if all(finding.verdict is Verdict.MISSING for finding in findings):
            lines += ["", f"*{study.title}*: none of the {len(findings)} was measured."]
            continue
        lines += ["", f"*{study.title}*", "", *_finding_rows(findings)]
        lines += ["", joint_reading(findings)]
    return lines[1:]


def _ways(studies: Sequence[Study]) -> Lines:
    """Write the claims about ways of training that differ within a study; none where none do."""
    lines: Lines = []
    for study in studies:
        findings = judge_treatments(study.runs)
        if findings:
            lines += [
                "",
                f"*{study.title}*",
                "",
                _row(["claim", "measured", "estimate", "95 % interval", "verdict"]),
                _rule(5),
            ]
            for finding in findings:
                cells = [f"{finding.statement} (`{finding.claim}`)", finding.statistic]
                cells += [_number(finding.estimate), _interval(finding.low, finding.high)]
                lines.append(_row([*cells, finding.verdict_in_words]))
    return lines[1:] or ["No kept study trains in several ways."]


def _rates(studies: Sequence[Study], resamples: int) -> Lines:
    """Write what the size's own rate costs, in the studies that tried others."""
    lines: Lines = []
    for study in studies:
        rates = read_rates(study.runs, resamples)
        if rates is None:
            continue
        header = ["size", "b", "seeds", "rates tried, times the own", "regret, bits"]
        header += ["95 % interval", "greatest mean at"]
        lines += ["", f"*{study.title}*", "", _row(header), _rule(len(header))]
        for row in rates.regrets.to_dict("records"):
            edge = f" (the {row['edge']} tried)" if row["edge"] else ""
            cells = [row["size"], row["b"], row["seeds"], row["factors"]]
            cells += [f"{max(row['regret'], 0):.2f}"]
            cells += [_interval(row["regret_low"], row["regret_high"])]
            lines.append(_row([*cells, f"{row['best_factor']:g}{edge}"]))
        lines += ["", law_line(rates.law)]
    return lines[1:] or ["No kept study trains at several rates."]


def _finding_rows(findings: Sequence[Finding]) -> Lines:
    lines = [_row(["", "measured", "estimate", "95 % interval", "verdict", "seeds to decide"])]
    lines.append(_rule(6))
    for finding in findings:
        estimate = _number(finding.estimate)
        if finding.chosen_as:
            estimate += f" ({finding.chosen_as})"
        cells = [
            f"`{finding.claim}`",
            finding.statistic,
            estimate,
            _interval(finding.low, finding.high),
            finding.verdict_in_words,
            _number(finding.seeds),
        ]
        lines.append(_row(cells))
    return lines


def _lengths_of(recipe: Recipe, resamples: int) -> Lengths | str:
    return read_lengths([run for run in recipe.runs if run.has_learned], resamples)


def _by_recipe(
    recipes: Iterable[Recipe],
    lengths: Mapping[str, Lengths | str],
    lines_of: Callable[[Lengths], Lines],
) -> Lines:
    lines: Lines = []
    for recipe in recipes:
        of_recipe = lengths[recipe.letter]
        lines += _heading(recipe.letter, recipe.title)
        lines += [of_recipe] if isinstance(of_recipe, str) else lines_of(of_recipe)
    return lines[1:]


def _phi(lengths: Lengths) -> Lines:
    if not isinstance(lengths.phi, PhiByLength):
        return [f"No phi: {lengths.phi}."]
    lines = [_row(["steps", "phi", "if every size obeys the law", "sizes may lie off it"])]
    lines.append(_rule(4))
    for row in lengths.phi.table.to_dict("records"):
        of_runs = _interval(row["lower_runs"], row["upper_runs"])
        of_sizes = _interval(row["lower"], row["upper"])
        lines.append(_row([f"{row['steps']:,.0f}", f"{row['phi']:.2f}", of_runs, of_sizes]))
    if lengths.phi.rise is not None:
        rise, low, high = lengths.phi.rise
        words = f"From the shortest to the longest phi moves by {rise:+.2f} {_interval(low, high)}"
        lines += ["", f"{words}, if every size obeys the law."]
    return lines


def _pairs(lengths: Lengths) -> Lines:
    from analysis.answers.lengths.text import pair_result

    if not len(lengths.pairs):
        return ["No b has a larger one beside it."]
    lines = [_row(["size", "smaller b", "larger b", "bits more by the smaller", "95 % interval"])]
    lines.append(_rule(5))
    for row in lengths.pairs.to_dict("records"):
        smaller = f"{row['b']} ({row['steps']:,.0f} steps)"
        larger = f"{row['larger_b']} ({row['larger_steps']:,.0f} steps)"
        interval = _interval(row["lower"], row["upper"])
        lines.append(_row([row["size"], smaller, larger, f"{row['difference']:+.2f}", interval]))
    return [*lines, "", pair_result(lengths.pairs)]


def _budgets(lengths: Lengths) -> Lines:
    header = ["size", "FLOPs", "best b", "steps", "bits", "not shown to be worse", "had ended"]
    lines = [_row(header), _rule(len(header))]
    for row in lengths.best.to_dict("records"):
        if row["asked"] < 2:
            continue  # nothing to choose from
        cells = [
            row["size"],
            f"{row['budget']:.0e}",
            row["b"],
            f"{row['steps']:,.0f}",
            f"{row['mean']:.2f}",
            _listed(row["as_good"]) or "-",
            _listed(row["ended"]) or "-",
        ]
        lines.append(_row(cells))
    return lines


def _heading(letter: str, title: str) -> Lines:
    return ["", f"**{letter}** ({title})", ""]


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _rule(n_columns: int) -> str:
    return "|" + "---|" * n_columns


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _interval(low: float, high: float) -> str:
    ends = ", ".join(f"{round(end, 2) + 0.0:.2f}" for end in (low, high))  # no -0.00
    return "-" if math.isnan(low) else f"[{ends}]"
