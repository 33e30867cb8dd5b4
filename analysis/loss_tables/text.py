"""What a table of losses tells, as text."""

import pandas as pd

from analysis.answers import joint_text
from analysis.loss_tables.laws import TableFit
from analysis.scaling.words.text import section

_MOST_COLUMNS = 20
_MOST_CURVES = 40


def describe(table_fit: TableFit) -> str:
    """Say what was read, how it became bits, and what came of it."""
    parts = [section("Table", _table_lines(table_fit), wrap=True)]
    if isinstance(table_fit.fit, str):
        parts.append(section("Law", [f"none: {table_fit.fit}"], wrap=True))
    else:
        parts.append(table_fit.fit.report())
    joint = table_fit.joint
    title = "Joint law of size and loops"
    if isinstance(joint, str):
        parts.append(section(title, [f"none: {joint}"], wrap=True))
    else:
        parts.append(section(title, joint_text.describe(joint)))
    if isinstance(table_fit.curves, pd.DataFrame):
        parts.append(section("Loops that were run", _curve_lines(table_fit)))
    return "\n".join(parts) + "\n"


def _table_lines(table_fit: TableFit) -> list[str]:
    table = table_fit.table
    names = [
        role if role == column else f"{role} = {column}" for role, column in table.columns.items()
    ]
    lines = [
        f"{table_fit.name}: {len(table.rows)} of {table.n_rows} rows; {', '.join(names)}.",
        f"{table_fit.conversion.formula}.",
    ]
    if table.unused:
        lines.append(f"Columns that are not read: {', '.join(table.unused[:_MOST_COLUMNS])}.")
    return lines + [f"{notice[0].upper()}{notice[1:]}." for notice in table_fit.notices]


def _curve_lines(table_fit: TableFit) -> list[str]:
    curves = table_fit.curves
    assert isinstance(curves, pd.DataFrame)
    n_fitted = int(curves["peak_loop"].notna().sum())
    lines = [
        f"{len(curves)} trainings; bits at the best of the loops that were run, and at the last; "
        f"a curve is fitted through ten or more ({n_fitted} here)"
    ]
    for row in curves.head(_MOST_CURVES).to_dict("records"):
        words = [str(row["size"])]
        words += [f"b = {row['b']:g}"] if pd.notna(row["b"]) else []
        words += [f"seed {row['seed']}"] if table_fit.table.has_seeds else []
        words += [f"length {row['length']:g}"] if pd.notna(row.get("length")) else []
        line = (
            f"{', '.join(words)}: {row['best_bits']:.4g} at {row['best_loop']}, "
            f"{row['last_bits']:.4g} at {row['last_loop']}"
        )
        if pd.notna(row["peak_loop"]):
            line += (
                f"; fitted: peak {row['peak_bits']:.4g} at {row['peak_loop']:g}, "
                f"within 0.05 bits of it from {row['plateau_from']:g}, "
                f"{row['lost']:.3g} lost in the end (off by {row['rmse']:.2g})"
            )
        lines.append(line)
    if len(curves) > _MOST_CURVES:
        lines.append(f"and {len(curves) - _MOST_CURVES} more, in loop_curves.csv")
    return lines
