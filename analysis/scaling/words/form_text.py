"""One fitted form in words: its parameters, whether it fits, and which runs err together."""

import numpy as np

from analysis.scaling.form.fitted_form import UNLIKELY
from analysis.scaling.form.form_fit import FormFit

LEVEL = 0.95
CORRELATED = 0.8
SUSPICIOUS = 0.05


def number(value: float) -> str:
    """Write a value to four significant digits.

    Example:
        >>> from analysis.scaling.words.form_text import number
        >>> number(0.123456), number(float("nan"))
        ('0.1235', '-')
    """
    return "-" if np.isnan(value) else f"{value:.4g}"


def alike(fit: FormFit) -> str:
    """Say whether a seed's runs at different b err alike.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.form_text import alike
        >>> alike(example_fit().best)
        "correlation -0.33 of a seed's runs at different b (chance 1): not seen to err alike"
    """
    correlation, chance = fit.seed_correlation
    if np.isnan(correlation):
        return "no seed at two b"
    verdict = "they err alike" if chance < SUSPICIOUS else "not seen to err alike"
    return (
        f"correlation {correlation:.2f} of a seed's runs at different b (chance {chance:.2g}): "
        + verdict
    )


def why_these_clusters(fit: FormFit) -> str:
    """Say which runs are taken to err together, and why.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.form_text import why_these_clusters
        >>> why_these_clusters(example_fit().best)
        'seeds: one draws the same weights and prompts at every b of a size'
    """
    if fit.options["clusters"] == "auto":
        if fit.cluster_kind == "seed":
            return "seeds: one draws the same weights and prompts at every b of a size"
        if fit.run_table.clusters("seed").max() + 1 == len(fit.run_table.values):
            return "runs: no seed stands at two b"
        return "runs: with one seed a size, what it does to all b is in no interval"
    if fit.cluster_kind == "run" and fit.seed_correlation[1] < SUSPICIOUS:
        return "runs, as asked: too narrow, since a seed's runs err alike"
    return f"{fit.cluster_kind}s, as asked"


def adequacy(chance: float) -> str:
    """Say what the test of lack of fit says.

    Example:
        >>> from analysis.scaling.words.form_text import adequacy
        >>> print(adequacy(0.001))
        chance 0.001 of the cells' means lying so far off it: the law misses them
    """
    if np.isnan(chance):
        return "cannot be tested: no runs to spare"
    verdict = "the law misses them" if chance < UNLIKELY else "nothing against the law"
    return f"chance {chance:.2g} of the cells' means lying so far off it: {verdict}"


def parameter_lines(fit: FormFit) -> list[str]:
    """Write each parameter with its interval.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.form_text import parameter_lines
        >>> parameter_lines(example_fit().best)[-1]
        'gain       :      0.5  [0.4665, 0.5335] bits'
    """
    table = fit.parameters(LEVEL)
    width = max(map(len, table["name"]))
    return [
        f"{row.name_:<{width}} : {number(row.value):>8}  [{number(row.lower)}, "
        f"{number(row.upper)}] {row.unit}".rstrip()
        for row in table.rename(columns={"name": "name_"}).itertuples()
    ]


def correlation_lines(fit: FormFit) -> list[str]:
    """Write the parameters that hang together, the strongest first.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.form_text import correlation_lines
        >>> len(correlation_lines(example_fit().best))
        3
    """
    draws, names = fit.uncertainty.draws, fit.sized_form.names
    moving = np.flatnonzero(draws.std(axis=0) > 0)
    if len(moving) < 2:
        return []
    matrix = np.atleast_2d(np.corrcoef(draws[:, moving].T))
    pairs = [
        (matrix[i, j], names[moving[i]], names[moving[j]])
        for i in range(len(moving))
        for j in range(i)
        if abs(matrix[i, j]) > CORRELATED
    ]
    strongest_first = sorted(pairs, key=lambda pair: -abs(pair[0]))
    return [f"C({first}, {second}) = {value:+.3f}" for value, first, second in strongest_first]


def ceiling_lines(fit: FormFit) -> list[str]:
    """Write what each size tends to as b grows; nothing where the form has no ceiling.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.form_text import ceiling_lines
        >>> ceiling_lines(example_fit().best)
        []
    """
    if not fit.sized_form.form.has_ceiling:
        return []
    lower, value, upper = fit.ceilings(LEVEL)
    return [
        f"{size}: {number(value[i])}  [{number(lower[i])}, {number(upper[i])}] bits as b grows"
        for i, size in enumerate(fit.sized_form.sizes)
    ]
