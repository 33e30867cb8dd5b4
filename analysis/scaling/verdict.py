"""What the comparison says in words: which form it is, or what would tell."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.scaling.choice import PLAUSIBLE_WITHIN
from analysis.scaling.fall import clearest_fall
from analysis.scaling.form.fitted_form import UNLIKELY
from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.form.shapes import Floats
from analysis.scaling.run_table import RunTable

WINNING_WEIGHT = 0.9
LEAST_BS = 3
LEAST_WEIGHT = 0.05
"""Below it the runs speak against all forms that predict a size that was never trained."""

_CANDIDATE_BS = (2, 3, 4, 7, 20, 30, 40, 60)
_MOST_SEEDS = 30
_MOST_NAMES = 3
"""More forms than these are a table, which stands beside the verdict wherever it is shown."""


def shape_lack(run_table: RunTable) -> str:
    """Say what runs lack that could tell any shape from another; empty if nothing.

    Example:
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.verdict import shape_lack
        >>> runs = example_runs()
        >>> shape_lack(read_run_table(runs))
        ''
        >>> shape_lack(read_run_table(runs[runs["b"] <= 2]))
        'it takes three values of b or more (1 among them), got 2'
    """
    if len(run_table.bs) < LEAST_BS:
        return f"it takes three values of b or more (1 among them), got {len(run_table.bs)}"
    if not run_table.n_replicates:
        return (
            "it takes cells with two seeds or more, which measure how runs scatter, "
            "got one run a cell"
        )
    return ""


def verdict(
    run_table: RunTable, fits: Mapping[str, FormFit], comparison: pd.DataFrame, best_form: str
) -> str:
    """Say which form it is if one is far ahead, else what cannot be told apart and what would.

    Example:
        >>> from analysis.scaling.verdict import verdict
        >>> from analysis.scaling.example import example_fit
        >>> fit = example_fit()
        >>> verdict(fit.run_table, fit.fits, fit.comparison, fit.best_form)
        'Of the forms compared it is logarithmic/shared_gain: Akaike weight 1.00.'
    """
    lack = shape_lack(run_table)
    if lack:
        return f"No verdict on the shape: {lack}."
    fall = clearest_fall(run_table)
    if len(fits) == 1:
        sentence = f"{best_form} is the only form that was compared."
        return sentence if fall is None else f"{fall}. {sentence}"
    first = comparison.iloc[0]
    plausible = comparison[comparison["delta"] <= PLAUSIBLE_WITHIN]
    sentences = [] if fall is None else [f"{fall}."]
    if first["weight"] >= WINNING_WEIGHT and first["status"] == "OK":
        sentences.append(
            f"Of the forms compared it is {first['form']}: Akaike weight {first['weight']:.2f}."
        )
    else:
        names_and_weights = ", ".join(
            f"{row.form} ({row.weight:.2f})" for row in plausible.head(_MOST_NAMES).itertuples()
        )
        if len(plausible) == 1:
            sentences.append(
                f"{names_and_weights} is ahead of the others, but its fit ended {first['status']}."
            )
        else:
            first_ones = "" if len(plausible) <= _MOST_NAMES else "; the first of them are"
            sentences.append(
                f"{len(plausible)} forms cannot be told apart{first_ones or ':'} "
                f"{names_and_weights}, with their Akaike weights."
            )
            if plausible["family"].nunique() == 1:
                sentences.append(f"All have the shape {first['family']}; what differs is the gain.")
            sentences.append(_what_would_tell(fits, plausible))
    general = comparison[comparison["general"]]
    if len(general) and general["delta"].iloc[0] > PLAUSIBLE_WITHIN:
        sentences.append(
            "No form with one gain for all sizes, or one that depends on E_M alone, comes within "
            f"{PLAUSIBLE_WITHIN:g} of it: here b is not a function of E_M and b alone."
        )
    if comparison["lack_of_fit"].max() < UNLIKELY:
        sentences.append(
            "No form here holds within what seeds scatter by: every one misses the cells' means by "
            f"more (chance below {UNLIKELY:g})."
        )
    return " ".join(sentences)


def _what_would_tell(fits: Mapping[str, FormFit], plausible: pd.DataFrame) -> str:
    """Find the cheapest further cell whose mean would part the first two forms.

    They part where they differ by twice the standard error of the new cell's mean together with
    that of their own difference, which paired resamples give.
    """
    of_another_family = plausible[plausible["family"] != plausible["family"].iloc[0]]
    second = (of_another_family if len(of_another_family) else plausible.iloc[1:]).iloc[0]
    pair = [fits[plausible["form"].iloc[0]], fits[second["form"]]]
    run_table = pair[0].run_table
    new_bs = [b for b in _CANDIDATE_BS if b not in run_table.bs and b <= 4 * run_table.bs[-1]]
    cells = pd.DataFrame([{"size": size, "b": b} for b in new_bs for size in run_table.sizes])
    if cells.empty:
        return "A larger b than tried here would be needed to part them."
    predictions = [fit.predict(cells) for fit in pair]
    draws = [_draws(fit, cells) for fit in pair]
    gap, variance = predictions[0] - predictions[1], (draws[0] - draws[1]).var(axis=0)
    noise = pair[0].residual_sd ** 2
    room = gap**2 - 4 * variance
    seeds = np.ceil(4 * noise / np.where(room > 0, room, np.nan))
    costs = np.where(seeds <= _MOST_SEEDS, seeds * cells["b"], np.inf)
    costs = np.where(np.isnan(costs), np.inf, costs)
    names = " and ".join(fit.sized_form.form.name for fit in pair)
    if not np.isfinite(costs).any():
        return (
            f"No single further cell up to b = {new_bs[-1]} with {_MOST_SEEDS} seeds would part "
            f"{names}: it takes more seeds in the cells there are, or further sizes."
        )
    cheapest = int(np.argmin(costs))
    size, b = cells["size"][cheapest], cells["b"][cheapest]
    count = "1 seed" if seeds[cheapest] == 1 else f"{seeds[cheapest]:.0f} seeds"
    return (
        f"This measurement would: {size} trained at b = {b} with {count}, where {names} say "
        f"{predictions[0][cheapest]:.2f} and {predictions[1][cheapest]:.2f} bits."
    )


def _draws(fit: FormFit, cells: pd.DataFrame) -> Floats:
    index = np.array([fit.sized_form.sizes.index(size) for size in cells["size"]], dtype=np.intp)
    return fit.sized_form.model(index, cells["b"].to_numpy(float))(fit.uncertainty.draws)[0]


def caveat(run_table: RunTable, b: float, general_weight: float) -> str:
    """Say what no interval holds of a prediction at some b; empty if nothing.

    Args:
        run_table: the runs.
        b: loops.
        general_weight: Akaike weight of the forms that predict what is asked for.

    Example:
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> from analysis.scaling.verdict import caveat
        >>> caveat(read_run_table(example_runs()), 16, general_weight=1.0)
        'beyond what was trained (b up to 8)'
    """
    caveats = []
    bs = run_table.bs
    if b > bs[-1]:
        caveats.append(f"beyond what was trained (b up to {bs[-1]:g})")
    lack = shape_lack(run_table)
    if lack and b not in bs:
        caveats.append(f"no shape is tested here: {lack}")
    if general_weight < LEAST_WEIGHT:
        caveats.append(
            "the runs speak against every form that predicts other sizes (Akaike weight "
            f"{general_weight:.2g} together)"
        )
    return "; ".join(caveats)
