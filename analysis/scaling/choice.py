"""Which form of **b** it is: criteria, held-out errors, and what would tell forms apart."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.scaling.form_fit import UNLIKELY, FormFit
from analysis.scaling.forms import Floats, Form
from analysis.scaling.points import Points
from analysis.scaling.solver import solve

WINNING_WEIGHT = 0.9
PLAUSIBLE_WITHIN = 6.0
"""A form whose AICc is this much above the least has a twentieth of its weight."""

_CANDIDATE_BS = (2, 3, 4, 7, 20, 30, 40, 60)
_MOST_SEEDS = 30


def why_not(form: Form, points: Points) -> str:
    """Say what these runs lack for a form; empty if nothing."""
    n_bs, n_sizes, n_cells = len(points.bs), len(points.sizes), len(points.cell_b)
    if n_bs < form.least_bs:
        return f"needs runs at {form.least_bs} values of b or more, got {n_bs}"
    names = {parameter.name for parameter in form.parameters}
    if "slope" in names and n_sizes < 2:
        return "needs runs of 2 sizes or more, got 1"
    if not form.is_general and n_sizes < 2:
        return "needs runs of 2 sizes or more (with one it is the shared gain), got 1"
    n_parameters = n_sizes + sum(n_sizes if p.is_per_size else 1 for p in form.parameters)
    # AICc is finite only with two runs to spare beyond the parameters and the scale
    for needed, held, what in (
        (n_parameters, n_cells, "(size, b) cells"),
        (n_parameters + 3, len(points.values), "runs"),
    ):
        if held < needed:
            return f"needs {needed} {what} or more for its {n_parameters} parameters, got {held}"
    return ""


def compare(fits: Mapping[str, FormFit]) -> pd.DataFrame:
    """Compare fits of the same runs, best first.

    Returns:
        Columns ``form``, ``family``, ``general`` (a function of E_M and b alone), ``parameters``
        (E_M of each size among them), ``aicc``, ``delta`` and ``weight`` of Akaike,
        ``leave_one_b_out`` and ``leave_one_size_out`` (root mean squares in bits; missing where
        a form cannot predict what is left out), ``rmse`` (of the cells' means that it is fitted
        to), ``lack_of_fit`` (chance of such means if the form holds) and ``status``.
    """
    rows = []
    for name, fit in fits.items():
        held_out = held_out_errors(fit)
        by_kind = held_out.groupby("left_out")["error"]
        root = by_kind.apply(lambda e: float(np.sqrt((e**2).mean(skipna=False))))
        inside = fit.points.cell_means() - fit.fitted[_first_of_cells(fit.points)]
        rows.append(
            {
                "form": name,
                "family": fit.law.form.family,
                "general": fit.law.form.is_general,
                "parameters": len(fit.theta),
                "aicc": fit.aicc,
                "leave_one_b_out": root.get("b", math.nan),
                "leave_one_size_out": root.get("size", math.nan),
                "rmse": float(np.sqrt((inside**2).mean())),
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
    """
    points, law = fit.points, fit.law
    folds = [("b", np.flatnonzero(points.cell_b == b)) for b in points.bs[1:]]
    if len(points.sizes) > 1:
        folds += [
            ("size", np.flatnonzero((points.cell_size == size) & (points.cell_b > 1)))
            for size in range(len(points.sizes))
        ]
    weights = np.array([~np.isin(points.cells, cells) for _, cells in folds], dtype=float)
    seen = type(fit.seen)(fit.seen.values, weights, fit.seen.scale, points.cells)
    model = law.model(points.cell_size, points.cell_b)
    start = np.repeat(fit.theta[None], len(folds), axis=0)
    solution = solve(model, seen, start, law.lower, law.upper, fit.options["loss"])
    predicted, _ = model(solution.theta)
    measured, rows = points.cell_means(), []
    for index, (kind, cells) in enumerate(folds):
        left = len(points.bs) - 1 if kind == "b" else len(points.bs)
        can = left >= law.form.least_bs if kind == "b" else law.form.is_general
        slope = any(parameter.name == "slope" for parameter in law.form.parameters)
        can &= kind == "b" or not slope or len(points.sizes) > 2
        for cell in cells:
            guess = predicted[index, cell] if can else math.nan
            rows.append(
                {
                    "left_out": kind,
                    "size": points.sizes[points.cell_size[cell]],
                    "b": points.cell_b[cell],
                    "measured": measured[cell],
                    "predicted": guess,
                    "error": guess - measured[cell],
                }
            )
    return pd.DataFrame(rows)


