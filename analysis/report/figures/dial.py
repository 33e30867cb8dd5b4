"""The loops that a task needs as its dial for depth turns: ``hops`` or ``n_bits``.

Runs that stayed on the plateau count here: too few loops to learn a task is what is asked about.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.claims.by_seed import NOTABLE_BITS
from analysis.report import seeds
from analysis.report.subject import Subject
from analysis.runs.expressivity import EXACT_BELOW, expressivity

LOOK_FOR = (
    " For a task with a dial for depth, the best b is that with the largest mean E, and the loops "
    f"needed are the fewest trained b whose E is less than {NOTABLE_BITS} bits below it, by the "
    f"{seeds.WHAT} of the difference, paired by seed. Where an interval reaches across "
    f"{NOTABLE_BITS} bits, it is undecided which of two b that is. These are the loops that "
    "trainings of this length make use of; longer ones may need others. Runs that stayed on the "
    "plateau count here."
)


def dialled(subjects: Iterable[Subject]) -> list[Subject]:
    """Choose those evaluated whose task has a dial, by task, the dial's least value first."""
    dialled_subjects = [subject for subject in subjects if _dial(subject) and len(subject.table)]
    return sorted(dialled_subjects, key=lambda subject: (_family(subject), _value(subject)))


def bits_at_each_b(subjects: Iterable[Subject]) -> pd.DataFrame:
    """Tabulate E in bits over seeds for each task, dial value, size and b.

    Returns:
        Columns ``task`` (without its dial), ``dial``, ``value``, ``size``, ``b``, ``seeds``, how
        many of them ``plateaued``, and ``mean``, ``lower`` and ``upper`` of E.
    """
    tables = []
    for subject in dialled(subjects):
        table = subject.table
        means = seeds.over_seeds(table, ["size", "b"], "expressivity")
        n_plateaued = table.groupby(["size", "b"], sort=False)["plateau"].sum()
        means.insert(3, "plateaued", n_plateaued.to_numpy())
        tables.append(pd.DataFrame(_place(subject), index=means.index).join(means))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def loops_needed(subjects: Iterable[Subject]) -> pd.DataFrame:
    """Tabulate for each task, dial value and size which trained b suffices.

    Returns:
        Columns ``task``, ``dial``, ``value``, ``size``, ``at_least`` and ``at_most`` (the fewest
        loops that may and that surely suffice; the same where it is decided), ``best_b``, its
        mean E ``best_bits``, the Bayes predictor's ``bayes_bits`` (infinite where it is exact,
        missing where it is not known), ``largest_b`` trained and ``n_plateaued`` of ``n_seeds``
        runs at the best b.
    """
    rows = []
    for subject in dialled(subjects):
        bayes = subject.baselines.get(subject.runs[0].config.task_config.bayes or "")
        for size, table in subject.table.groupby("size", sort=False):
            rows.append(
                {
                    **_place(subject),
                    "size": size,
                    **_of_size(table),
                    "bayes_bits": _bayes_bits(bayes),
                }
            )
    return pd.DataFrame(rows)


def in_words(table: pd.DataFrame) -> str:
    """Say which loops are needed; see ``loops_needed``."""
    sentences = []
    if len(table):
        for (task, size), rows in table.groupby(["task", "size"], sort=False):
            parts = "; ".join(_part(row) for row in rows.to_dict("records"))
            sentences.append(f"Loops needed, {task}, {size}: {parts}.")
    return " ".join(sentences)


def _part(row: Mapping[Any, Any]) -> str:
    place = f"{row['dial']} = {row['value']}"
    if row["n_plateaued"] == row["n_seeds"]:
        return f"{place} was not learned at any b"
    if row["n_plateaued"]:
        stayed = f"{row['n_plateaued']} of {row['n_seeds']} runs at the best b did not learn"
        return f"{place} undecided ({stayed})"
    low, high = row["at_least"], row["at_most"]
    needed = f"b = {low}" if low == high else f"undecided between b = {low} and {high}"
    at_the_end = ", the most trained" if high == row["largest_b"] > 1 else ""
    best = f"E {row['best_bits']:.2g} at b = {row['best_b']}{_bayes_words(row['bayes_bits'])}"
    return f"{place} {needed}{at_the_end} ({best})"


def _bayes_words(bits: float) -> str:
    if math.isnan(bits):
        return ""
    return "; Bayes exact" if math.isinf(bits) else f"; Bayes {bits:.2g}"


def _of_size(table: pd.DataFrame) -> dict[str, Any]:
    """Find which b of one size, on one task, suffices."""
    by_b = table.pivot_table(index="seed", columns="b", values="expressivity")
    best_b = by_b.mean().idxmax()
    at_best = table[table["b"] == best_b]
    may, surely = [best_b], [best_b]
    for b in by_b.columns[by_b.columns < best_b]:
        shortfall = (by_b[best_b] - by_b[b]).dropna().rename("shortfall").to_frame()
        means = seeds.over_seeds(shortfall.assign(b=b), ["b"], "shortfall")
        lower, upper = (means[end].iloc[0] if len(means) else float("nan") for end in _ENDS)
        if not lower > NOTABLE_BITS:
            may.append(b)
        if upper < NOTABLE_BITS:
            surely.append(b)
    return {
        "at_least": int(min(may)),
        "at_most": int(min(surely)),
        "best_b": int(best_b),
        "best_bits": float(by_b[best_b].mean()),
        "largest_b": int(table["b"].max()),
        "n_plateaued": int(at_best["plateau"].sum()),
        "n_seeds": len(at_best),
    }


_ENDS = ("lower", "upper")


def _bayes_bits(nmse: float | None) -> float:
    if nmse is None:
        return float("nan")
    return float(expressivity(nmse)) if nmse > EXACT_BELOW else float("inf")


def _dial(subject: Subject) -> str | None:
    return subject.runs[0].config.task_config.dial


def _value(subject: Subject) -> int:
    return int(getattr(subject.runs[0].config, _dial(subject) or ""))


def _family(subject: Subject) -> str:
    """Return the task without its dial: ``pointer_chain n_dims=16``."""
    words = subject.task.split(" ")
    return " ".join(word for word in words if not word.startswith(f"{_dial(subject)}="))


def _place(subject: Subject) -> dict[str, Any]:
    return {"task": _family(subject), "dial": _dial(subject), "value": _value(subject)}
