"""Which forms of **b** can be fitted, how they compare, and which one leads."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.scaling.average import weights_within
from analysis.scaling.fall import clearest_fall
from analysis.scaling.form.form_fit import FormFit
from analysis.scaling.form.forms import Form
from analysis.scaling.held_out import Refits, root_mean_squares
from analysis.scaling.run_table import RunTable

PLAUSIBLE_WITHIN = 6.0
"""A form whose AICc is this much above the least has a twentieth of its weight."""


def why_not(form: Form, run_table: RunTable, is_asked_for: bool = False) -> str:
    """Say what these runs lack for a form; empty if nothing.

    Args:
        form: the form.
        run_table: the runs.
        is_asked_for: whether somebody named it. Else a form that may fall is fitted only where
            the runs show a fall: a bend that fits noise would be a deep fall beyond the runs.

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
    if form.may_fall and not is_asked_for and clearest_fall(run_table) is None:
        return "needs runs whose E falls with b by more than seeds scatter by (or to be named)"
    n_parameters = n_sizes + sum(n_sizes if p.is_per_size else 1 for p in form.parameters)
    # AICc is finite only with two runs to spare beyond the parameters and the scale
    for least, count, what in (
        (n_parameters, n_cells, "(size, b) cells"),
        (n_parameters + 3, len(run_table.values), "runs"),
    ):
        if count < least:
            return f"needs {least} {what} or more for its {n_parameters} parameters, got {count}"
    return ""


def compare(fits: Mapping[str, FormFit], refits: Mapping[str, Refits]) -> pd.DataFrame:
    """Compare fits of the same runs, best first.

    Args:
        fits: by form.
        refits: of each form to what was left when cells were left out.

    Returns:
        Columns ``form``, ``family``, ``general`` (a function of E_M and b alone), ``parameters``
        (E_M of each size among them), ``aicc``, ``delta`` and ``weight`` of Akaike,
        ``leave_one_b_out`` and ``leave_one_size_out`` (root mean squares in bits; missing where
        a form cannot predict what is left out), ``rmse`` (of the cells' means that it is fitted
        to), ``lack_of_fit`` (chance of such means if the form holds) and ``status``.

    Example:
        >>> from analysis.scaling.choice import compare
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.held_out import refit
        >>> fits = example_fit().fits
        >>> refits = {name: refit(fit) for name, fit in fits.items()}
        >>> compare(fits, refits)[["form", "weight", "status"]].round(2)
                              form  weight status
        0  logarithmic/shared_gain     1.0     OK
        1                    power     0.0     OK
    """
    rows = []
    for name, fit in fits.items():
        root = root_mean_squares(fit.run_table, refits[name].predictions)
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
    weights = weights_within(dict(zip(table["form"], table["aicc"], strict=True)))
    table.insert(6, "weight", [weights.get(name, 0.0) for name in table["form"]])
    return table


def choose(comparison: pd.DataFrame) -> str:
    """Name the form that leads: of least AICc among the plausible whose search ended well.

    Its parameters are shown. What is predicted comes from the average over forms, unless one is
    asked for.

    Example:
        >>> from analysis.scaling.choice import choose
        >>> from analysis.scaling.example import example_fit
        >>> choose(example_fit().comparison)
        'logarithmic/shared_gain'
    """
    is_ok = comparison["status"] == "OK"
    plausible = comparison["delta"] <= PLAUSIBLE_WITHIN
    leaders = comparison[is_ok & plausible]
    return str((leaders if len(leaders) else comparison)["form"].iloc[0])


def _first_of_cells(run_table: RunTable) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    return np.flatnonzero(np.diff(run_table.cells, prepend=-1))
