"""Which form of **b** it is: criteria, held-out errors, and what would tell forms apart."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.scaling.form_fit import UNLIKELY, FormFit
from analysis.scaling.forms import Floats, Form
from analysis.scaling.run_table import RunTable
from analysis.scaling.solver import solve

WINNING_WEIGHT = 0.9
PLAUSIBLE_WITHIN = 6.0
"""A form whose AICc is this much above the least has a twentieth of its weight."""

_CANDIDATE_BS = (2, 3, 4, 7, 20, 30, 40, 60)
_MOST_SEEDS = 30


def why_not(form: Form, run_table: RunTable) -> str:
    """Say what these runs lack for a form; empty if nothing.

    Example:
        >>> from analysis.scaling import FORMS
        >>> from analysis.scaling.choice import why_not
        >>> from analysis.scaling.example import example_runs
        >>> from analysis.scaling.run_table import read_run_table
        >>> runs = example_runs()
        >>> why_not(FORMS["power"], read_run_table(runs))
        ''
        >>> why_not(FORMS["logarithmic/per_size"], read_run_table(runs[runs["size"] == "tiny"]))
        'needs runs of 2 sizes or more (with one it is the shared gain), got 1'
    """
    n_bs, n_sizes, n_cells = len(run_table.bs), len(run_table.sizes), len(run_table.cell_b)
    if n_bs < form.least_bs:
        return f"needs runs at {form.least_bs} values of b or more, got {n_bs}"
    names = {parameter.name for parameter in form.parameters}
    if "slope" in names and n_sizes < 2:
        return "needs runs of 2 sizes or more, got 1"
    if not form.is_general and n_sizes < 2:
        return "needs runs of 2 sizes or more (with one it is the shared gain), got 1"
    n_parameters = n_sizes + sum(n_sizes if p.is_per_size else 1 for p in form.parameters)
    # AICc is finite only with two runs to spare beyond the parameters and the scale
    for least, count, what in (
        (n_parameters, n_cells, "(size, b) cells"),
        (n_parameters + 3, len(run_table.values), "runs"),
    ):
        if count < least:
            return f"needs {least} {what} or more for its {n_parameters} parameters, got {count}"
    return ""


def compare(fits: Mapping[str, FormFit]) -> pd.DataFrame:
    """Compare fits of the same runs, best first.

    Returns:
        Columns ``form``, ``family``, ``general`` (a function of E_M and b alone), ``parameters``
        (E_M of each size among them), ``aicc``, ``delta`` and ``weight`` of Akaike,
        ``leave_one_b_out`` and ``leave_one_size_out`` (root mean squares in bits; missing where
        a form cannot predict what is left out), ``rmse`` (of the cells' means that it is fitted
        to), ``lack_of_fit`` (chance of such means if the form holds) and ``status``.

    Example:
        >>> from analysis.scaling.choice import compare
        >>> from analysis.scaling.example import example_fit
        >>> compare(example_fit().fits)[["form", "weight", "status"]].round(2)
                              form  weight status
        0  logarithmic/shared_gain     1.0     OK
        1                    power     0.0     OK
    """
    rows = []
    for name, fit in fits.items():
        held_out = held_out_errors(fit)
        by_kind = held_out.groupby("left_out")["error"]
        root = by_kind.apply(lambda e: float(np.sqrt((e**2).mean(skipna=False))))
        residuals = fit.run_table.cell_means() - fit.fitted_bits[_first_of_cells(fit.run_table)]
        rows.append(
            {
                "form": name,
                "family": fit.sized_form.form.family,
                "general": fit.sized_form.form.is_general,
                "parameters": len(fit.theta),
                "aicc": fit.aicc,
                "leave_one_b_out": root.get("b", math.nan),
                "leave_one_size_out": root.get("size", math.nan),
                "rmse": float(np.sqrt((residuals**2).mean())),
                "lack_of_fit": fit.lack_of_fit,
                "status": fit.status.name,
            }
        )
    table = pd.DataFrame(rows).sort_values("aicc", kind="stable").reset_index(drop=True)
    table.insert(5, "delta", table["aicc"] - table["aicc"].min())
    weight = np.exp(-table["delta"] / 2)
    table.insert(6, "weight", weight / weight.sum())
    return table


def held_out_errors(fit: FormFit) -> pd.DataFrame:
    """Predict each cell from the others: leave out one b, then what one size has beyond b = 1.

    A size's runs at b = 1 stay: they measure the E_M that the law starts from.

    Returns:
        A row per cell and fold: ``left_out`` (``b`` or ``size``), ``size``, ``b``, ``measured``,
        ``predicted`` and ``error``; missing where the form has a parameter of that size's own,
        or where what is left does not tell its parameters.

    Example:
        >>> from analysis.scaling.choice import held_out_errors
        >>> from analysis.scaling.example import example_fit
        >>> table = held_out_errors(example_fit().best)
        >>> table[["left_out", "size", "b", "predicted"]].round(2).head(2)
          left_out   size    b  predicted
        0        b   tiny  2.0        1.5
        1        b  small  2.0        2.5
    """
    run_table, sized_form = fit.run_table, fit.sized_form
    folds = [("b", np.flatnonzero(run_table.cell_b == b)) for b in run_table.bs[1:]]
    if len(run_table.sizes) > 1:
        folds += [
            ("size", np.flatnonzero((run_table.cell_size == size) & (run_table.cell_b > 1)))
            for size in range(len(run_table.sizes))
        ]
    weights = np.array([~np.isin(run_table.cells, cells) for _, cells in folds], dtype=float)
    fold_observations = type(fit.observations)(
        fit.observations.values, weights, fit.observations.scale, run_table.cells
    )
    model = sized_form.model(run_table.cell_size, run_table.cell_b)
    start = np.repeat(fit.theta[None], len(folds), axis=0)
    solution = solve(
        model,
        fold_observations,
        start,
        sized_form.lower,
        sized_form.upper,
        loss=fit.options["loss"],
    )
    predictions, _ = model(solution.theta)
    cell_means, rows = run_table.cell_means(), []
    for index, (kind, cells) in enumerate(folds):
        n_bs_left = len(run_table.bs) - 1 if kind == "b" else len(run_table.bs)
        is_predictable = (
            n_bs_left >= sized_form.form.least_bs if kind == "b" else sized_form.form.is_general
        )
        slope = any(parameter.name == "slope" for parameter in sized_form.form.parameters)
        is_predictable &= kind == "b" or not slope or len(run_table.sizes) > 2
        for cell in cells:
            prediction = predictions[index, cell] if is_predictable else math.nan
            rows.append(
                {
                    "left_out": kind,
                    "size": run_table.sizes[run_table.cell_size[cell]],
                    "b": run_table.cell_b[cell],
                    "measured": cell_means[cell],
                    "predicted": prediction,
                    "error": prediction - cell_means[cell],
                }
            )
    return pd.DataFrame(rows)


def choose(comparison: pd.DataFrame) -> str:
    """Name the form to predict with: of least AICc among those that are functions of E_M and b.

    One whose search ended well goes before one that ended at a bound or undetermined. Where no
    such function comes within ``PLAUSIBLE_WITHIN`` of the least AICc, a form with a gain for
    each size predicts, and then for these sizes alone.

    Example:
        >>> from analysis.scaling.choice import choose
        >>> from analysis.scaling.example import example_fit
        >>> choose(example_fit().comparison)
        'logarithmic/shared_gain'
    """
    is_ok = comparison["status"] == "OK"
    plausible = comparison["delta"] <= PLAUSIBLE_WITHIN
    for is_candidate in (comparison["general"] & is_ok & plausible, is_ok, comparison["general"]):
        if is_candidate.any():
            return str(comparison.loc[is_candidate, "form"].iloc[0])
    return str(comparison["form"].iloc[0])


def verdict(fits: Mapping[str, FormFit], comparison: pd.DataFrame, best_form: str) -> str:
    """Say which form it is if one is far ahead, else what cannot be told apart and what would.

    Example:
        >>> from analysis.scaling.choice import verdict
        >>> from analysis.scaling.example import example_fit
        >>> fit = example_fit()
        >>> verdict(fit.fits, fit.comparison, fit.best_form)
        'The form is logarithmic/shared_gain: Akaike weight 1.00.'
    """
    if len(fits) == 1:
        return f"{best_form} is the only form that was compared."
    first = comparison.iloc[0]
    plausible = comparison[comparison["delta"] <= PLAUSIBLE_WITHIN]
    sentences = []
    if first["weight"] >= WINNING_WEIGHT and first["status"] == "OK":
        sentences.append(f"The form is {first['form']}: Akaike weight {first['weight']:.2f}.")
    else:
        names_and_weights = ", ".join(
            f"{row.form} ({row.weight:.2f})" for row in plausible.itertuples()
        )
        if len(plausible) == 1:
            sentences.append(
                f"{names_and_weights} is ahead of the others, but its fit ended {first['status']}."
            )
        else:
            sentences.append(
                f"These forms cannot be told apart (Akaike weights): {names_and_weights}."
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


def _first_of_cells(run_table: RunTable) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    return np.flatnonzero(np.diff(run_table.cells, prepend=-1))