def choose(comparison: pd.DataFrame) -> str:
    """Name the form to predict with: of least AICc among those that are functions of E_M and b.

    One whose search ended well goes before one that ended at a bound or undetermined. Where no
    such function comes within ``PLAUSIBLE_WITHIN`` of the least AICc, a form with a gain for
    each size predicts, and then for these sizes alone.
    """
    is_ok = comparison["status"] == "OK"
    plausible = comparison["delta"] <= PLAUSIBLE_WITHIN
    for wanted in (comparison["general"] & is_ok & plausible, is_ok, comparison["general"]):
        if wanted.any():
            return str(comparison.loc[wanted, "form"].iloc[0])
    return str(comparison["form"].iloc[0])


def verdict(fits: Mapping[str, FormFit], comparison: pd.DataFrame, chosen: str) -> str:
    """Say which form it is if one is far ahead, else what cannot be told apart and what would."""
    if len(fits) == 1:
        return f"{chosen} is the only form that was compared."
    first = comparison.iloc[0]
    plausible = comparison[comparison["delta"] <= PLAUSIBLE_WITHIN]
    said = []
    if first["weight"] >= WINNING_WEIGHT and first["status"] == "OK":
        said.append(f"The form is {first['form']}: Akaike weight {first['weight']:.2f}.")
    else:
        listed = ", ".join(f"{row.form} ({row.weight:.2f})" for row in plausible.itertuples())
        if len(plausible) == 1:
            said.append(f"{listed} is ahead of the others, but its fit ended {first['status']}.")
        else:
            said.append(f"These forms cannot be told apart (Akaike weights): {listed}.")
            if plausible["family"].nunique() == 1:
                said.append(f"All have the shape {first['family']}; what differs is the gain.")
            said.append(_what_would_tell(fits, plausible))
    general = comparison[comparison["general"]]
    if len(general) and general["delta"].iloc[0] > PLAUSIBLE_WITHIN:
        said.append(
            "No form with one gain for all sizes, or one that depends on E_M alone, comes within "
            f"{PLAUSIBLE_WITHIN:g} of it: here b is not a function of E_M and b alone."
        )
    if comparison["lack_of_fit"].max() < UNLIKELY:
        said.append(
            "No form here holds within what seeds scatter by: every one misses the cells' means by "
            f"more (chance below {UNLIKELY:g})."
        )
    return " ".join(said)


def _what_would_tell(fits: Mapping[str, FormFit], plausible: pd.DataFrame) -> str:
    """Find the cheapest further cell whose mean would part the first two forms.

    They part where they differ by twice the standard error of the new cell's mean together with
    that of their own difference, which paired resamples give.
    """
    others = plausible[plausible["family"] != plausible["family"].iloc[0]]
    second = (others if len(others) else plausible.iloc[1:]).iloc[0]
    pair = [fits[plausible["form"].iloc[0]], fits[second["form"]]]
    points = pair[0].points
    new = [b for b in _CANDIDATE_BS if b not in points.bs and b <= 4 * points.bs[-1]]
    cells = pd.DataFrame([{"size": size, "b": b} for b in new for size in points.sizes])
    if cells.empty:
        return "A larger b than tried here would be needed to part them."
    says = [fit.predict(cells) for fit in pair]
    drawn = [_draws(fit, cells) for fit in pair]
    gap, unsure = says[0] - says[1], (drawn[0] - drawn[1]).var(axis=0)
    noise = pair[0].residual_sd ** 2
    room = gap**2 - 4 * unsure
    seeds = np.ceil(4 * noise / np.where(room > 0, room, np.nan))
    costs = np.where(seeds <= _MOST_SEEDS, seeds * cells["b"], np.inf)
    costs = np.where(np.isnan(costs), np.inf, costs)
    names = " and ".join(fit.law.form.name for fit in pair)
    if not np.isfinite(costs).any():
        return (
            f"No single further cell up to b = {new[-1]} with {_MOST_SEEDS} seeds would part "
            f"{names}: it takes more seeds in the cells there are, or further sizes."
        )
    at = int(np.argmin(costs))
    size, b = cells["size"][at], cells["b"][at]
    count = "1 seed" if seeds[at] == 1 else f"{seeds[at]:.0f} seeds"
    return (
        f"This measurement would: {size} trained at b = {b} with {count}, where {names} say "
        f"{says[0][at]:.2f} and {says[1][at]:.2f} bits."
    )


def _draws(fit: FormFit, cells: pd.DataFrame) -> Floats:
    index = np.array([fit.law.sizes.index(size) for size in cells["size"]], dtype=np.intp)
    return fit.law.model(index, cells["b"].to_numpy(float))(fit.uncertainty.draws)[0]


def _first_of_cells(points: Points) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    return np.flatnonzero(np.diff(points.cells, prepend=-1))
