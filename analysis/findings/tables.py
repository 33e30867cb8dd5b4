"""The tables of the pages of findings, as Markdown; every number is the package's own."""

from collections.abc import Sequence
from pathlib import Path

from analysis.findings.beyond import beyond_table
from analysis.findings.length_tables import length_tables, rates_table
from analysis.findings.markdown import Lines, header, listed, row
from analysis.findings.recipes import Recipe, distinct, recipes_of, studies_of
from analysis.findings.verdicts import claim_tables, hypothesis_tables, ways_table
from looped.names import Convergence, Weights


def tables_of(results: Path, resamples: int = 1000) -> dict[str, str]:
    """Make every table of the pages, by its name.

    Args:
        results: the folder of kept trainings.
        resamples: of the bootstrap at each length of training.
    """
    recipes, studies = recipes_of(results), studies_of(results)
    plain = distinct([recipe for recipe in recipes if recipe.is_plain])
    # the curves of a training are the same whichever weights were evaluated
    of_curves = [
        recipe for recipe in plain if recipe.sees_all_loops and recipe.weights == Weights.LAST
    ]
    tables = {
        "recipes": _recipes(recipes),
        **claim_tables(plain),
        "beyond": beyond_table(plain),
        **hypothesis_tables(studies),
        "ways": ways_table(studies),
        "rates": rates_table(studies, resamples),
        **length_tables(of_curves, resamples),
    }
    return {name: "\n".join(lines) for name, lines in tables.items()}


def _recipes(recipes: Sequence[Recipe]) -> Lines:
    columns = ["", "trainings", "sizes", "b", "seeds", "steps", "learned"]
    lines = header([*columns, "learning / settled / unknown", "weights"])
    weights_of: dict[str, list[str]] = {}
    for recipe in recipes:
        weights_of.setdefault(recipe.letter, []).append(recipe.weights)
    for recipe in (each for each in recipes if each.weights == Weights.LAST):
        runs = sorted(recipe.runs, key=lambda run: run.config.model_config.n_params())
        states = [
            sum(run.convergence == state for run in runs)
            for state in (Convergence.LEARNING, Convergence.SETTLED, Convergence.CANNOT_TELL)
        ]
        cells = [
            f"**{recipe.letter}** {recipe.title}",
            len(runs),
            listed(dict.fromkeys(run.config.size for run in runs)),
            listed(sorted({run.config.b for run in runs})),
            len({run.config.seed for run in runs}),
            listed(sorted({run.config.steps for run in runs})),
            sum(run.has_learned for run in runs),
            " / ".join(map(str, states)),
            listed(weights_of[recipe.letter]),
        ]
        lines.append(row(cells))
    return lines
