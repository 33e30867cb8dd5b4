"""A fitted law in a line, as Python shows it, and as a table, as a notebook does."""

import html

from analysis.scaling.words.text import DescribedFit
from looped.counting import counted

COLUMNS = {
    "form": "form",
    "parameters": "parameters",
    "delta": "delta AICc",
    "weight": "weight",
    "leave_one_b_out": "error without a b, bits",
    "status": "status",
}
"""Of the comparison of forms: those shown, and what they are called."""


def line_of(fit: DescribedFit) -> str:
    """Say which runs a law was fitted to, and what predicts.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.short import line_of
        >>> print(line_of(example_fit()))
        ScalingFit(16 runs of tiny, small at b = 1, 2, 4, 8: logarithmic/shared_gain predicts, OK)
    """
    table, n_forms = fit.run_table, len(fit.weights)
    bs = ", ".join(f"{b:g}" for b in table.bs)
    what = f"{fit.best_form} predicts"
    if n_forms > 1:
        what = f"average of {counted(n_forms, 'form')} predicts, {fit.best_form} leads"
    runs = f"{counted(len(table.values), 'run')} of {', '.join(table.sizes)} at b = {bs}"
    return f"ScalingFit({runs}: {what}, {fit.status.name})"


def table_of(fit: DescribedFit) -> str:
    """Write the comparison of the forms as HTML, under the line.

    Example:
        >>> from analysis.scaling.example import example_fit
        >>> from analysis.scaling.words.short import table_of
        >>> table_of(example_fit())[:40]
        '<p>ScalingFit(16 runs of tiny, small at '
    """
    table = fit.comparison[list(COLUMNS)].rename(columns=COLUMNS)
    line = html.escape(f"{line_of(fit)}; report() says all, predict() and interval() answer")
    return f"<p>{line}</p>{table.to_html(index=False, float_format='{:.3g}'.format)}"
